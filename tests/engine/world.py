"""A worker and a storage in one loop whose time jumps to the next timer, so that nothing here ever sleeps.

Keeper and storage read the same clock as the loop. A day of leases, retries and polls takes milliseconds, and the
same seed gives the same run.
"""

import asyncio
import inspect
import logging
import selectors
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import wraps
from random import Random
from typing import Any, Concatenate, ParamSpec

import aiq
from aiq.backends.memory.storage import open_memory
from aiq.engine.engine import Engine
from aiq.engine.keeper import Keeper
from aiq.engine.leases import Held, Leases
from aiq.engine.outage import Outage
from aiq.engine.presence import Census
from aiq.engine.settings import Settings
from aiq.engine.statistics import Statistics, Tally
from aiq.engine.timing import BootClock
from aiq.engine.unserved import Unserved
from aiq.model import JobRecord, State
from aiq.newjob import NewJob
from aiq.storage import Storage
from aiq.task import Task
from aiq.testing import Faulty

P = ParamSpec("P")

START_MS = 1_700_000_000_000


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that never waits: when nothing is ready, its clock jumps to the next timer."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.now


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("Everything waits, and no timer is set: this test would hang for ever.")
        self._loop.now += timeout
        return super().select(0)


class LoopKeeper:
    """The keeper as a task of the loop that it watches, so that it lives in the same time."""

    def __init__(self, storage: Storage, leases: Leases, clock: BootClock, rng: Random, census: Census) -> None:
        # Nothing is said of the worker: beats are tried apart.
        self._storage, self._leases, self._clock, self._rng = storage, leases, clock, rng
        self._keeper: Keeper | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        # No sibling: there is one loop only, and faults planned for renewals shall strike here.
        post = asyncio.get_running_loop().call_soon
        self._keeper = Keeper(self._storage, self._leases, post, clock=self._clock, rng=self._rng, thread=0)
        self._task = asyncio.create_task(self._keeper.run())

    def hold(self, batch: Iterable[Held]) -> None:
        self._leases.add(batch)
        assert self._keeper is not None
        self._keeper.wake()

    async def ended(self) -> None:
        if self._task is not None:
            await asyncio.wait({self._task})

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.stop()
            await self.ended()


class World:
    """A storage in memory, workers, and time."""

    def __init__(self, storage: Storage, clock: Callable[[], int]) -> None:
        self.faults = Faulty(storage)
        self.storage = storage
        self.clock = clock
        self.tally = Tally()
        self.outage = Outage(logging.getLogger("aiq.worker"), "What runs ask waits", "It is taken", clock=clock)
        self._count = self._engines = 0

    async def enqueue(self, *jobs: NewJob[Any]) -> list[str]:
        """Store jobs, named job-1, job-2 … unless they name themselves."""
        specs = []
        for job in jobs:
            self._count += 1
            specs.append(job.spec(job_id=f"job-{self._count}"))
        return [answer.job_id for answer in await self.storage.enqueue(specs)]

    def engine(
        self,
        *tasks: Task[Any, object],
        slots: Mapping[str, int] | int = 10,
        storage: Storage | None = None,
        **settings: Any,
    ) -> Engine:
        """A worker on a storage that may have faults planned."""
        self._engines += 1
        chosen: dict[str, Any] = {
            "name": "worker",
            "default_queue": "default",
            "grace_ms": 30_000,
            "cancel_grace_ms": 10_000,
            "unknown_grace_ms": 60_000,
            "threads": 4,
            "processes": 1,
            "clock": self.clock,
            "rng": Random(self._engines),
            "keeper": LoopKeeper,
        }
        sizes = slots if isinstance(slots, Mapping) else {"default": slots}
        made = Settings(tasks={task.name: task for task in tasks}, slots=sizes, **{**chosen, **settings})
        return Engine(storage or self.faults, made, self.tally, Unserved(sizes))

    async def drain(self, *tasks: Task[Any, object], **settings: Any) -> Statistics:
        """Work until nothing is running, ready or due."""
        engine = self.engine(*tasks, **settings)
        await engine.start()
        await engine.run(until_idle=True)
        assert not engine._leases, "a lease is kept though nothing runs"
        return engine.statistics

    async def start(self, *tasks: Task[Any, object], **settings: Any) -> "Working":
        """A worker that works until the test stops it."""
        engine = self.engine(*tasks, **settings)
        await engine.start()
        return Working(engine, asyncio.create_task(engine.run()))

    async def get(self, job_id: str) -> JobRecord:
        """A job as it is stored."""
        record = (await self.storage.get([job_id]))[0]
        assert record is not None
        return record

    async def state(self, job_id: str) -> State:
        """The state of a job."""
        return (await self.get(job_id)).state

    async def until(self, job_id: str, *states: State) -> JobRecord:
        """Let time pass until a job is in one of some states."""
        mark = await self.storage.wait([f"job:{job_id}"], after=None, timeout_ms=0)
        while (record := await self.get(job_id)).state not in states:
            mark = await self.storage.wait([f"job:{job_id}"], after=mark, timeout_ms=100_000_000)
        return record

    async def clean(self) -> None:
        """Nothing that any clause forbids is in the storage."""
        assert await self.storage.audit() == []


class Working:
    """A worker under way."""

    def __init__(self, engine: Engine, task: "asyncio.Task[None]") -> None:
        self.engine, self.task = engine, task

    @property
    def statistics(self) -> Statistics:
        return self.engine.statistics

    async def stop(self) -> None:
        """Stop it in order, and hear what it has to say."""
        self.engine.stop()
        await asyncio.wait({self.task})
        self.task.result()


def virtually(test: Callable[Concatenate[World, P], Awaitable[None]]) -> Callable[P, None]:
    """Make a test of a coroutine that is given a World. Nothing may be left running at its end."""

    async def lived(*args: P.args, **kwargs: P.kwargs) -> None:
        loop = asyncio.get_running_loop()
        complaints: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: complaints.append(context))

        def clock() -> int:
            return START_MS + round(loop.time() * 1000)

        await test(World(await open_memory("memory://", clock), clock), *args, **kwargs)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"left running: {left}"
        assert not complaints, complaints

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(lived(*args, **kwargs))

    signature = inspect.signature(test)
    # pytest reads fixtures from the signature, and the world is none.
    run.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # type: ignore[attr-defined]
    del run.__wrapped__  # type: ignore[attr-defined]
    return run


__all__ = ["START_MS", "LoopKeeper", "VirtualLoop", "Working", "World", "aiq", "virtually"]
