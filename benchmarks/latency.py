"""How soon an idle worker begins a job: enqueued in its own process, and in another.

    python -m benchmarks.latency --url "sqlite:///bench.db" --jobs 300 --json

The clock starts before `enqueue` is called, and stops in the first line of the handler; both processes read the
machine's monotonic clock. Jobs come at random gaps, so that each finds the worker at rest.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from dataclasses import asdict, dataclass

import aiq
from benchmarks.processes import process, until_left
from benchmarks.stores import refuse_existing, remove
from benchmarks.throughput import loop_factory

GAPS_S = (0.005, 0.1)
WARM_UP = 20
"""Jobs that are not counted: the first ones load code and fill caches."""


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


async def same_process(url: str, jobs: int) -> Latency:
    """The worker shares the loop, and the storage, with the producer."""
    async with aiq.Queue(url) as queue, aiq.Worker(queue, tasks=[pick_up]):
        return await measure(queue, jobs)


async def other_process(url: str, jobs: int) -> Latency:
    """The worker is another process, and sees only the storage."""
    async with aiq.Queue(url) as queue, process("benchmarks.latency", "--serve", "--url", url):
        return await measure(queue, jobs)


async def measure(queue: aiq.Queue, jobs: int) -> Latency:
    """Enqueue at random gaps, and ask the handlers afterwards: nobody waits for a result meanwhile."""
    stored: list[aiq.Job[int]] = []
    for _ in range(WARM_UP + jobs):
        await asyncio.sleep(random.uniform(*GAPS_S))
        stored.append(await queue.enqueue(pick_up.job(time.monotonic_ns())))
    took_ms = sorted([await job.result(timeout=30) / 1e6 for job in stored[WARM_UP:]])
    return Latency(
        round(statistics.median(took_ms), 2), round(took_ms[len(took_ms) * 99 // 100], 2), round(took_ms[-1], 2)
    )


async def serve(url: str) -> None:
    """What such a process does: work until its parent lets go of it."""
    async with aiq.Worker(url, tasks=[pick_up]):
        await until_left()


async def run(arguments: argparse.Namespace) -> dict[str, Latency]:
    """Each question on a new storage."""
    answers: dict[str, Latency] = {}
    remove(arguments.url)
    answers["same process"] = await same_process(arguments.url, arguments.jobs)
    remove(arguments.url)
    answers["other process"] = await other_process(arguments.url, arguments.jobs)
    remove(arguments.url)
    return answers


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--url", required=True, help="storage to measure; a SQLite file must not exist, and is removed")
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=loop_factory(uvloop=arguments.uvloop)) as runner:
        if arguments.serve:
            runner.run(serve(arguments.url))
            return
        refuse_existing(parser, arguments.url)
        answers = {name: asdict(answer) for name, answer in runner.run(run(arguments)).items()}
    report = {"url": arguments.url, "jobs": arguments.jobs, "python": sys.version.split()[0], "answers": answers}
    if arguments.json:
        print(json.dumps(report))
    else:
        for name, figures in answers.items():
            print(f"  {name:16}" + "".join(f"{key} {value:<12,}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
