"""One SQLite connection and its thread, to which whole functions are sent.

aiosqlite sends statement by statement, and a caller that is cancelled between two of them leaves a transaction
open. Here a function goes to the thread, begins and ends its transaction there, and no await lies in between:
a cancellation finds the function before its first line or after its last.
"""

import asyncio
import atexit
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, Self, TypeAlias, TypeVar

import aiosqlite

from aiq.backends.relational.connection import Parameters, Question, Row
from aiq.backends.relational.errand import Errand, outcome
from aiq.backends.sqlite.sql import TEXTS

T = TypeVar("T")

Work: TypeAlias = Callable[[sqlite3.Connection, Callable[[], bool]], T]
"""What is done in the thread. The second argument tells whether anybody still waits for it."""

_CACHED_STATEMENTS: Final = 256
_EXIT_PATIENCE_S: Final = 2.0
_LOOK_S: Final = 0.01


class Texts:
    """A connection to which statements are said by name."""

    __slots__ = ("_raw", "_texts")

    def __init__(self, raw: sqlite3.Connection, texts: Mapping[str, str] = TEXTS) -> None:
        self._raw, self._texts = raw, texts

    def rows(self, statement: str, parameters: Parameters) -> list[Row]:
        """See `aiq.backends.relational.connection`. All are taken: a cursor that is left open forbids the commit."""
        return self._raw.execute(self._texts[statement], parameters).fetchall()

    def run(self, statement: str, parameters: Parameters) -> int:
        """See `aiq.backends.relational.connection`."""
        return self._raw.execute(self._texts[statement], parameters).rowcount

    def write(self, statement: str, parameters: Parameters) -> None:
        """See `aiq.backends.relational.connection`. Nothing is won by waiting."""
        self.run(statement, parameters)

    def foresee(self, questions: Iterable[Question]) -> None:
        """See `aiq.backends.relational.connection`. Nothing is won by asking before the time."""


class WorkConnection(aiosqlite.Connection):
    """A connection that runs functions in its own thread, one after the other."""

    def __init__(self, path: str) -> None:
        super().__init__(lambda: _connect(path), iter_chunk_size=1)
        # A program that forgets to close must end all the same; `_finish_at_exit` lets the last function finish.
        self._thread.daemon = True
        _ALIVE.add(self)

    @classmethod
    async def open(cls, path: str) -> Self:
        """Open a file in a thread of its own.

        Raises:
            sqlite3.Error: it cannot be opened; then the thread has ended.
        """
        connection = cls(path)
        try:
            await connection
        finally:
            if connection._connection is None:
                # It is ending by itself, and has a last word for this loop, which may be closed soon.
                connection._thread.join()
        return connection

    async def perform(self, work: Work[T]) -> T:
        """Run `work` in the thread and answer what it returns or raises. How it is cancelled: see `outcome`."""
        errand = Errand(partial(work, self._conn))
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((future, errand))
        return await outcome(future, errand)

    def drain(self, patience_s: float) -> None:
        """Wait, in any thread, until what was sent so far is done; a connection that was closed has done it."""
        done = threading.Event()
        self._tx.put_nowait((None, done.set))
        until = time.monotonic() + patience_s
        while self._thread.is_alive() and not done.wait(_LOOK_S) and time.monotonic() < until:
            pass


def _connect(path: str) -> sqlite3.Connection:
    # Transactions are begun and ended by name, and SQLite's own waiting is off: it is neither fair nor bounded by us.
    return sqlite3.connect(path, isolation_level=None, timeout=0, cached_statements=_CACHED_STATEMENTS)


_ALIVE: Final[weakref.WeakSet[WorkConnection]] = weakref.WeakSet()


@atexit.register
def _finish_at_exit() -> None:
    for connection in list(_ALIVE):
        connection.drain(_EXIT_PATIENCE_S)
