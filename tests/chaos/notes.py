"""What happened, told outside of any storage: one line a note, appended by whatever process saw it.

A line is one write to a file opened with O_APPEND, so lines of several processes never mix, and a process that is
killed has written a line wholly or not at all.
"""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PLACE = "AIQ_CHAOS_PLACE"
"""The environment variable that tells a process where its folder of notes and gates is."""
LOOK_S = 0.005
DEADLINE_S = 30.0
"""What has not come true by then has failed; a busy machine takes its time."""


@dataclass(frozen=True, slots=True)
class Note:
    """One line. `at_ms` is of the machine's clock, as the instants in a SQLite file are."""

    at_ms: int
    pid: int
    what: str
    job: str = ""
    fence: int = 0
    detail: str = ""


def place() -> Path:
    """The folder of this process."""
    return Path(os.environ[PLACE])


def now_ms() -> int:
    """The machine's clock."""
    return time.time_ns() // 1_000_000


async def until(true: Callable[[], bool | Awaitable[bool]], what: str, within_s: float = DEADLINE_S) -> None:
    """Look at the world again and again until something is true: no event crosses from one process to another.

    Raises:
        TimeoutError: it has not come true in time.
    """
    deadline = time.monotonic() + within_s
    while not (found if isinstance(found := true(), bool) else await found):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within_s:g} s: {what}")
        await asyncio.sleep(LOOK_S)


def write(what: str, job: str = "", fence: int = 0, detail: str = "") -> None:
    """Append a note, before this returns."""
    note = [now_ms(), os.getpid(), what, job, fence, detail]
    os.write(_file(place() / "notes"), json.dumps(note).encode() + b"\n")


def read(folder: Path, what: str | None = None, job: str | None = None) -> list[Note]:
    """All notes so far, in the order in which they were written; or those of a kind, or of a job."""
    path = folder / "notes"
    lines = path.read_text().splitlines() if path.exists() else []
    notes = [Note(*json.loads(line)) for line in lines]
    return [note for note in notes if what in (None, note.what) and job in (None, note.job)]


@cache
def _file(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
