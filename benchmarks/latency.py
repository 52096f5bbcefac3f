"""How soon an idle worker begins a job: enqueued in its own process, and in another.

    python -m benchmarks.latency --store redis --jobs 300 --json

The clock starts before `enqueue` is called, and stops in the first line of the handler; both processes read the
machine's monotonic clock. Jobs come at random gaps, so that each finds the worker at rest. Where the store is a server,
the least that any queue could take on it (floors.py) is measured between the jobs, in the same gaps.
"""

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields

import aiq
from benchmarks.asking import asked_storage, storage_parser
from benchmarks.floors import Knock, floor
from benchmarks.processes import process, until_left
from benchmarks.report import about, report
from benchmarks.spread import Spread, spread, table
from benchmarks.stores import remove
from benchmarks.throughput import loop_factory

GAPS_S = (0.005, 0.1)
WARM_UP = 20
"""Jobs that are not counted, and done before the others come: the first ones find a worker that has just been started,
load code and fill caches."""


@aiq.task
async def pick_up(asked_ns: int) -> int:
    """Nanoseconds since somebody began to enqueue this."""
    return time.monotonic_ns() - asked_ns


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from before the enqueue to the start of the handler."""

    p50_ms: float
    p99_ms: float
    max_ms: float


async def same_process(url: str, jobs: int) -> dict[str, Latency]:
    """The worker shares the loop, and the storage, with the producer."""
    async with aiq.Queue(url) as queue, aiq.Worker(queue, tasks=[pick_up]):
        return {"same process": latency(await wait_times(queue, jobs))}


async def other_process(url: str, jobs: int) -> dict[str, Latency]:
    """The worker is another process, and sees only the storage. Beside it the floor, if there is one."""
    heard_ms: list[float] = []
    async with aiq.Queue(url) as queue, process("benchmarks.latency", "--serve", "--url", url), floor(url) as knock:
        found = latency(await wait_times(queue, jobs, knock, heard_ms))
    if knock is None:
        return {"other process": found}
    least = latency(heard_ms)
    return {"other process": found, "floor": least, "times the floor": multiple(found, least)}


async def wait_times(
    queue: aiq.Queue, jobs: int, knock: Knock | None = None, heard_ms: list[float] | None = None
) -> list[float]:
    """Enqueue at random gaps, and ask the handlers afterwards: nobody waits for a result meanwhile."""
    await _took_ms(queue, WARM_UP, knock, [])
    return await _took_ms(queue, jobs, knock, [] if heard_ms is None else heard_ms)


async def _took_ms(queue: aiq.Queue, jobs: int, knock: Knock | None, heard_ms: list[float]) -> list[float]:
    stored: list[aiq.Job[int]] = []
    for _ in range(jobs):
        await asyncio.sleep(random.uniform(*GAPS_S))
        stored.append(await queue.enqueue(pick_up.job(time.monotonic_ns())))
        if knock is not None:
            await asyncio.sleep(random.uniform(*GAPS_S))
            heard_ms.append(await knock())
    return [await job.result(timeout=30) / 1e6 for job in stored]


def latency(taken_ms: Sequence[float]) -> Latency:
    """What is told of times."""
    took_ms = sorted(taken_ms)
    return Latency(
        round(statistics.median(took_ms), 2), round(took_ms[len(took_ms) * 99 // 100], 2), round(took_ms[-1], 2)
    )


def multiple(found: Latency, least: Latency) -> Latency:
    """Each figure as a multiple of that of the floor."""
    return Latency(*(round(getattr(found, one.name) / getattr(least, one.name), 2) for one in fields(Latency)))


async def serve(url: str) -> None:
    """What such a process does: work until its parent lets go of it."""
    async with aiq.Worker(url, tasks=[pick_up]):
        await until_left()


async def measure(url: str, jobs: int, rounds: int) -> dict[str, list[Latency]]:
    """Each question in turns, on a new storage each time."""
    found: dict[str, list[Latency]] = {}
    for _ in range(rounds):
        for ask in (same_process, other_process):
            remove(url)
            for name, answer in (await ask(url, jobs)).items():
                found.setdefault(name, []).append(answer)
    remove(url)
    return found


def main() -> None:
    """Parse, measure, print."""
    parser = storage_parser(__doc__)
    parser.add_argument("--jobs", type=int, default=300, help="of a turn; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=loop_factory(uvloop=given.uvloop)) as runner:
        if given.serve:
            runner.run(serve(given.url))
            return
        with asked_storage(parser, given) as url:
            told = about(url, jobs=given.jobs, rounds=given.rounds)
            answers = runner.run(measure(url, given.jobs, given.rounds))
    found = {name: summary(rounds) for name, rounds in answers.items()}
    rows = [[name, *[str(one) for one in each.values()]] for name, each in found.items()]
    shown = table(["", *[field.name.replace("_", " ") for field in fields(Latency)]], rows)
    report(told, {"answers": found}, [shown], as_json=given.json)


def summary(rounds: list[Latency]) -> dict[str, Spread]:
    """Each figure over the rounds."""
    return {field.name: spread([getattr(one, field.name) for one in rounds]) for field in fields(Latency)}


if __name__ == "__main__":
    main()
