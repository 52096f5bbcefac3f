"""How soon does a reader in another process see what a job emits? (Within 50 ms for 99 of 100 tokens is asked for.)

    python -m benchmarks.streams --store redis
    python -m benchmarks.streams --url "sqlite:///bench.db" --seconds 10 --json

Three scenes, in turns: one job that emits 200 tokens a second to one reader; a hundred jobs that stream at once, each
to a reader of its own; and one job with a thousand readers. A worker runs the jobs in a process of its own, and all
readers stand in this one. The clock starts before `emit` is called, and stops where the reader has the token; both
processes read the machine's monotonic clock. The tokens of the first second do not count: the readers come meanwhile.
CPU time is that of this process, readers only, of the worker's, and of the server, where it runs on this machine, for
each token that a reader got.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final

import aiq
from benchmarks.asking import asked_storage, storage_parser
from benchmarks.cost import Clock, Clocks, Cost, seconds_of
from benchmarks.processes import check_alive, process, until_left
from benchmarks.report import about, report
from benchmarks.spread import Spread, spread, table
from benchmarks.stores import remove

WARM_S: Final = 1
"""Seconds of tokens at the beginning that are not counted."""
MOST_LATE_S: Final = 120
"""A scene that has not ended so long after its last token was due, as one whose worker has died, is given up."""


@aiq.task
async def talk(ctx: aiq.Context, tokens: int, rate: int) -> int:
    """Emit the time, so many times, evenly spread, at so many a second."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(tokens):
        await asyncio.sleep(began + number / rate - loop.time())
        await ctx.emit(f"{time.monotonic_ns()} ")
    return tokens


@dataclass(frozen=True, slots=True)
class Scene:
    """How many jobs stream at once, how many tokens a second each emits, and how many read each of them."""

    jobs: int
    rate: int
    readers: int

    def __str__(self) -> str:
        return f"jobs {self.jobs:,} × {self.rate}/s, readers of each {self.readers:,}"


@dataclass(frozen=True, slots=True)
class Seen:
    """Milliseconds from before a token was emitted to the reader who has it, and what a token cost a reader."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    cost: Cost
    worker_us: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One scene, over the rounds."""

    p50_ms: Spread
    p99_ms: Spread
    max_ms: Spread
    reader_cpu_us: Spread
    worker_cpu_us: Spread
    server_cpu_us: Spread


async def measure(url: str, scenes: Sequence[Scene], seconds: float, rounds: int) -> list[Figure]:
    """The figures of each scene, measured in turns, there and back."""
    found: list[list[Seen]] = [[] for _ in scenes]
    for number in range(rounds):
        for place in range(len(scenes))[:: -1 if number % 2 else 1]:
            found[place].append(await play(url, scenes[place], seconds))
    return [figure(seen) for seen in found]


async def play(url: str, scene: Scene, seconds: float) -> Seen:
    """One scene, on a new storage."""
    remove(url)
    try:
        worker = process("benchmarks.streams", "--serve", str(scene.jobs), "--url", url)
        async with aiq.Queue(url) as queue, worker as child:
            try:
                return await watch(queue, scene, seconds, url, lambda: seconds_of(child.pid))
            except TimeoutError:
                check_alive([child])
                raise
    finally:
        remove(url)


async def watch(queue: aiq.Queue, scene: Scene, seconds: float, url: str, worker: Clock) -> Seen:
    """Start the jobs, and read what they emit until they end."""
    clocks = Clocks.of(url)
    warm = WARM_S * scene.rate
    tokens = warm + round(seconds * scene.rate)
    stored = await queue.enqueue_many([talk.job(tokens, scene.rate) for _ in range(scene.jobs)])
    began, began_worker = clocks.now(), worker()
    async with asyncio.timeout(WARM_S + seconds + MOST_LATE_S), asyncio.TaskGroup() as group:
        readers = [group.create_task(read(job)) for job in stored for _ in range(scene.readers)]
    cost = began.until(clocks.now(), tokens * len(readers))
    worker_us = (worker() - began_worker) * 1_000_000 / (tokens * len(readers))
    delays = [reader.result() for reader in readers]
    if any(len(one) != tokens for one in delays):
        raise SystemExit("A reader missed a token: the figures of this run mean nothing.")
    for job in stored:
        await job.result(timeout=10)
    return seen([ns for one in delays for ns in one[warm:]], cost, worker_us)


async def read(job: aiq.Job[int]) -> list[int]:
    """How old each token was in ns when it was there; an error if the job did not end well."""
    return [time.monotonic_ns() - int(text) async for text in job.text()]


def seen(delays_ns: list[int], cost: Cost, worker_us: float) -> Seen:
    """All readers of a scene together."""
    ms = sorted(ns / 1e6 for ns in delays_ns)
    return Seen(statistics.median(ms), ms[len(ms) * 99 // 100], ms[-1], cost, worker_us)


def figure(rounds: Sequence[Seen]) -> Figure:
    """Over the rounds."""
    return Figure(
        p50_ms=spread([one.p50_ms for one in rounds]),
        p99_ms=spread([one.p99_ms for one in rounds]),
        max_ms=spread([one.max_ms for one in rounds]),
        reader_cpu_us=spread([one.cost.client_us for one in rounds]),
        worker_cpu_us=spread([one.worker_us for one in rounds]),
        server_cpu_us=spread([one.cost.server_us for one in rounds]),
    )


async def serve(url: str, slots: int) -> None:
    """What the process of the worker does."""
    async with aiq.Worker(url, tasks=[talk], slots=slots):
        await until_left()


def main() -> None:
    """Parse, measure, print."""
    parser = storage_parser(__doc__)
    parser.add_argument("--rate", type=int, default=200, help="tokens a second of one job; default: %(default)s")
    parser.add_argument("--jobs", type=int, default=100, help="that stream at once; default: %(default)s")
    parser.add_argument("--jobs-rate", type=int, default=10, help="tokens a second of each; default: %(default)s")
    parser.add_argument("--readers", type=int, default=1_000, help="of one job; default: %(default)s")
    parser.add_argument("--readers-rate", type=int, default=10, help="tokens a second of that; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a scene, after the first; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        asyncio.run(serve(given.url, given.serve))
        return
    scenes = scenes_of(given)
    with asked_storage(parser, given) as url:
        remove(url)
        told = about(url, seconds=given.seconds, rounds=given.rounds)
        figures = asyncio.run(measure(url, scenes, given.seconds, given.rounds))
    pairs = list(zip(scenes, figures, strict=True))
    rows = [[str(scene), *[str(getattr(one, field.name)) for field in fields(one)]] for scene, one in pairs]
    shown = table(["", "p50 ms", "p99 ms", "max ms", "us CPU a token, reader", "worker", "server"], rows)
    found = [{**asdict(scene), **asdict(one)} for scene, one in pairs]
    report(told, {"scenes": found}, [shown], as_json=given.json)


def scenes_of(given: argparse.Namespace) -> list[Scene]:
    """What was asked for."""
    return [
        Scene(jobs=1, rate=given.rate, readers=1),
        Scene(jobs=given.jobs, rate=given.jobs_rate, readers=1),
        Scene(jobs=1, rate=given.readers_rate, readers=given.readers),
    ]


if __name__ == "__main__":
    main()
