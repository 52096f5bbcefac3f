"""How many more jobs a second do four workers do on one store than one?

    python -m benchmarks.workers --store redis
    python -m benchmarks.workers --url "sqlite:///bench.db" --workers 8 --json

Jobs that do nothing stand in a paused queue, workers with a hundred slots in processes of their own wait for them, and
the queue is resumed. One worker and several are measured in turns, each on a new storage, until the store knows that
every job has succeeded. CPU time is that of all workers, and of the server, where it runs on this machine, for each
job: what rises with the number of workers is what they cost each other.
"""

import argparse
import asyncio
from asyncio.subprocess import Process
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields
from typing import Final

import aiq
from benchmarks.asking import asked_storage, storage_parser, until_done
from benchmarks.cost import Clocks, seconds_of
from benchmarks.processes import check_alive, process, until_left
from benchmarks.report import about, report
from benchmarks.spread import Spread, spread, table
from benchmarks.stores import remove

SLOTS: Final = 100
MOST_S: Final = 600
"""No turn takes so long."""


@aiq.task
async def noop(number: int) -> int:
    """The least a job can do and still have a payload and a result."""
    return number


@dataclass(frozen=True, slots=True)
class Drain:
    """Jobs a second, and microseconds of CPU a job."""

    jobs_per_second: float
    workers_cpu_us: float
    server_cpu_us: float


async def measure(url: str, sides: Sequence[int], jobs: int, rounds: int) -> list[list[Drain]]:
    """The rounds of each number of workers, measured in turns, there and back."""
    found: list[list[Drain]] = [[] for _ in sides]
    for number in range(rounds):
        for place in range(len(sides))[:: -1 if number % 2 else 1]:
            found[place].append(await drain(url, sides[place], jobs))
    return found


async def drain(url: str, workers: int, jobs: int) -> Drain:
    """Let so many workers do all jobs of a new storage."""
    remove(url)
    try:
        async with aiq.Queue(url) as queue, AsyncExitStack() as stack:
            await queue.pause()
            await queue.enqueue_many([noop.job(number) for number in range(jobs)])
            arguments = ("--serve", "--url", url)
            started = [process("benchmarks.workers", *arguments) for _ in range(workers)]
            children = [await stack.enter_async_context(one) for one in started]
            return await race(queue, Clocks.of(url), children, jobs)
    finally:
        remove(url)


async def race(queue: aiq.Queue, clocks: Clocks, children: Sequence[Process], jobs: int) -> Drain:
    """Resume the queue, and wait until the store knows that all is done."""
    pids = [child.pid for child in children]
    began, worked = clocks.now(), sum(map(seconds_of, pids))
    await queue.resume()
    done = await until_done(queue, MOST_S, lambda: check_alive(children))
    if done != jobs:
        raise SystemExit(f"{done} of {jobs} jobs are there. The figures of this run mean nothing.")
    cost, worked = began.until(clocks.now(), jobs), sum(map(seconds_of, pids)) - worked
    return Drain(cost.per_second, worked * 1_000_000 / jobs, cost.server_us)


def figures(rounds: Sequence[Drain]) -> dict[str, Spread]:
    """Over the rounds."""
    return {field.name: spread([getattr(one, field.name) for one in rounds]) for field in fields(Drain)}


def ratio(one: Sequence[Drain], several: Sequence[Drain]) -> Spread:
    """How many times as fast several workers are as one, round by round."""
    return spread([b.jobs_per_second / a.jobs_per_second for a, b in zip(one, several, strict=True)])


async def serve(url: str) -> None:
    """What the process of a worker does."""
    async with aiq.Worker(url, tasks=[noop], slots=SLOTS):
        await until_left()


def main() -> None:
    """Parse, measure, print."""
    parser = storage_parser(__doc__)
    parser.add_argument("--workers", type=int, default=4, help="beside one; default: %(default)s")
    parser.add_argument("--jobs", type=int, default=20_000, help="of a turn; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(given.url))
        return
    sides = (1, given.workers)
    with asked_storage(parser, given) as url:
        remove(url)
        told = about(url, jobs=given.jobs, rounds=given.rounds)
        one, several = asyncio.run(measure(url, sides, given.jobs, given.rounds))
    found, times = dict(zip(sides, map(figures, (one, several)), strict=True)), ratio(one, several)
    rows = [[str(many), *map(str, each.values())] for many, each in found.items()]
    shown = table(["workers", "jobs a second", "us CPU a job, workers", "server"], rows)
    report(told, {"workers": found, "ratio": times}, [shown, f"times as fast: {times}"], as_json=given.json)


if __name__ == "__main__":
    main()
