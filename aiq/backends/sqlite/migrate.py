"""Brings a file to the schema that this version works with. Forward only, whole or not at all.

A migration is immutable once it is released, and adds before it changes: the release before must still run on
the new schema, because processes are not replaced at one moment.
"""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from aiq.errors import Misconfigured, StorageMismatch
from aiq.rules.fairness import digest

FOLDER: Final = Path(__file__).parent / "migrations"
OLDEST_SQLITE: Final = (3, 35)
"""The first that answers an UPDATE with its rows (RETURNING)."""


def check_library() -> None:
    """Refuse a SQLite that is too old.

    Raises:
        Misconfigured: the library that Python was built with lacks what we need.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise Misconfigured(
            f"This Python has SQLite {sqlite3.sqlite_version}, and aiq needs 3.35 or newer. "
            "Use a newer Python, or one that is linked to a newer SQLite."
        )


def check_version(connection: sqlite3.Connection, path: str) -> None:
    """Refuse a file that a later version of aiq has made. It is only read, and left as it is.

    Raises:
        StorageMismatch: the schema is newer than the newest that is known here.
    """
    found, known = _version(connection), max(migrations())
    if found > known:
        raise StorageMismatch(
            f"{path} has schema {found}, and this version of aiq knows schemas up to {known}. "
            "Install the version of aiq that made it, or a newer one: pip install --upgrade aiq."
        )


def migrate(connection: sqlite3.Connection, path: str, now_ms: int) -> list[int]:
    """Apply what is missing, under the write lock, and return the numbers that were applied.

    Raises:
        StorageMismatch: the schema is newer than the newest that is known here.
    """
    check_version(connection, path)
    if _version(connection) == max(migrations()):
        return []
    connection.create_function("sha256_hex", 1, digest, deterministic=True)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        # Looked at again: another process may have migrated while we waited for the lock.
        check_version(connection, path)
        missing = range(_version(connection) + 1, max(migrations()) + 1)
        for number in missing:
            _apply(connection, number, now_ms)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return list(missing)


def migrations() -> dict[int, Path]:
    """The files, by number: 1, 2, 3 …"""
    return {int(path.name[:4]): path for path in sorted(FOLDER.glob("*.sql"))}


def _version(connection: sqlite3.Connection) -> int:
    known = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'aiq_migrations'").fetchone()
    if not known[0]:
        return 0
    return int(connection.execute("SELECT coalesce(max(number), 0) FROM aiq_migrations").fetchone()[0])


def _apply(connection: sqlite3.Connection, number: int, now_ms: int) -> None:
    for statement in _statements(migrations()[number].read_text(encoding="utf-8")):
        connection.execute(statement)
    connection.execute("INSERT INTO aiq_migrations (number, applied_at_ms) VALUES (?, ?)", (number, now_ms))


def _statements(script: str) -> Iterator[str]:
    """Cut a script into statements. `executescript` will not do: it commits before it begins."""
    for part in re.split(r";\s*$", script, flags=re.MULTILINE):
        if part.strip():
            yield part
