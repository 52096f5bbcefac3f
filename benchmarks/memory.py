"""Does a worker, or its store, grow with the jobs that it has done? (Memory is to be steady over an hour.)

    python -m benchmarks.memory --store redis
    python -m benchmarks.memory --url "sqlite:///bench.db" --minutes 60 --rate 300 --json

Jobs come at a steady pace, and a worker in a process of its own does them. One in ten emits a token and remembers a
step. The store keeps as little of what is over as can be asked for. What the worker's process has in memory, and the
store's bytes, are looked at now and then. Growth is the slope over the second half, for 10,000 jobs: what both keep of
their first jobs has found its size by then. A run of minutes shows a leak of kilobytes a job, an hour one of bytes.
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import aiq
from aiq.model import Keep, RetentionSpec
from benchmarks.asking import LOOK_S, asked_storage, storage_parser, until_done
from benchmarks.peers.places import Place
from benchmarks.processes import process, until_left
from benchmarks.report import about, report
from benchmarks.spread import table
from benchmarks.stores import remove

SAMPLES: Final = 60
"""How often is looked in one run."""
KEPT: Final = 1_000
_NEWEST: Final = Keep(count=KEPT)
_LITTLE: Final = RetentionSpec(succeeded=_NEWEST, events=_NEWEST, minutes=_NEWEST, usage=_NEWEST, ids_ms=1_000)
MOST_BEHIND_S: Final = 5
"""Of how many seconds jobs may wait for the worker when a sample is taken; else no more come until it has caught up."""
MOST_LATE_S: Final = 60
"""How long the last jobs may take, and a worker to catch up."""
PER: Final = 10_000
"""Jobs for which growth is told."""


@aiq.task
async def work(ctx: aiq.Context, number: int) -> int:
    """One in ten emits, and remembers something."""
    if number % 10 == 0:
        await ctx.emit("token")
        await ctx.step("square", pow, number, 2, returns=int)
    return number


@dataclass(frozen=True, slots=True)
class Sample:
    """What there was after so many jobs had been enqueued."""

    jobs: int
    worker_bytes: int
    store_bytes: int


@dataclass(frozen=True, slots=True)
class Growth:
    """Bytes when the second half began and at the end, and how many more 10,000 jobs make it."""

    middle: int
    end: int
    per_10_000_jobs: float


async def soak(url: str, seconds: float, rate: int) -> list[Sample]:
    """Keep a worker at work, and look at it now and then."""
    remove(url)
    try:
        async with aiq.Queue(url) as queue:
            await queue.storage.put_retention(_LITTLE)
            async with process("benchmarks.memory", "--serve", "--url", url) as worker:
                samples = await feed(queue, seconds, rate, Place(url), worker.pid)
                await until_done(queue, MOST_LATE_S)
        return samples
    finally:
        remove(url)


async def feed(queue: aiq.Queue, seconds: float, rate: int, place: Place, pid: int) -> list[Sample]:
    """Enqueue jobs ten times a second, and take samples."""
    began, waited, jobs, samples = time.monotonic(), 0.0, 0, list[Sample]()
    while (spent := time.monotonic() - began) < seconds:
        due = round((spent - waited) * rate)
        await queue.enqueue_many([work.job(number) for number in range(jobs, due)])
        jobs = due
        if spent >= seconds * len(samples) / SAMPLES:
            # The rate that was reached is that of the jobs which are told in the end.
            waited += await caught_up(queue, MOST_BEHIND_S * rate)
            samples.append(Sample(jobs, resident(pid), await asyncio.to_thread(place.bytes)))
        await asyncio.sleep(0.1)
    return samples


async def caught_up(queue: aiq.Queue, most: int, patience_s: float = MOST_LATE_S) -> float:
    """Wait until no more jobs than `most` are left, and answer for how many seconds: those that wait are bytes, too.

    Raises:
        SystemExit: the worker does not come so far.
    """
    began = time.monotonic()
    while (behind := sum(many for state, many in (await queue.count()).items() if not state.terminal)) > most:
        if time.monotonic() - began > patience_s:
            raise SystemExit(f"The worker is {behind:,} jobs behind. Let fewer come, by --rate.")
        await asyncio.sleep(LOOK_S)
    return time.monotonic() - began


def resident(pid: int) -> int:
    """What a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(jobs: Sequence[int], sizes: Sequence[int]) -> Growth:
    """Over the second half of the samples."""
    half = len(jobs) // 2
    slope = statistics.linear_regression(jobs[half:], sizes[half:]).slope
    return Growth(sizes[half], sizes[-1], slope * PER)


def summary(samples: Sequence[Sample]) -> dict[str, Growth]:
    """Of the worker and of the store."""
    jobs = [one.jobs for one in samples]
    return {
        "worker": growth(jobs, [one.worker_bytes for one in samples]),
        "store": growth(jobs, [one.store_bytes for one in samples]),
    }


async def serve(url: str) -> None:
    """What the process of the worker does."""
    async with aiq.Worker(url, tasks=[work], slots=100):
        await until_left()


def main() -> None:
    """Parse, measure, print."""
    parser = storage_parser(__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="default: %(default)s")
    parser.add_argument("--rate", type=int, default=500, help="jobs a second; default: %(default)s")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(given.url))
        return
    with asked_storage(parser, given) as url:
        told = about(url, minutes=given.minutes, rate=given.rate)
        samples = asyncio.run(soak(url, 60 * given.minutes, given.rate))
    found = summary(samples)
    rows = [[name, *[f"{size:,.0f}" for size in asdict(one).values()]] for name, one in found.items()]
    shown = table(["bytes", "middle", "end", f"more for {PER:,} jobs"], rows)
    told |= {"jobs": samples[-1].jobs, "jobs a second": round(samples[-1].jobs / (60 * given.minutes))}
    report(told, {"figures": found, "samples": samples}, [shown], as_json=given.json)


if __name__ == "__main__":
    main()
