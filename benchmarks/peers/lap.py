"""One lap of one queue: jobs put in, and done by one worker, in a store that is empty. Imports nothing of any queue.

Each module `with_NAME` brings a `Peer` and calls `main`. It runs in the environment of that queue, and prints one JSON
object. A job does nothing and answers with its number; that is stored, as far as the queue stores results.
"""

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, runtime_checkable

ONE_BY_ONE_SHARE = 10
"""One by one is slow by nature: at most a tenth of the jobs is enough to measure it."""
CONCURRENT_SHARE = 3
"""At most a third of them comes from many callers at once."""
CALLERS = 100
"""How many of them there are."""
BULK = 1_000
"""Jobs in one call of a queue that has a call for many."""
PUT_SECONDS = 2.0
"""One by one, and by many callers, a queue puts jobs in for so long at most. What is missing then is not timed."""
DRAIN_SECONDS = 6.0
"""What a slow queue has done by then gives its rate."""
LOOK_SECONDS = 0.005


class Peer(Protocol):
    """A queue under test. `done` is called by the handler of each job."""

    async def open(self, url: str, concurrency: int, done: Callable[[], None]) -> None:
        """Connect, and define the job that does nothing."""
        ...

    async def put(self, number: int) -> None:
        """Put one job in, and wait for the store's answer."""
        ...

    async def work(self) -> None:
        """Do jobs until cancelled."""
        ...

    async def left(self) -> int:
        """How many jobs the store does not know to be done yet."""
        ...


@runtime_checkable
class BulkPeer(Peer, Protocol):
    """A queue that has a call of its own for many jobs, which does not wait for them to be done."""

    async def put_many(self, numbers: Sequence[int]) -> None:
        """Put jobs in by it."""
        ...


class Count:
    """How many jobs were done, and when the first of them began: how long a worker takes to start is not measured."""

    def __init__(self) -> None:
        self.jobs = 0
        self.began: tuple[float, float] | None = None

    def up(self) -> None:
        """One more."""
        if self.began is None:
            self.began = (time.perf_counter(), time.process_time())
        self.jobs += 1


@dataclass(frozen=True, slots=True)
class Drained:
    """What the worker did. The rate counts what the store knows to be done, the cost is that of its process."""

    jobs: int
    per_second: float
    cpu_ms_per_job: float


async def lap(peer: Peer, url: str, jobs: int, concurrency: int, weigh: Callable[[], int]) -> dict[str, float | None]:
    """Jobs a second, bytes of the store a job, and what a worker's process costs."""
    count = Count()
    await peer.open(url, concurrency, count.up)
    empty = weigh()
    # With the first job connections are made and scripts are stored.
    await peer.put(0)
    numbers = iter(range(1, jobs))
    one_by_one = await _put(peer, islice(numbers, jobs // ONE_BY_ONE_SHARE), callers=1)
    concurrent = await _put(peer, islice(numbers, jobs // CONCURRENT_SHARE), callers=CALLERS)
    rest = list(numbers)
    bulk = await rate(len(rest), _put_rest(peer, rest))
    queued = weigh() - empty
    drained = await _drain(peer, jobs, count)
    finished = weigh() - empty
    return {
        "one_by_one": one_by_one,
        "concurrent": concurrent,
        "bulk": bulk if isinstance(peer, BulkPeer) else None,
        "done": drained.jobs,
        "drain": drained.per_second,
        "drain_cpu_ms_per_job": drained.cpu_ms_per_job,
        "bytes_queued": queued / jobs,
        "bytes_finished": finished / jobs if drained.jobs == jobs else None,
        "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


async def rate(jobs: int, work: Awaitable[None]) -> float:
    """Jobs a second of wall time."""
    start = time.perf_counter()
    await work
    return jobs / (time.perf_counter() - start)


async def _put(peer: Peer, numbers: Iterable[int], callers: int) -> float:
    """Jobs a second that so many callers put in, each one after the other. The store has all of them at the end."""
    late: list[int] = []
    timely = 0
    left = iter(numbers)
    start = time.perf_counter()

    async def call() -> None:
        nonlocal timely
        for number in left:
            if time.perf_counter() - start > PUT_SECONDS:
                late.append(number)
                return
            await peer.put(number)
            timely += 1

    await asyncio.gather(*[call() for _ in range(callers)])
    took = time.perf_counter() - start
    await _put_rest(peer, [*late, *left])
    return timely / took


async def _put_rest(peer: Peer, numbers: Sequence[int]) -> None:
    size = BULK if isinstance(peer, BulkPeer) else CALLERS
    for first in range(0, len(numbers), size):
        some = numbers[first : first + size]
        if isinstance(peer, BulkPeer):
            await peer.put_many(some)
        else:
            await asyncio.gather(*[peer.put(number) for number in some])


async def _drain(peer: Peer, jobs: int, count: Count) -> Drained:
    worker = asyncio.create_task(peer.work())
    until, left = time.monotonic() + DRAIN_SECONDS, jobs
    while left and time.monotonic() < until:
        await asyncio.sleep(LOOK_SECONDS)
        if worker.done():
            raise SystemExit(f"The worker ended after {count.jobs} of {jobs} jobs: {worker.exception()!r}")
        # The store is asked only when the handlers are through: asking costs it something.
        left = await peer.left() if count.jobs >= jobs else left
    seconds, cpu = time.perf_counter(), time.process_time()
    left = left and await peer.left()
    if count.began is None or left == jobs:
        raise SystemExit(f"None of {jobs} jobs was done within {DRAIN_SECONDS:.0f} s.")
    done = jobs - left
    return Drained(done, done / (seconds - count.began[0]), (cpu - count.began[1]) * 1000 / done)


def main(peer: Peer, **variants: Peer) -> None:
    """Parse, measure, print. The process ends at once then: what a worker does when it is stopped is not measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--variant", choices=variants, help="the same queue with other settings")
    given = parser.parse_args()
    asyncio.run(_tell(variants.get(given.variant, peer), given.url, given.jobs, given.concurrency))


async def _tell(peer: Peer, url: str, jobs: int, concurrency: int) -> None:
    found = await lap(peer, url, jobs, concurrency, _ask_for_bytes)
    print(json.dumps(found), flush=True)
    os._exit(0)


def _ask_for_bytes() -> int:
    """Whoever started this process knows the store, and answers with the bytes that it takes now."""
    print("weigh", flush=True)
    return int(sys.stdin.readline())
