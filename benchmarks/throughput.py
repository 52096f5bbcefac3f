"""How many no-op jobs a second: enqueued one by one, in batches, and drained by one worker.

    python -m benchmarks.throughput --url "sqlite:///bench.db?synchronous=normal" --jobs 20000 --concurrency 100 --json

Each round starts from a new storage. Results are stored, as in production. Absolute figures drift with the
machine, so compare only within one run: the medians of the rounds, with their range.
"""

import argparse
import asyncio
import json
import resource
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiq

ONE_BY_ONE_SHARE = 10
"""One by one is slow by nature: a tenth of the jobs is enough to measure it."""


@aiq.task
async def noop(number: int) -> int:
    """The least a job can do and still have a payload and a result."""
    return number


@dataclass(frozen=True, slots=True)
class Round:
    """Jobs per second of one round, and what a drained job costs."""

    one_by_one: float
    enqueue_many: float
    drain: float
    drain_cpu_ms_per_job: float


async def measure(url: str, jobs: int, concurrency: int) -> Round:
    """One round on a new storage."""
    remove(url)
    async with aiq.Queue(url) as queue:
        single = jobs // ONE_BY_ONE_SHARE
        one_by_one = await rate(single, lambda: enqueue_singly(queue, single))
        many = await rate(jobs - single, lambda: queue.enqueue_many([noop.job(i) for i in range(jobs - single)]))
        worker = aiq.Worker(queue, tasks=[noop], slots=concurrency)
        cpu = time.process_time()
        drain = await rate(jobs, worker.run_until_idle)
        cpu = time.process_time() - cpu
        await check(queue, jobs)
    remove(url)
    return Round(one_by_one, many, drain, cpu * 1000 / jobs)


async def enqueue_singly(queue: aiq.Queue, jobs: int) -> None:
    """As a web handler does it: one job, one durable answer, the next."""
    for number in range(jobs):
        await queue.enqueue(noop.job(number))


async def rate(jobs: int, work: Callable[[], Awaitable[object]]) -> float:
    """Jobs per second of wall time."""
    start = time.perf_counter()
    await work()
    return jobs / (time.perf_counter() - start)


async def check(queue: aiq.Queue, jobs: int) -> None:
    """A figure counts only if every job has really ended well."""
    counted = (await queue.count())[aiq.State.SUCCEEDED]
    if counted != jobs:
        raise SystemExit(f"{counted} of {jobs} jobs succeeded: the figures of this run mean nothing")


def refuse_existing(parser: argparse.ArgumentParser, url: str) -> None:
    """Whoever names the file of a real storage by mistake must not lose it."""
    for file in files(url):
        if file.exists():
            parser.error(f"{file} exists, and each round would remove it. Name a file that does not exist.")


def remove(url: str) -> None:
    """A new file for each round."""
    for file in files(url):
        file.unlink(missing_ok=True)


def files(url: str) -> list[Path]:
    """The files of a storage in SQLite; none of any other."""
    parts = urlsplit(url)
    path = parts.path[1:]
    return [Path(path), Path(f"{path}-wal"), Path(f"{path}-shm")] if parts.scheme == "sqlite" else []


def summary(rounds: list[Round]) -> dict[str, dict[str, float]]:
    """Median, least and most of each figure."""
    columns = {name: [asdict(r)[name] for r in rounds] for name in asdict(rounds[0])}
    return {
        name: {
            "median": round(statistics.median(values), 3),
            "min": round(min(values), 3),
            "max": round(max(values), 3),
        }
        for name, values in columns.items()
    }


def show(report: dict[str, object], figures: dict[str, dict[str, float]]) -> None:
    """A table for people."""
    print(f"{report['url']}  {report['jobs']} jobs, concurrency {report['concurrency']}, {report['rounds']} rounds")
    for name, value in figures.items():
        print(f"  {name:24}{value['median']:12,.2f}   ({value['min']:,.2f} to {value['max']:,.2f})")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--url", required=True, help="storage to measure; a SQLite file must not exist, and is removed")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    refuse_existing(parser, arguments.url)

    async def run() -> list[Round]:
        return [await measure(arguments.url, arguments.jobs, arguments.concurrency) for _ in range(arguments.rounds)]

    with asyncio.Runner(loop_factory=loop_factory(uvloop=arguments.uvloop)) as runner:
        figures = summary(runner.run(run()))
    report: dict[str, object] = {
        "url": arguments.url,
        "jobs": arguments.jobs,
        "concurrency": arguments.concurrency,
        "rounds": arguments.rounds,
        "python": sys.version.split()[0],
        "rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "figures": figures,
    }
    if arguments.json:
        print(json.dumps(report))
    else:
        show(report, figures)


def loop_factory(*, uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop]:
    """Plain asyncio unless asked otherwise."""
    if not uvloop:
        return asyncio.new_event_loop
    from uvloop import new_event_loop

    return new_event_loop


if __name__ == "__main__":
    main()
