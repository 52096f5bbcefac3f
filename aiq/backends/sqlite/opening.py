"""Opening a file: its settings, its schema, and whether it can hold jobs at all."""

import sqlite3
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from aiq.backends.sqlite.atomic import Home, patiently
from aiq.backends.sqlite.connection import WorkConnection
from aiq.backends.sqlite.errors import ours
from aiq.backends.sqlite.migrate import check_library, check_version, migrate
from aiq.backends.sqlite.sql import TEXTS
from aiq.errors import Misconfigured

_SYNCHRONOUS: Final = {
    "full": "PRAGMA synchronous = FULL",
    "normal": "PRAGMA synchronous = NORMAL",
    "extra": "PRAGMA synchronous = EXTRA",
}
_SETTINGS: Final = (
    # Without these a disk under macOS may keep in a cache of its own what it was told to write. No effect elsewhere.
    "PRAGMA fullfsync = ON",
    "PRAGMA checkpoint_fullfsync = ON",
    # After a long reader has let go, the log shrinks again to this.
    "PRAGMA journal_size_limit = 67108864",
    # The log is folded in by the commit that takes it to so many pages (16 MB), and whoever made that one waits. At the
    # 1,000 of SQLite it was one claim in a hundred, and the same pages were written several times.
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA cache_size = -16384",
    "PRAGMA temp_store = MEMORY",
)

TABLES: Final = ("plain_enqueue.arriving", "plain_exchange.moving")
"""Statements that make tables of the writing connection's own, which nobody else sees; each step leaves them empty."""


async def open_connections(home: Home) -> tuple[WorkConnection, WorkConnection]:
    """Open a writer and a reader; both or none. The file is made, and its schema brought up to date.

    Raises:
        Misconfigured: the file cannot be opened, or its file system cannot hold a database that is shared.
        StorageMismatch: a later version of aiq has made it.
        Corrupt: it is no database, or damaged.
        ReadOnly: it cannot be written.
    """
    check_library()
    async with AsyncExitStack() as opened:
        writer = await _open(home, opened, partial(_prepare_writer, home))
        reader = await _open(home, opened, _prepare_reader)
        opened.pop_all()
    return writer, reader


async def _open(home: Home, opened: AsyncExitStack, prepare: Callable[[sqlite3.Connection], None]) -> WorkConnection:
    with ours(home.path):
        connection = await WorkConnection.open(home.path)
    opened.push_async_callback(connection.close)
    await connection.perform(lambda raw, unwanted: patiently(home, lambda: prepare(raw), unwanted))
    return connection


def _prepare_writer(home: Home, connection: sqlite3.Connection) -> None:
    # Looked at before anything is set: a file that is not for us is left as it is.
    check_version(connection, home.path)
    _check_encoding(connection, home.path)
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise Misconfigured(
            f"{home.path} is in journal mode {mode}, because its file system cannot share memory between processes. "
            "Put it on a local disk."
        )
    for setting in (_SYNCHRONOUS[home.address.synchronous], *_SETTINGS):
        connection.execute(setting)
    migrate(connection, home.path, home.clock())
    _check_writable(connection)
    for table in TABLES:
        connection.execute(TEXTS[table])
    home.check_file()


def _check_encoding(connection: sqlite3.Connection, path: str) -> None:
    """Bytes are read as texts of the database's encoding (see `table`), which changes none of them in UTF-8 alone."""
    (encoding,) = connection.execute("PRAGMA encoding").fetchone()
    if encoding != "UTF-8":
        raise Misconfigured(f"{path} was made by another program, with texts in {encoding}. Use a file of its own.")


def _check_writable(connection: sqlite3.Connection) -> None:
    """Find a file that can only be read out now, and not by the first job. BEGIN IMMEDIATE alone would not tell."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(TEXTS["opening.try_to_write"])
    finally:
        connection.execute("ROLLBACK")


def _prepare_reader(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = ON")
    for setting in _SETTINGS:
        connection.execute(setting)
