"""What SQLite says, in the words of aiq. No driver's exception passes this module."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from aiq.errors import Corrupt, Misconfigured, ReadOnly, StorageError, StorageFull, StorageMismatch, Unavailable

BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_FORBIDDEN = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH})


def primary_code(error: sqlite3.Error) -> int | None:
    """The code without the detail in its upper bits; None for an error that the driver itself raised."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection is in the way, so that the same call may work in a moment."""
    return primary_code(error) in BUSY


def gone(path: str) -> str:
    """What is said of a file that is not there any more under its name."""
    return (
        f"{path} was moved, deleted or replaced while it was open. What is running here is lost to it. Start again, "
        "once the right file is in its place."
    )


@contextmanager
def ours(path: str) -> Iterator[None]:
    """Raise errors of aiq in place of SQLite's. `path` is the file, for the message."""
    try:
        yield
    except sqlite3.Error as error:
        raise _ours(error, path) from error


def _ours(error: sqlite3.Error, path: str) -> StorageError:
    code = primary_code(error)
    if code in BUSY:
        return Unavailable(f"{path} is locked by another process. Try again.")
    if code == sqlite3.SQLITE_FULL:
        return StorageFull(f"{path} cannot grow: the disk is full. Free some space, and repeat the call.")
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY_DBMOVED:
        return Misconfigured(gone(path))
    if code in _FORBIDDEN:
        return ReadOnly(f"{path} cannot be written ({error}). Check the permissions of the file and of its folder.")
    if code in _DAMAGED:
        return Corrupt(f"{path} is damaged, or no SQLite database ({error}). Nothing was deleted: keep a copy of it, "
                       "and restore a backup, or choose another path.")  # fmt: skip
    if code == sqlite3.SQLITE_CANTOPEN:
        return Misconfigured(f"{path} cannot be opened. It must be a file, in a folder that exists and can be written.")
    if code == sqlite3.SQLITE_CONSTRAINT:
        return Corrupt(f"Rows of {path} contradict each other ({error}). Run `audit()`, and report what it says.")
    if code == sqlite3.SQLITE_ERROR:
        return StorageMismatch(f"{path} does not have the tables that this version of aiq made ({error}). Restore it.")
    # An I/O error while committing leaves open whether the commit took place: the log may hold it all the same.
    return Unavailable(f"{path} cannot be used just now ({error}).", outcome_unknown=code == sqlite3.SQLITE_IOERR)
