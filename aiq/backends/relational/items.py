"""Items of a job's stream, and the ranges by which a reset knows what is void. Spec: chapter 8."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from aiq.backends.relational.rows import Job, numbers
from aiq.backends.relational.statements import load
from aiq.backends.relational.steps import SQL as STEPS
from aiq.backends.relational.transaction import Transaction
from aiq.model import ChunkKind, State
from aiq.rules.streams import Range, marker, newly_void, reset_bodies

SQL: Final = load("items")


@dataclass(slots=True)
class Stream:
    """The stream of a job that has not moved yet, while a step adds to it. `save` ends it."""

    tx: Transaction
    job: Job
    last: int
    newest: Range | None
    """The newest range. The others are read when a reset is due, once a run: there may be as many as items."""
    touched: dict[int, Range] = field(default_factory=dict)
    """Ranges that are new or other than stored, by their first number."""

    def add(self, kind: ChunkKind, data: bytes, *, step: str | None = None, seq: int | None = None) -> int:
        """Add one item under the next number. Spec: STREAM-1"""
        self.last += 1
        self.tx.later(
            SQL["add"],
            {
                "change": self.tx.next_change(),
                "n": self.job.n,
                "number": self.last,
                "kind": kind,
                "fence": self.job.record.fence,
                "seq": seq,
                "step": step,
            },
            data=data,
        )
        return self.last

    def add_data(self, data: bytes, *, step: str | None, seq: int) -> None:
        """Add what a run emitted; before its first goes a reset, if one is due. Spec: STREAM-4"""
        if not self.has_data:
            self.reset()
        number = self.add(ChunkKind.DATA, data, step=step, seq=seq)
        fence = self.job.record.fence
        if self.newest is not None and (self.newest.fence, self.newest.step) == (fence, step):
            self.newest = replace(self.newest, last=number)
        else:
            self.newest = Range(number, number, fence, step)
        self.touched[self.newest.first] = self.newest

    @property
    def has_data(self) -> bool:
        """Whether this run has emitted data. Its own ranges are the newest."""
        return self.newest is not None and self.newest.fence == self.job.record.fence

    def reset(self) -> None:
        """Name the data that this run makes void, if there is any; name nothing twice. Spec: STREAM-4, STREAM-7"""
        if self.newest is None:
            return
        fence = self.job.record.fence
        ranges = [Range(*row) for row in self.tx.table(SQL["ranges"], {"n": self.job.n, "fence": fence})]
        void = newly_void(ranges, self._saved_by(ranges), fence)
        for body in reset_bodies(void):
            self.add(ChunkKind.RESET, body)
        self.touched.update({r.first: replace(r, void=True) for r in void})

    def save(self) -> None:
        """Write the ranges that changed. Whoever has added to the stream also writes how long it is now."""
        for r in self.touched.values():
            self.tx.later(SQL["touch"], self._columns(r))
        self.tx.forget(self.job)

    def _saved_by(self, ranges: Iterable[Range]) -> dict[str, int]:
        keys = sorted({r.step for r in ranges if r.step is not None})
        return dict(self.tx.table(STEPS["saved_by"], {"n": self.job.n, "keys": json.dumps(keys)})) if keys else {}

    def _columns(self, r: Range) -> dict[str, object]:
        return {"n": self.job.n, "first": r.first, "last": r.last, "fence": r.fence, "step": r.step, "void": r.void}


def newest_ranges(tx: Transaction, jobs: Iterable[Job]) -> dict[int, Range]:
    """The newest range of each job that has any, by the number of the job."""
    ns = [job.n for job in jobs if job.record.chunks]
    return {n: Range(*row) for n, *row in tx.table(SQL["newest_ranges"], {"ns": numbers(ns)})} if ns else {}


def close_stream(tx: Transaction, job: Job, state: State, told: str) -> None:
    """Write the last item of a job that ends, if it has items at all. Spec: STREAM-6, STREAM-8

    `told` is the text of the last error, for a job that is dead.
    """
    if job.record.chunks:
        stream = Stream(tx, job, job.record.chunks, newest_ranges(tx, [job]).get(job.n))
        if job.record.state is State.RUNNING and not stream.has_data:
            stream.reset()
        stream.add(marker(state), told.encode() if state is State.DEAD else b"")
        stream.save()
        tx.run(SQL["count"], {"n": job.n, "last": stream.last})
