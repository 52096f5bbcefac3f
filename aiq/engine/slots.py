"""How many jobs of each queue a worker runs at once."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from aiq.engine.run import Run
from aiq.model import SlotUse, Want

LENT_AT_LEAST: Final = 16
"""Places that a queue may lend if it has fewer: else a few calls that wait would keep a small worker from all else."""


class Slots:
    """Places for runs, per queue. A run holds its place until its handler is really over, heeded cancel or not.

    A run that only waits may lend its place, and takes it back when it goes on, free or not: it is under way, and what
    it was admitted for must be used now. No more places of a queue are lent than it has, or than LENT_AT_LEAST, so at
    most so many more runs of a queue are there, and for as long as all of them work, no further one is claimed.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes: Final = dict(sizes)
        self._free = dict(sizes)
        self._lent: set[Run] = set()
        self._told: set[Run] = set()
        self._by_job: dict[str, Run] = {}
        self._order = list(sizes)
        self._empty = asyncio.Event()
        self._empty.set()
        self.runs: set[Run] = set()
        """Runs whose handlers are not over."""

    def take(self, run: Run) -> None:
        """Give a run its place."""
        self.runs.add(run)
        self._by_job[run.record.id] = run
        self._free[run.record.queue] -= 1
        self._empty.clear()

    def give_back(self, run: Run) -> None:
        """Free the place of a run; a second time changes nothing."""
        if run not in self.runs:
            return
        self.take_back(run)
        self.runs.remove(run)
        self._told.discard(run)
        if self._by_job.get(run.record.id) is run:
            del self._by_job[run.record.id]
        self._free[run.record.queue] += 1
        if not self.runs:
            self._empty.set()

    def lend(self, run: Run) -> bool:
        """Let another have the place of a run that waits. Whether it is newly free; a second time changes nothing."""
        queue = run.record.queue
        if run not in self.runs or run in self._lent:
            return False
        if sum(lender.record.queue == queue for lender in self._lent) >= max(self.sizes[queue], LENT_AT_LEAST):
            return False
        self._lent.add(run)
        self._free[queue] += 1
        return True

    def take_back(self, run: Run) -> None:
        """A run that has lent its place needs it; of any other this changes nothing."""
        if run in self._lent:
            self._lent.remove(run)
            self._free[run.record.queue] -= 1

    def tell(self, run: Run) -> None:
        """A run was told to stop. Until its place is given back, its handler may still be at work."""
        if run in self.runs:
            self._told.add(run)

    def run_of(self, job_id: str) -> Run | None:
        """The last run of a job whose handler is not over, if there is one."""
        return self._by_job.get(job_id)

    def unwinds(self, job_id: str) -> bool:
        """Whether an earlier run of a job is still here although it was told to stop."""
        return any(run.record.id == job_id for run in self._told)

    async def empty(self) -> None:
        """Wait until no handler runs."""
        await self._empty.wait()

    def free(self, queue: str) -> int:
        """How many more jobs of a queue could run; less than none if runs have taken back what they had lent."""
        return self._free[queue]

    def any_free(self) -> bool:
        """Whether another job could run."""
        return any(count > 0 for count in self._free.values())

    @property
    def lent(self) -> int:
        """How many places are lent."""
        return len(self._lent)

    def use(self) -> tuple[SlotUse, ...]:
        """How many places each queue has, and how many are taken. Any thread may ask."""
        return tuple(SlotUse(queue, size, max(0, size - self._free[queue])) for queue, size in self.sizes.items())

    def wants(self, ahead: Callable[[str], int]) -> tuple[Want, ...]:
        """What to ask a storage for: what is free, and so many more of a queue as `ahead` says, unless it has more runs
        than places. Each time another queue is first, since a claim gives only so many in all."""
        self._order.append(self._order.pop(0))
        counts = ((queue, self._free[queue] + ahead(queue)) for queue in self._order if self._free[queue] >= 0)
        return tuple(Want(queue, count) for queue, count in counts if count > 0)
