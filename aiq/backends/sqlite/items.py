"""Items of a job's stream, and the ranges by which a reset knows what is void. Spec: chapter 8."""

import json
from dataclasses import dataclass, field, replace
from typing import Final

from aiq.backends.sqlite.rows import Job
from aiq.backends.sqlite.sql import load
from aiq.backends.sqlite.steps import SQL as STEPS
from aiq.backends.sqlite.transaction import Transaction
from aiq.model import ChunkKind, State
from aiq.rules.streams import Range, marker, newly_void, reset_body

SQL: Final = load("items")


@dataclass(slots=True)
class Stream:
    """The stream of a job that has not moved yet, while a step adds to it. `save` ends it."""

    tx: Transaction
    job: Job
    last: int
    ranges: list[Range]
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
        newest = self.ranges[-1] if self.ranges else None
        if newest is not None and (newest.fence, newest.step) == (fence, step):
            self.ranges[-1] = extended = replace(newest, last=number)
        else:
            extended = Range(number, number, fence, step)
            self.ranges.append(extended)
        self.touched[extended.first] = extended

    @property
    def has_data(self) -> bool:
        """Whether this run has emitted data. Its own ranges are the newest."""
        return bool(self.ranges) and self.ranges[-1].fence == self.job.record.fence

    def reset(self) -> None:
        """Name the data that this run makes void, if there is any; name nothing twice. Spec: STREAM-4, STREAM-7"""
        void = newly_void(self.ranges, self._saved_by(), self.job.record.fence)
        if void:
            self.add(ChunkKind.RESET, reset_body(void))
            named = {r.first: replace(r, void=True) for r in void}
            self.ranges = [named.get(r.first, r) for r in self.ranges]
            self.touched.update(named)

    def save(self) -> None:
        """Write how long the stream is now, and the ranges that changed."""
        for r in self.touched.values():
            self.tx.later(SQL["touch"], self._columns(r))
        self.tx.run(SQL["count"], {"n": self.job.n, "last": self.last})
        self.tx.forget(self.job)

    def _saved_by(self) -> dict[str, int]:
        keys = sorted({r.step for r in self.ranges if r.step is not None})
        return dict(self.tx.table(STEPS["saved_by"], {"n": self.job.n, "keys": json.dumps(keys)})) if keys else {}

    def _columns(self, r: Range) -> dict[str, object]:
        return {"n": self.job.n, "first": r.first, "last": r.last, "fence": r.fence, "step": r.step, "void": r.void}


def open_stream(tx: Transaction, job: Job) -> Stream:
    """The stream of a job as it is stored."""
    rows = sorted(tx.table(SQL["ranges"], {"n": job.n})) if job.record.chunks else []
    ranges = [Range(first, last, fence, step, bool(void)) for first, last, fence, step, void in rows]
    return Stream(tx, job, job.record.chunks, ranges)


def close_stream(tx: Transaction, job: Job, state: State, told: str) -> None:
    """Write the last item of a job that ends, if it has items at all. Spec: STREAM-6, STREAM-8

    `told` is the text of the last error, for a job that is dead.
    """
    if job.record.chunks:
        stream = open_stream(tx, job)
        if job.record.state is State.RUNNING and not stream.has_data:
            stream.reset()
        stream.add(marker(state), told.encode() if state is State.DEAD else b"")
        stream.save()
