"""What the tests of the storage in a SQLite file share."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiq.backends.clock import Clock
from aiq.backends.sqlite.storage import SQLiteStorage, open_sqlite


def url_of(path: Path, synchronous: str = "normal") -> str:
    return f"sqlite:///{path}?synchronous={synchronous}"


@asynccontextmanager
async def opened(path: Path, clock: Clock | None = None) -> AsyncIterator[SQLiteStorage]:
    storage = await open_sqlite(url_of(path), clock)
    try:
        yield storage
    finally:
        await storage.close()


async def in_writer(storage: SQLiteStorage, work: Callable[[sqlite3.Connection], Any]) -> Any:
    """Do something to the writer's own connection, in its thread."""
    return await storage._writer.perform(lambda connection, _: work(connection))


async def set_pragma(storage: SQLiteStorage, pragma: str) -> Any:
    return await in_writer(storage, lambda connection: connection.execute(f"PRAGMA {pragma}").fetchone())


async def in_transaction(storage: SQLiteStorage) -> bool:
    return bool(await in_writer(storage, lambda connection: connection.in_transaction))


def content(path: Path) -> bytes:
    return path.read_bytes()


def overwrite(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def remove(path: Path) -> None:
    path.unlink()
