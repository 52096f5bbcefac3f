"""One atomic step on a connection: its instant, the jobs it looked at, what it writes, and whom to wake.

A step decides in Python and writes in bulk. What it writes again and again (jobs that moved, their events,
results) is gathered, and goes out before the next read: so a batch of a hundred costs a few statements, and
every read sees all that came before it.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from aiq.backends.sqlite.rows import SQL as JOBS
from aiq.backends.sqlite.rows import Job, Row, ids, job_from_row
from aiq.backends.sqlite.sql import load

Parameters: TypeAlias = Mapping[str, object]

SQL: Final = load("transaction")
_NONE: Final[Parameters] = {}


class Transaction:
    """A step that is under way. `now_ms` is its one instant; `topics` are told once it is committed."""

    def __init__(self, connection: sqlite3.Connection, now_ms: int) -> None:
        self.connection = connection
        self.now_ms = now_ms
        self.topics: set[str] = set()
        self._jobs: dict[str, Job] = {}
        self._gathered: dict[str, list[Parameters]] = {}
        self._counters: list[int] = []
        self._first_change = 0

    def rows(self, sql: str, parameters: Parameters = _NONE) -> list[Row]:
        """Run a statement and take all its rows: a cursor that is left open would forbid the commit."""
        self.flush()
        return self.connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Parameters = _NONE) -> Row | None:
        """The first row, if there is any."""
        found = self.rows(sql, parameters)
        return found[0] if found else None

    def run(self, sql: str, parameters: Parameters = _NONE) -> None:
        """Run a statement that has no rows."""
        self.flush()
        self.connection.execute(sql, parameters)

    def many(self, sql: str, parameters: Iterable[Parameters]) -> None:
        """Run a statement for each set of parameters."""
        self.flush()
        self.connection.executemany(sql, parameters)

    def later(self, sql: str, parameters: Parameters) -> None:
        """Run a statement before the next read or the commit, along with its like.

        Statements that are gathered must not depend on each other: each kind is run in its own order, and
        kinds in the order in which the first of each came.
        """
        self._gathered.setdefault(sql, []).append(parameters)

    def flush(self) -> None:
        """Run what was gathered."""
        if self._gathered:
            gathered, self._gathered = self._gathered, {}
            for sql, parameters in gathered.items():
                self.connection.executemany(sql, parameters)

    def fetch(self, job_ids: Iterable[str]) -> None:
        """Read jobs that will be asked for, all at once."""
        unknown = [job_id for job_id in job_ids if job_id not in self._jobs]
        if unknown:
            self._read(unknown)

    def job(self, job_id: str) -> Job | None:
        """The job as it stands now, with what this step has done to it."""
        if job_id not in self._jobs:
            self._read([job_id])
        return self._jobs.get(job_id)

    def forget(self, job: Job) -> None:
        """A job is about to be written: whoever asks for it next must read it again."""
        self._jobs.pop(job.record.id, None)

    def _read(self, job_ids: list[str]) -> None:
        for row in self.rows(JOBS["hot"], {"ids": ids(job_ids)}):
            job = job_from_row(row)
            self._jobs[job.record.id] = job

    def next_number(self) -> int:
        """The place of a new job in the order of enqueueing."""
        return self._next(0)

    def next_position(self) -> int:
        """The place of a job that becomes ready; one counter serves the whole storage."""
        return self._next(1)

    def next_change(self) -> int:
        """The number of an event or chunk, or of anything else that others should look at."""
        return self._next(2)

    def next_changes(self, count: int) -> range:
        """As `next_change`, several at once."""
        first = self._next(2)
        self._counters[2] += count - 1
        return range(first, first + count)

    @property
    def changes(self) -> range:
        """The numbers that this step has given out with `next_change`."""
        return range(self._first_change, self._counters[2] + 1) if self._counters else range(0)

    def _next(self, which: int) -> int:
        if not self._counters:
            self._counters = list(self.connection.execute(SQL["counters"]).fetchone())
            self._first_change = self._counters[2] + 1
        self._counters[which] += 1
        return self._counters[which]

    def finish(self) -> None:
        """Write what is still to be written; the commit follows."""
        self.flush()
        if self._counters:
            jobs, positions, changes = self._counters
            self.connection.execute(SQL["count"], {"jobs": jobs, "positions": positions, "changes": changes})
