"""Jobs of every kind, for a file that many processes work on while some of them are killed.

Each job is named by its producer, and its result follows from its number, so that a test knows what must come out.
What a job does to the world outside is a note: `effect` when its work is done, `paid` for each step.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import aiq
from tests.chaos import notes
from tests.chaos.tasks import told

LEASE_S = 2.0
WORDS = ("Leases ", "end. ", "Fences ", "hold.")
PARTS = 3
GO = aiq.Signal("go", int)

# No kill may be the last one a job survives: what is tried here is that it ends well, however often it is hit.
stormy = aiq.task(lease=LEASE_S, max_stalls=1_000, retry=aiq.Retry(attempts=1_000, first_delay=0.05, max_delay=0.2))


class Planned(Exception):
    """A failure that a job is meant to have."""


def effect(ctx: aiq.Context, value: int) -> int:
    """The work is done, as the world sees it; the storage has yet to hear of it."""
    notes.write("effect", ctx.job_id, ctx.fence)
    return value


@stormy
async def work(ctx: aiq.Context, number: int, seconds: float) -> int:
    with told(ctx):
        await asyncio.sleep(seconds)
        return effect(ctx, number)


@stormy
async def fail_first(ctx: aiq.Context, number: int, seconds: float) -> int:
    with told(ctx):
        await asyncio.sleep(seconds)
        if ctx.attempt == 1:
            raise Planned(f"of job {number}")
        return effect(ctx, number)


@stormy
async def step_twice(ctx: aiq.Context, number: int, seconds: float) -> int:
    async def pay(name: str) -> int:
        await asyncio.sleep(seconds / 2)
        notes.write("paid", ctx.job_id, ctx.fence, name)
        return number

    with told(ctx):
        first = await ctx.step("first", pay, "first")
        second = await ctx.step("second", pay, "second")
        return effect(ctx, first + second)


@stormy
async def talk(ctx: aiq.Context, number: int, seconds: float) -> int:
    with told(ctx):
        for word in WORDS:
            await ctx.emit(word)
            await asyncio.sleep(seconds / len(WORDS))
        return effect(ctx, number)


@stormy
async def part(ctx: aiq.Context, number: int, seconds: float) -> int:
    with told(ctx):
        await asyncio.sleep(seconds)
        return effect(ctx, number)


@stormy
async def gather(ctx: aiq.Context, number: int, seconds: float) -> int:
    with told(ctx):
        values = await ctx.gather("parts", [part.job(number + i, seconds) for i in range(PARTS)])
        return effect(ctx, sum(values))


@stormy
async def doze(ctx: aiq.Context, number: int, seconds: float) -> int:
    with told(ctx):
        await ctx.sleep("doze", seconds)
        return effect(ctx, number)


@stormy
async def await_go(ctx: aiq.Context, number: int, seconds: float) -> int:
    with told(ctx):
        await asyncio.sleep(seconds)
        return effect(ctx, number + await ctx.wait_for(GO))


@stormy
def work_in_thread(number: int, seconds: float) -> int:
    time.sleep(seconds)
    return number


# Any: tasks of all signatures.
TASKS: list[aiq.Task[Any, object]] = [work, fail_first, step_twice, talk, part, gather, doze, await_go, work_in_thread]

EXPECTED: dict[str, Callable[[int], int]] = {
    "step_twice": lambda number: 2 * number,
    "gather": lambda number: sum(number + i for i in range(PARTS)),
    "await_go": lambda number: 3 * number,
}
"""The results that are not the number itself. A job that awaits GO is sent twice its number."""


@dataclass(frozen=True, slots=True)
class Order:
    """One job to be enqueued, and what must come out of it."""

    number: int
    job: aiq.NewJob[int]
    result: int

    @property
    def task(self) -> str:
        return self.job.task.name


def orders(jobs: int, rng: Random, mean_s: float) -> Iterator[Order]:
    """Orders that come to `jobs` jobs in all, children included, each of `mean_s` of work on average."""
    # Any: as above.
    mix: list[aiq.Task[Any, int]] = [
        work,
        work,
        work,
        fail_first,
        step_twice,
        talk,
        gather,
        doze,
        await_go,
        work_in_thread,
    ]
    number = 0
    while jobs:
        task = mix[number % len(mix)] if jobs > PARTS else work
        seconds = rng.uniform(0, 2 * mean_s)
        result = EXPECTED[task.name](number) if task.name in EXPECTED else number
        yield Order(number, task.job(number, seconds).using(id=f"{task.name}-{number}"), result)
        jobs -= 1 + (PARTS if task is gather else 0)
        number += 1
