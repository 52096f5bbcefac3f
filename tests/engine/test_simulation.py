"""Whole workers in bad weather: every call may be slow, refused, or answered to nobody, and workers may die.

One seed is one run, in virtual time, so a failure can be looked at again and again: run the test of its seed. The
weather clears up after a while; then everything must come to its end, once, and nothing may be lost.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest

import aiq
from aiq.engine.engine import Engine
from aiq.errors import Unavailable
from aiq.model import State, Step
from aiq.storage import Storage
from tests.engine.world import World, virtually

ROUGH_S = 120
FLOW = 12
GO = aiq.Signal("go", int)


class Weather:
    """The storage as one worker sees it. Once the worker is dead, no call of its comes through any more."""

    def __init__(self, storage: Storage, rng: Random) -> None:
        self._storage, self._rng = storage, rng
        self.rough = True
        self.dead = False

    # Any: it stands for every method of a storage.
    def __getattr__(self, name: str) -> Any:
        method = getattr(self._storage, name)
        if name in ("url", "capabilities", "close", "sibling"):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._call(name, lambda: method(*args, **kwargs))

        return call

    async def _call(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        if self.dead:
            raise asyncio.CancelledError
        if not self.rough:
            return await call()
        luck = self._rng.random()
        await self._pause()
        if self.dead:
            raise asyncio.CancelledError
        if luck < 0.06:
            raise Unavailable(f"{name} was refused.")
        answer = await call()
        if luck < 0.12:
            raise Unavailable(f"The reply of {name} was lost.", outcome_unknown=True)
        await self._pause()
        if self.dead:
            raise asyncio.CancelledError
        return answer

    async def _pause(self) -> None:
        await asyncio.sleep(self._rng.expovariate(100) if self._rng.random() < 0.98 else self._rng.uniform(0, 8))


class Ship:
    """A worker in the weather."""

    def __init__(self, world: World, rng: Random, tasks: list[aiq.Task[Any, object]]) -> None:
        self.weather = Weather(world.storage, rng)
        self.engine: Engine = world.engine(
            *tasks,
            slots=rng.randint(1, 4),
            grace_ms=rng.choice([0, 5_000]),
            storage=self.weather,  # type: ignore[arg-type]  # it stands for every method
        )
        self.task: asyncio.Task[None] | None = None

    async def sail(self) -> None:
        await self.engine.start()
        self.task = asyncio.create_task(self.engine.run())

    async def land(self) -> None:
        assert self.task is not None
        self.engine.stop()
        await asyncio.wait({self.task})
        self.task.result()

    async def sink(self) -> None:
        """As by SIGKILL: not a word to the storage any more."""
        assert self.task is not None
        self.weather.dead = True
        runs = list(self.engine._slots.runs)
        for task in [run.task for run in runs] + [self.task]:
            if task is not None:
                task.cancel()
        await asyncio.wait({self.task, *[run.task for run in runs if run.task is not None]})


class Voyage:
    """Jobs of every kind, and what was seen of them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.starts: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        self.tasks = self._tasks()

    def _tasks(self) -> list[aiq.Task[Any, object]]:
        starts, paid = self.starts, self.paid
        again = aiq.task(lease=4, retry=aiq.Retry(attempts=50, first_delay=0.5, max_delay=2), max_stalls=50)

        @again(name="leaf")
        async def leaf(ctx: aiq.Context, number: int) -> int:
            starts[ctx.job_id] += 1
            await asyncio.sleep(number % 5)
            if ctx.attempt < number % 3:
                raise ValueError("bad luck")
            return number * 2

        @again(name="tree")
        async def tree(ctx: aiq.Context, number: int) -> int:
            async def pay() -> int:
                paid[ctx.job_id] += 1
                await asyncio.sleep(5)
                await ctx.emit(f"paid by {ctx.fence}")
                return number

            base = await ctx.step("pay", pay)
            halves = await ctx.gather("leaves", [leaf.job(number + n) for n in range(4)])
            await ctx.sleep("nap", 3)
            signal = await ctx.wait_for(GO)
            return base + sum(halves) + signal

        return [leaf, tree]

    async def board(self) -> list[str]:
        leaf, tree = self.tasks
        jobs = [leaf.job(n) for n in range(FLOW)] + [tree.job(n) for n in range(FLOW)]
        return await self.world.enqueue(*jobs)

    def expected(self, number: int) -> int:
        return number * 2 if number < FLOW else _tree_value(number - FLOW)


def _tree_value(number: int) -> int:
    return number + sum((number + n) * 2 for n in range(4)) + number


class Fleet:
    """Three workers at a time; who sinks or lands is followed by another."""

    def __init__(self, voyage: Voyage, rng: Random) -> None:
        self.voyage, self.rng = voyage, rng
        self.ships: list[Ship] = []

    async def launch(self) -> None:
        ship = Ship(self.voyage.world, Random(self.rng.random()), self.voyage.tasks)
        self.ships.append(ship)
        await ship.sail()

    async def lose_one(self, *, sinks: bool) -> None:
        ship = self.ships.pop(self.rng.randrange(len(self.ships)))
        await (ship.sink() if sinks else ship.land())
        await self.launch()

    async def weather_the_storm(self) -> None:
        for _ in range(3):
            await self.launch()
        loop = asyncio.get_running_loop()
        while loop.time() < ROUGH_S:
            await asyncio.sleep(self.rng.expovariate(1 / 4))
            luck = self.rng.random()
            if luck < 0.5:
                await self.lose_one(sinks=luck < 0.3)
        for ship in self.ships:
            ship.weather.rough = False


async def send_signals(world: World, trees: list[str], rng: Random) -> None:
    for number, job in enumerate(trees):
        await asyncio.sleep(rng.uniform(0, 2 * ROUGH_S / FLOW))
        await world.storage.send(job, "go", "once", str(number).encode())


async def live(world: World, seed: int) -> None:
    rng = Random(seed)
    voyage = Voyage(world)
    jobs = await voyage.board()
    fleet = Fleet(voyage, rng)
    sending = asyncio.create_task(send_signals(world, jobs[FLOW:], Random(seed)))
    await fleet.weather_the_storm()
    await sending
    for job in jobs:
        await world.until(job, State.SUCCEEDED, State.DEAD, State.CANCELLED)
    for ship in fleet.ships:
        await ship.land()
    await check(world, voyage, jobs)


async def check(world: World, voyage: Voyage, jobs: list[str]) -> None:
    await world.clean()
    for number, job in enumerate(jobs):
        record = await world.get(job)
        assert (record.state, record.result) == (State.SUCCEEDED, str(voyage.expected(number)).encode()), record
        steps: list[Step] = await world.storage.get_steps(job)
        if number >= FLOW:
            assert {step.key for step in steps} == {"pay", "leaves", "nap", "go"}
    # What is paid again was under way when a ship sank or lost its lease; never once it was saved.
    assert sum(voyage.paid.values()) >= FLOW
    counts = await world.storage.count()
    assert sum(counts["default"].values()) == counts["default"][State.SUCCEEDED] == 2 * FLOW + 4 * FLOW


@pytest.mark.parametrize("seed", range(12))
def test_everything_comes_to_its_end_once_whatever_the_weather(seed: int) -> None:
    @virtually
    async def run(world: World) -> None:
        await live(world, seed)

    run()
