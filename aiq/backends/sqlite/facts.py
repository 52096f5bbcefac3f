"""What a SQLite file stands on: the library, its settings, the disk, the clock.

Each judgement is a pure function of what was found, so that it can be tested without such a disk.
"""

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from aiq.backends.relational.retire import marks
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.backends.sqlite.atomic import Home
from aiq.backends.sqlite.migrate import migrations
from aiq.model import Fact, Level
from aiq.rules.facts import clock_fact, inbox_fact, moving_fact

SQL: Final = load("facts")
INBOX: Final = load("inbox")

_MENDED: Final = ((3, 44, 6), (3, 50, 7))
"""Older lines into which the correction of the race was taken over; from 3.51.3 on every version has it."""
_WAL_WARN_BYTES: Final = 256 * 1024 * 1024
_DISK_WARN_BYTES: Final = 1024 * 1024 * 1024
_DISK_FAIL_BYTES: Final = 64 * 1024 * 1024
_NETWORK: Final = (
    "nfs",
    "cifs",
    "smb",
    "9p",
    "afs",
    "ceph",
    "fuse.sshfs",
    "lustre",
    "glusterfs",
    "fuse.glusterfs",
    "drvfs",
)
"""Beginnings of the names of file systems whose locks and shared memory cannot be relied on."""


def facts(tx: Transaction, home: Home) -> list[Fact]:
    """Look at the library, the settings, the disk, the clock, and whether it moves. Spec: FACT-1, FACT-3"""
    return list(_facts(tx, home))


def _facts(tx: Transaction, home: Home) -> Iterator[Fact]:
    path = home.address.path
    yield library_fact(sqlite3.sqlite_version_info)
    yield schema_fact(tx.rows(SQL["schema"])[0][0], max(migrations()))
    yield journal_fact(tx.rows(SQL["journal"])[0][0])
    yield durability_fact(home.address.synchronous)
    yield file_system_fact(file_system_of(path))
    yield wal_fact(_size(Path(f"{path}-wal")))
    yield disk_fact(shutil.disk_usage(path.parent).free)
    yield permissions_fact(stat.S_IMODE(path.stat().st_mode), folder_writable=os.access(path.parent, os.W_OK))
    newest = tx.row(SQL["newest"])
    yield clock_fact(tx.now_ms if newest is None else newest[0], tx.now_ms)
    found = marks(tx)
    yield inbox_fact(*tx.rows(INBOX["counts"])[0], moved="moved" in found)
    yield moving_fact(found.get("moved"), found.get("loading"), f"remove {path} and what stands beside it (-wal, -shm)")


def library_fact(version: tuple[int, ...]) -> Fact:
    """Warn of versions in which two connections that write and fold the log in may damage the file."""
    text = f"SQLite {'.'.join(map(str, version))}"
    mended = version >= (3, 51, 3) or any(version[:2] == line[:2] and version >= line for line in _MENDED)
    if mended:
        return Fact("library", Level.OK, f"{text}.")
    return Fact(
        "library",
        Level.WARN,
        f"{text} has a race in WAL mode that can, very rarely, damage a file which several connections write.",
        "Use a Python that is linked to SQLite 3.51.3 or newer (or 3.50.7, 3.44.6), and keep backups.",
    )


def schema_fact(found: int, known: int) -> Fact:
    """Compare the schema of the file with the newest that is known here."""
    if found > known:
        return Fact(
            "schema",
            Level.FAIL,
            f"The file has schema {found}, and this version of aiq knows {known}.",
            "Install the version of aiq that made it, or a newer one.",
        )
    return Fact("schema", Level.OK, f"Schema {found}, the newest that this version knows.")


def journal_fact(mode: str) -> Fact:
    """Anything but WAL lets readers and writers wait for each other."""
    if mode.lower() == "wal":
        return Fact("journal", Level.OK, "The journal is in WAL mode.")
    return Fact(
        "journal",
        Level.FAIL,
        f"The journal is in mode {mode}: another program has changed it.",
        "Stop that program; aiq sets WAL when it opens the file. Then run this again.",
    )


def durability_fact(synchronous: str) -> Fact:
    """Say what the loss of power may take."""
    if synchronous == "normal":
        return Fact(
            "durability",
            Level.WARN,
            "synchronous=normal: a loss of power may take the last commits, acknowledged jobs among them.",
            "Leave ?synchronous=normal out of the address if an acknowledged job must survive that.",
        )
    return Fact("durability", Level.OK, f"synchronous={synchronous}: what is acknowledged survives a loss of power.")


def file_system_fact(kind: str | None) -> Fact:
    """Warn of file systems that only seem to have locks and shared memory."""
    if kind is None:
        return Fact("file system", Level.OK, "The kind of file system cannot be told here; it must be a local one.")
    if kind.startswith(_NETWORK):
        return Fact(
            "file system",
            Level.FAIL,
            f"The file is on {kind}, a network or shared file system: two processes may damage it.",
            "Move the file to a local disk.",
        )
    return Fact("file system", Level.OK, f"The file is on {kind}.")


def wal_fact(size: int) -> Fact:
    """A log that has grown tells of a reader that keeps it from being folded in."""
    told = f"The log takes {_mb(size)} MB"
    if size >= _WAL_WARN_BYTES:
        return Fact(
            "log",
            Level.WARN,
            f"{told}: a reader has kept a transaction open for long, and every look at the file gets slower.",
            "Find the program that keeps one open (a shell, a backup, a browser of databases), and close it.",
        )
    return Fact("log", Level.OK, f"{told}.")


def disk_fact(free: int) -> Fact:
    """Warn before the disk is full: then nothing can be enqueued or settled."""
    level = Level.FAIL if free < _DISK_FAIL_BYTES else Level.WARN if free < _DISK_WARN_BYTES else Level.OK
    advice = "" if level is Level.OK else "Make room, or move the file; a full disk stops every write."
    return Fact("disk", level, f"{_mb(free)} MB are free.", advice)


def permissions_fact(mode: int, *, folder_writable: bool) -> Fact:
    """The folder must take the files of the log, and strangers must not write."""
    if not folder_writable:
        return Fact(
            "permissions",
            Level.FAIL,
            "The folder of the file cannot be written, and the log stands beside the file.",
            "Give the user that runs this the right to write into the folder.",
        )
    if mode & stat.S_IWOTH:
        return Fact(
            "permissions", Level.WARN, "Every user of this machine may write the file.", "Take that away: chmod o-w."
        )
    advice = "If payloads are private: chmod o-r, for the file and those beside it." if mode & stat.S_IROTH else ""
    who = "Every user of this machine may read the file." if advice else "The file is closed to other users."
    return Fact("permissions", Level.OK, who, advice)


def file_system_of(path: Path) -> str | None:
    """The kind of file system that a file is on, by the table of mounts of Linux; None where there is no such table."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return kind_of_mount(lines, path.resolve())


def kind_of_mount(lines: list[str], path: Path) -> str | None:
    """Of the mounts (device, place, kind …) that hold a path the innermost, and of several at one place the last."""
    best, kind = -1, None
    for line in lines:
        place, found = line.split(" ")[1:3]
        # Blanks in a place are written as \040.
        place = place.encode().decode("unicode_escape")
        if path.is_relative_to(place) and len(Path(place).parts) >= best:
            best, kind = len(Path(place).parts), found
    return kind


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _mb(size: int) -> str:
    return f"{size / 1_000_000:,.1f}"
