"""The least that a queue in SQLite can do: a row that comes, is taken, and goes. Nothing is kept of it.

One thread has the connection, and does each step in one transaction, as durable as ours: one hop there and back.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from benchmarks.ceiling.bare import PAYLOAD
from benchmarks.stores import files

T = TypeVar("T")

SETTINGS: Final = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL")
TABLE: Final = """
CREATE TABLE bare (
    n INTEGER PRIMARY KEY,
    queue TEXT NOT NULL DEFAULT 'default',
    taken INTEGER NOT NULL DEFAULT 0,
    payload BLOB NOT NULL
)"""
INDEX: Final = "CREATE INDEX bare_head ON bare (queue, n) WHERE taken = 0"
PUT: Final = "INSERT INTO bare (payload) VALUES (?)"
END: Final = "DELETE FROM bare WHERE n = ? AND taken = 1"
TAKE: Final = """
UPDATE bare SET taken = 1
WHERE n IN (SELECT n FROM bare WHERE queue = 'default' AND taken = 0 ORDER BY n LIMIT ?) RETURNING n, payload
"""


class BareSQLite:
    """See `benchmarks.ceiling.bare.Bare`."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._taken: list[tuple[int]] = []

    async def open(self, url: str) -> None:
        """One connection, in its thread."""
        await self._hop(lambda: self._open(url))

    def _open(self, url: str) -> None:
        self._file = sqlite3.connect(files(url)[0], isolation_level=None)
        for statement in (*SETTINGS, TABLE, INDEX):
            self._file.execute(statement)

    async def put(self, jobs: int) -> None:
        """One transaction."""
        await self._hop(lambda: self._put(jobs))

    def _put(self, jobs: int) -> None:
        self._file.execute("BEGIN IMMEDIATE")
        self._file.executemany(PUT, [(PAYLOAD,)] * jobs)
        self._file.execute("COMMIT")

    async def turn(self, jobs: int) -> int:
        """One transaction."""
        return await self._hop(lambda: self._turn(jobs))

    def _turn(self, jobs: int) -> int:
        self._file.execute("BEGIN IMMEDIATE")
        self._file.executemany(END, self._taken)
        self._taken = [row[:1] for row in self._file.execute(TAKE, (jobs,)).fetchall()]
        self._file.execute("COMMIT")
        return len(self._taken)

    async def close(self) -> None:
        """Close the file, and end the thread."""
        await self._hop(self._file.close)
        self._thread.shutdown()

    async def _hop(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
