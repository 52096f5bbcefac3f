"""Storages in PostgreSQL whose connections outlive them, for tests that need a new storage and no new connection.

A connection prepares each statement when it first comes, and that takes longer than all the rest of most tests.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiq.backends.postgres.address import parse
from aiq.backends.postgres.atomic import Home
from aiq.backends.postgres.line import Line
from aiq.backends.postgres.storage import PostgresStorage, open_lines
from aiq.testing.clock import Clock

_lines: dict[str, tuple[Line, Line]] = {}


class Lent(PostgresStorage):
    """A storage that leaves its lines open when it is closed. Its siblings have their own."""

    async def sibling(self) -> PostgresStorage:
        self._check_usable()
        return PostgresStorage(self._home, *await open_lines(self._home))

    async def close(self) -> None:
        if self._open:
            self._open = False
            await self._watch.close()


@asynccontextmanager
async def lent(url: str, clock: Clock) -> AsyncIterator[PostgresStorage]:
    """Open a storage on the lines of the one before at this address."""
    home = Home(parse(url), clock)
    storage = Lent(home, *(_lines.pop(url, None) or await open_lines(home)))
    try:
        yield storage
    finally:
        await storage.close()
        _lines[url] = (storage._writer, storage._reader)
