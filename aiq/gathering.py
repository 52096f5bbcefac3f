"""What many callers of one process enqueue at once travels together: while one step is under way, the next gathers.

A call to a store costs far more than another job in it. Nobody waits for company, though: a caller who is alone makes
the step at once, by himself.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiq.bounds import MAX_BATCH, MAX_BATCH_BYTES, MAX_DEPENDENCIES
from aiq.errors import OF_STORAGE, Corrupt, QueueFull, Unavailable, twin
from aiq.model import Enqueued, JobSpec
from aiq.storage import Storage
from aiq.storage.finishing import finished

_OF_ALL: Final = (*OF_STORAGE, Corrupt)
"""What is wrong with the storage, and not with one of the jobs: whoever travelled together is told the same."""
_ENDED: Final = "The loop that enqueued for several callers was told to end."


@dataclass(eq=False, slots=True)
class _Caller:
    """Who waits for some jobs to be stored, all in one step. Whoever is cancelled wants no further step."""

    specs: Sequence[JobSpec]
    answer: "asyncio.Future[list[Enqueued]]"
    wants: bool = True

    def refuse(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Gathering:
    """Enqueues for the callers of one loop, in the order in which they came."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._waiting: deque[_Caller] = deque()
        self._driver: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    async def enqueue(self, specs: Sequence[JobSpec]) -> list[Enqueued]:
        """Store jobs in one step, all of them or none; others may travel in the same one.

        Each caller has its own answer once its jobs are durable, or its own error. Whoever is cancelled before the step
        has begun has stored nothing; later, the cancellation goes on when the step is over.

        Raises:
            AiqError: as `aiq.storage.Jobs.enqueue`.
        """
        if not self._idle.is_set():
            return await self._join(specs)
        self._idle.clear()
        try:
            return await self._storage.enqueue(specs)
        finally:
            self._go_on()

    async def rest(self) -> None:
        """Wait until nothing is under way, and nobody waits."""
        await self._idle.wait()

    async def _join(self, specs: Sequence[JobSpec]) -> list[Enqueued]:
        caller = _Caller(specs, asyncio.get_running_loop().create_future())
        self._waiting.append(caller)
        try:
            return await asyncio.shield(caller.answer)
        except asyncio.CancelledError:
            caller.wants = False
            if caller in self._waiting:
                self._waiting.remove(caller)
                caller.answer.cancel()
            await finished(caller.answer)
            raise

    def _go_on(self) -> None:
        """Whoever has made the first step may be gone by the next: a task of our own makes those for the others."""
        if self._waiting:
            self._driver = asyncio.get_running_loop().create_task(self._drive())
        else:
            self._idle.set()

    async def _drive(self) -> None:
        together: list[_Caller] = []
        try:
            while together := self._next():
                await self._send(together)
        finally:
            # Where the task itself is cancelled nobody is left waiting, and whose step had begun is told so.
            for caller in together:
                caller.refuse(Unavailable(_ENDED, outcome_unknown=True))
            for caller in self._waiting:
                caller.refuse(Unavailable(_ENDED))
            self._waiting.clear()
            self._driver = None
            self._idle.set()

    def _next(self) -> list[_Caller]:
        """Those who wait, as many of the first as one step takes. It takes no id twice, so a repeat comes after."""
        together: list[_Caller] = []
        ids: set[str] = set()
        jobs = size = edges = 0
        while self._waiting:
            specs = self._waiting[0].specs
            jobs, size = jobs + len(specs), size + sum([len(spec.payload) for spec in specs])
            edges += sum([len(spec.depends_on) for spec in specs])
            fits = jobs <= MAX_BATCH and size <= MAX_BATCH_BYTES and edges <= MAX_DEPENDENCIES
            if together and not (fits and ids.isdisjoint([spec.id for spec in specs])):
                break
            ids.update([spec.id for spec in specs])
            together.append(self._waiting.popleft())
        return together

    async def _send(self, together: Sequence[_Caller]) -> None:
        """Make one step for those callers who still want it. Where a job is refused, it is made again in parts."""
        wanted = [caller for caller in together if caller.wants]
        for caller in together:
            if not caller.wants:
                caller.answer.cancel()
        if not wanted:
            return
        try:
            answers = iter(await self._storage.enqueue([spec for caller in wanted for spec in caller.specs]))
        except Exception as error:  # noqa: BLE001 - it goes to those who wait
            await self._sort_out(wanted, error)
        else:
            for caller in wanted:
                caller.answer.set_result([next(answers) for _ in caller.specs])

    async def _sort_out(self, together: Sequence[_Caller], error: Exception) -> None:
        if len(together) == 1:
            together[0].refuse(error)
        elif isinstance(error, _OF_ALL):
            for caller in together:
                caller.refuse(twin(error))
        else:
            for part in _parts(together, error):
                await self._send(part)


def _parts(together: Sequence[_Caller], error: Exception) -> list[Sequence[_Caller]]:
    """Halves, until the one is found who is refused. At a full queue all are known: those for whom there is no room
    each go by themselves, and nobody else waits for them."""
    if isinstance(error, QueueFull):
        others, late = _by_room(together, error)
        if late:
            return [others, *[[caller] for caller in late]]
    half = len(together) // 2
    return [together[:half], together[half:]]


def _by_room(together: Sequence[_Caller], full: QueueFull) -> tuple[list[_Caller], list[_Caller]]:
    room, others, late = full.bound - full.ready, list[_Caller](), list[_Caller]()
    for caller in together:
        wanted = sum([spec.queue == full.queue for spec in caller.specs])
        room -= wanted
        (late if wanted and room < 0 else others).append(caller)
    return others, late
