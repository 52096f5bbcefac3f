"""What many callers of one process enqueue at once travels together: while one step is under way, the next gathers.

A call to a store costs far more than another job in it. Nobody waits for company, though: a caller who is alone makes
the step at once, by himself.
"""

import asyncio
import copy
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiq.bounds import MAX_BATCH, MAX_BATCH_BYTES, MAX_DEPENDENCIES
from aiq.errors import Corrupt, Misconfigured, Moved, ReadOnly, StorageFull, StorageMismatch, Unavailable
from aiq.model import Enqueued, JobSpec
from aiq.storage import Storage

_OF_ALL: Final = (Unavailable, StorageFull, ReadOnly, Misconfigured, StorageMismatch, Corrupt, Moved)
"""What is wrong with the storage, and not with one of the jobs: whoever travelled together is told the same."""


@dataclass(frozen=True, eq=False, slots=True)
class _Caller:
    """Who waits for some jobs to be stored, all in one step."""

    specs: Sequence[JobSpec]
    answer: "asyncio.Future[list[Enqueued]]"

    def tell(self, answers: list[Enqueued]) -> None:
        if not self.answer.done():
            self.answer.set_result(answers)

    def refuse(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Gathering:
    """Enqueues for the callers of one process, in the order in which they came."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._waiting: deque[_Caller] = deque()
        self._under_way = False
        self._driver: asyncio.Task[None] | None = None

    async def enqueue(self, specs: Sequence[JobSpec]) -> list[Enqueued]:
        """Store jobs in one step, all of them or none; others may travel in the same one.

        Each caller has its own answer once its jobs are durable, or its own error. Whoever is cancelled before the step
        has begun has stored nothing.

        Raises:
            AiqError: as `aiq.storage.Jobs.enqueue`.
        """
        if self._under_way:
            caller = _Caller(specs, asyncio.get_running_loop().create_future())
            self._waiting.append(caller)
            return await caller.answer
        self._under_way = True
        try:
            return await self._storage.enqueue(specs)
        finally:
            self._go_on()

    async def rest(self) -> None:
        """Wait until nothing is under way for others."""
        if self._driver is not None:
            await asyncio.wait([self._driver])

    def _go_on(self) -> None:
        """Whoever has made the first step may be gone by the next: a task of our own makes those for the others."""
        self._under_way = bool(self._waiting)
        if self._under_way:
            self._driver = asyncio.get_running_loop().create_task(self._drive())

    async def _drive(self) -> None:
        together: list[_Caller] = []
        try:
            while together := self._next():
                await self._send(together)
        finally:
            # Nobody is left waiting, even if the loop ends.
            for caller in (*together, *self._waiting):
                caller.answer.cancel()
            self._waiting.clear()
            self._under_way, self._driver = False, None

    def _next(self) -> list[_Caller]:
        """Those who wait, as many of the first as one step takes. It takes no id twice, so a repeat comes after."""
        together: list[_Caller] = []
        ids: set[str] = set()
        jobs = size = edges = 0
        while self._waiting:
            caller = self._waiting[0]
            if not caller.answer.done():
                specs = caller.specs
                jobs, size = jobs + len(specs), size + sum([len(spec.payload) for spec in specs])
                edges += sum([len(spec.depends_on) for spec in specs])
                fits = jobs <= MAX_BATCH and size <= MAX_BATCH_BYTES and edges <= MAX_DEPENDENCIES
                if together and not (fits and ids.isdisjoint([spec.id for spec in specs])):
                    break
                ids.update([spec.id for spec in specs])
                together.append(caller)
            self._waiting.popleft()
        return together

    async def _send(self, together: Sequence[_Caller]) -> None:
        """Make one step for some callers. Where a job is refused, each half goes by itself, until it is found."""
        try:
            answers = iter(await self._storage.enqueue([spec for caller in together for spec in caller.specs]))
        except Exception as error:  # noqa: BLE001 - it goes to those who wait
            await self._sort_out(together, error)
        else:
            for caller in together:
                caller.tell([next(answers) for _ in caller.specs])

    async def _sort_out(self, together: Sequence[_Caller], error: Exception) -> None:
        if len(together) == 1:
            together[0].refuse(error)
        elif isinstance(error, _OF_ALL):
            for caller in together:
                # Each adds to its own what it knows of its job.
                caller.refuse(copy.copy(error).with_traceback(error.__traceback__))
        else:
            half = len(together) // 2
            await self._send(together[:half])
            await self._send(together[half:])
