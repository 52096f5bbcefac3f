"""One lap of one queue: jobs put in, and done by one worker, in a store that is empty. Imports nothing of any queue.

Each module `with_NAME` brings a `Peer` and calls `main`. It runs in the environment of that queue, and prints one JSON
object. A job does nothing; its result is stored, as far as the queue stores results.
"""

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from redis import Redis

ONE_BY_ONE_SHARE = 10
"""One by one is slow by nature: a tenth of the jobs is enough to measure it."""
AT_ONCE = 100
"""Jobs that are put in at once."""
STALLED_SECONDS = 60
LOOK_SECONDS = 0.002


class Peer(Protocol):
    """A queue under test. `done` is called by the handler of each job."""

    async def open(self, url: str, concurrency: int, done: Callable[[], None]) -> None:
        """Connect, and define the job that does nothing."""
        ...

    async def put(self, number: int) -> None:
        """Put one job in, and wait for the store's answer."""
        ...

    async def put_many(self, numbers: Sequence[int]) -> None:
        """Put jobs in as an import does: in the queue's own bulk call, else all at the same time."""
        ...

    async def work(self) -> None:
        """Do jobs until cancelled."""
        ...

    async def left(self) -> int:
        """How many jobs the store does not know to be done yet."""
        ...


async def lap(peer: Peer, url: str, jobs: int, concurrency: int) -> dict[str, float]:
    """Jobs a second, bytes of the store a job, and what a worker's process costs."""
    store, count = Redis.from_url(url), Count()
    await peer.open(url, concurrency, count.up)
    empty = used(store)
    single = jobs // ONE_BY_ONE_SHARE
    one_by_one = await rate(single, _singly(peer, single))
    many = await rate(jobs - single, _at_once(peer, range(single, jobs)))
    queued = used(store) - empty
    cpu = time.process_time()
    drain = await rate(jobs, _drain(peer, jobs, count))
    cpu = time.process_time() - cpu
    return {
        "one_by_one": one_by_one,
        "enqueue_many": many,
        "drain": drain,
        "drain_cpu_ms_per_job": cpu * 1000 / jobs,
        "bytes_queued": queued / jobs,
        "bytes_finished": (used(store) - empty) / jobs,
        "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


class Count:
    """How many jobs were done."""

    def __init__(self) -> None:
        self.jobs = 0

    def up(self) -> None:
        """One more."""
        self.jobs += 1


async def rate(jobs: int, work: Awaitable[None]) -> float:
    """Jobs a second of wall time."""
    start = time.perf_counter()
    await work
    return jobs / (time.perf_counter() - start)


def used(store: "Redis") -> int:
    """What the server uses, in bytes, but for scripts: these are there once, however many jobs there are."""
    store.memory_purge()
    memory = store.info("memory")
    return int(memory["used_memory"]) - int(memory["used_memory_scripts_eval"])


async def _singly(peer: Peer, jobs: int) -> None:
    for number in range(jobs):
        await peer.put(number)


async def _at_once(peer: Peer, numbers: range) -> None:
    for first in range(0, len(numbers), AT_ONCE):
        await peer.put_many(numbers[first : first + AT_ONCE])


async def _drain(peer: Peer, jobs: int, count: Count) -> None:
    worker = asyncio.create_task(peer.work())
    known, since = -1, time.monotonic()
    while count.jobs < jobs or await peer.left():
        await asyncio.sleep(LOOK_SECONDS)
        if worker.done():
            worker.result()
            return
        if count.jobs != known:
            known, since = count.jobs, time.monotonic()
        elif time.monotonic() - since > STALLED_SECONDS:
            raise SystemExit(f"stalled at {known} of {jobs} jobs")


def main(peer: Peer) -> None:
    """Parse, measure, print. The process ends at once then: what a worker does when it is stopped is not measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    given = parser.parse_args()
    asyncio.run(_tell(peer, given.url, given.jobs, given.concurrency))


async def _tell(peer: Peer, url: str, jobs: int, concurrency: int) -> None:
    found = await lap(peer, url, jobs, concurrency)
    print(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)
