"""Storages side by side: each gets jobs and lets a worker do as many, in turns, and what a job costs is compared."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, urlencode

import aiq
from aiq.model import Keep, RetentionSpec
from aiq.newjob import NewJob
from benchmarks.cost import Clocks, Cost, Instant
from benchmarks.private import store_of
from benchmarks.spread import Spread, spread, table
from benchmarks.stores import tidy

SLOTS: Final = 100
SINGLE: Final = 200
"""Jobs of a turn that come one by one."""
WARM: Final = 500
"""Jobs that a worker does in a turn before those that are measured: it has to start."""
LOT: Final = 4_096
"""Jobs that one call puts in."""

Deal: TypeAlias = Callable[[NewJob[int]], NewJob[int]]
"""What makes the next job of a storage of a plain one: whose it is, and what it takes."""


class Mile:
    """The jobs of a worker that are measured: those that begin after the first few."""

    def __init__(self, clocks: Clocks, jobs: int) -> None:
        self._clocks, self._at = clocks, (WARM, WARM + jobs)
        self._done = 0
        self._marks: list[Instant] = []
        self.over = asyncio.Event()

    def up(self) -> None:
        """One more."""
        self._done += 1
        if self._done in self._at:
            self._marks.append(self._clocks.now())
            if self._done == self._at[-1]:
                self.over.set()

    def cost(self) -> Cost:
        """Of each of them."""
        began, ended = self._marks
        return began.until(ended, self._at[1] - self._at[0])


class Side:
    """One of the storages. Its jobs are plain, unless they are dealt otherwise."""

    def __init__(self, url: str, queue: aiq.Queue, deal: Deal = lambda job: job) -> None:
        self.queue, self._deal, self._clocks = queue, deal, Clocks.of(url)
        self._mile = Mile(self._clocks, 0)

        @aiq.task
        async def noop(number: int) -> int:
            self._mile.up()
            return number

        self._noop = noop

    async def keep_all(self) -> None:
        """Let nothing of it go while it is measured."""
        await self.queue.storage.put_retention(RetentionSpec(succeeded=Keep(), events=Keep()))

    async def put(self, jobs: int) -> None:
        """New jobs, many at once."""
        for first in range(0, jobs, LOT):
            numbers = range(first, min(first + LOT, jobs))
            await self.queue.enqueue_many([self._job(number) for number in numbers])

    async def put_singly(self, jobs: int) -> None:
        """New jobs, one by one."""
        for number in range(jobs):
            await self.queue.enqueue(self._job(number))

    async def turn(self, jobs: int) -> dict[str, Cost]:
        """New jobs, and as many done."""
        return {
            "one_by_one": await self._clocks.cost(SINGLE, lambda: self.put_singly(SINGLE)),
            "enqueue_many": await self._clocks.cost(jobs + WARM, lambda: self.put(jobs + WARM)),
            "drain": await self._drain(jobs + SINGLE),
        }

    def _job(self, number: int) -> NewJob[int]:
        return self._deal(self._noop.job(number))

    async def _drain(self, jobs: int) -> Cost:
        self._mile = Mile(self._clocks, jobs)
        async with aiq.Worker(self.queue, tasks=[self._noop], slots=SLOTS):
            await self._mile.over.wait()
        return self._mile.cost()


@dataclass(frozen=True, slots=True)
class Figure:
    """One kind of work on two storages. A ratio is that of the two sides of one round."""

    few: Spread
    many: Spread
    few_cpu: Spread
    many_cpu: Spread
    ratio: Spread
    ratio_cpu: Spread


@dataclass(frozen=True, slots=True)
class Compared:
    """What was found, and how long it took to make what it was found in."""

    filling_seconds: float
    figures: dict[str, Figure]


@dataclass(frozen=True, slots=True)
class Plan:
    """One of two storages: where it is, what its jobs are, and how it is filled."""

    url: str
    fill: Callable[[Side], Awaitable[None]]
    deal: Deal = lambda job: job


async def measure(plans: tuple[Plan, Plan], jobs: int, rounds: int) -> Compared:
    """Fill both storages, and measure them in turns, there and back."""
    async with AsyncExitStack() as stack:
        queues = [await stack.enter_async_context(aiq.Queue(plan.url)) for plan in plans]
        sides = [Side(plan.url, queue, plan.deal) for plan, queue in zip(plans, queues, strict=True)]
        began = time.perf_counter()
        for side, plan in zip(sides, plans, strict=True):
            print(f"filling {plan.url}", file=sys.stderr)
            await side.keep_all()
            await plan.fill(side)
            await asyncio.to_thread(tidy, plan.url)
        filling = time.perf_counter() - began
        found: list[list[dict[str, Cost]]] = [[], []]
        for number in range(rounds):
            for place in (0, 1)[:: -1 if number % 2 else 1]:
                found[place].append(await sides[place].turn(jobs))
    return Compared(round(filling, 1), compare(*found))


def compare(few: list[dict[str, Cost]], many: list[dict[str, Cost]]) -> dict[str, Figure]:
    """Both sides of each kind of work, and how many times the cost of few that of many is."""
    return {name: figure([one[name] for one in few], [one[name] for one in many]) for name in few[0]}


def figure(few: list[Cost], many: list[Cost]) -> Figure:
    """One kind of work."""
    pairs = list(zip(few, many, strict=True))
    return Figure(
        few=spread([cost.wall_us for cost in few]),
        many=spread([cost.wall_us for cost in many]),
        few_cpu=spread([cost.cpu_us for cost in few]),
        many_cpu=spread([cost.cpu_us for cost in many]),
        ratio=spread([b.wall_us / a.wall_us for a, b in pairs]),
        ratio_cpu=spread([b.cpu_us / a.cpu_us for a, b in pairs]),
    )


def beside(url: str, name: str) -> str:
    """A storage of another name on the same server, or in the same folder."""
    setting = {"redis": "namespace", "postgres": "schema"}.get(store_of(url))
    address, mark, query = url.partition("?")
    if setting is None:
        return f"{address}-{name}{mark}{query}"
    settings = dict(parse_qsl(query))
    settings[setting] = f"{settings.get(setting, 'growth')}_{name}"
    return f"{address}?{urlencode(settings)}"


def show(found: Compared, names: tuple[str, str] = ("few", "many")) -> str:
    """A table for people."""
    rows = [[name, *[str(value) for value in _spreads(one)]] for name, one in found.figures.items()]
    one, other = names
    columns = ["us a job", one, other, f"{one}, CPU", f"{other}, CPU", "ratio", "ratio, CPU"]
    return f"filling: {found.filling_seconds} s\n{table(columns, rows)}"


def _spreads(one: Figure) -> Sequence[Spread]:
    """In the order of the columns."""
    return (one.few, one.many, one.few_cpu, one.many_cpu, one.ratio, one.ratio_cpu)
