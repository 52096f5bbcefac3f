"""What letting jobs go costs those that work: the time of a claim, quiet, and while 100,000 ended jobs are removed.

    python -m benchmarks.retention --url "sqlite:///bench.db?synchronous=normal" --jobs 100000

One process claims and settles jobs one by one, at a steady pace, and times each claim; a second does upkeep as a worker
would. First nothing is to go; then the period of those that have succeeded is set to nothing. Compare only within one
run: machines differ, and drift.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import time
from random import Random

from aiq.backends import open_storage
from aiq.engine.upkeep import Upkeep
from aiq.model import ClaimRequest, JobSpec, Keep, RetentionSpec, Settlement, Succeeded, Want
from aiq.storage import Storage, claim
from benchmarks.throughput import refuse_existing, remove

PACE_S = 0.002
"""Between two claims: a storage that is busy, and not at its limit."""
BATCH = 250


async def fill(storage: Storage, jobs: int) -> None:
    """Store jobs that have ended."""
    for first in range(0, jobs, BATCH):
        await storage.enqueue([JobSpec(id=f"old-{n}", task="old") for n in range(first, first + BATCH)])
        request = ClaimRequest("fill", first + 1, f"lease {first}", (Want("default", BATCH),))
        runs = await claim(storage, request)
        await storage.exchange([Settlement(run.lease, "s", Succeeded(b"1")) for run in runs])


async def claims(storage: Storage, part: str, seconds: float, until_empty: bool) -> list[float]:
    """The time of each claim in ms, for some seconds, or until no old job is left."""
    found: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        name = f"{part}-{len(found)}"
        await storage.enqueue([JobSpec(id=name, task="new", queue="new", keep_ms=86_400_000)])
        start = time.perf_counter()
        (run,) = await claim(storage, ClaimRequest(part, len(found) + 1, f"lease {name}", (Want("new", 1),)))
        found.append((time.perf_counter() - start) * 1000)
        await storage.exchange([Settlement(run.lease, "s", Succeeded(b"1"))])
        if until_empty and len(found) % 100 == 0 and (await storage.get(["old-last"])) == [None]:
            break
        await asyncio.sleep(PACE_S)
    return found


def keep_up(url: str) -> None:
    """Do upkeep until the parent ends this process."""

    async def run() -> None:
        storage = await open_storage(url)
        await Upkeep(storage, rng=Random(1)).run()

    asyncio.run(run())


async def measure(url: str, jobs: int, seconds: float) -> dict[str, object]:
    """Quiet first, then while jobs go."""
    storage = await open_storage(url)
    await storage.put_retention(RetentionSpec(succeeded=Keep()))
    await fill(storage, jobs)
    await storage.enqueue([JobSpec(id="old-last", task="old")])
    (run,) = await claim(storage, ClaimRequest("last", 1, "lease last", (Want("default", 1),)))
    await storage.exchange([Settlement(run.lease, "s", Succeeded(b"1"))])
    other = multiprocessing.get_context("spawn").Process(target=keep_up, args=(url,), daemon=True)
    other.start()
    await asyncio.sleep(1)
    quiet = await claims(storage, "quiet", seconds, until_empty=False)
    await storage.put_retention(RetentionSpec(succeeded=Keep(for_ms=0)))
    start = time.perf_counter()
    busy = await claims(storage, "busy", 600, until_empty=True)
    took_s = time.perf_counter() - start
    other.kill()
    other.join()
    await storage.close()
    return {"jobs": jobs, "took_s": round(took_s, 1), "quiet": figures(quiet), "while jobs go": figures(busy)}


def figures(times: list[float]) -> dict[str, float]:
    """Median, p99 and the longest, in ms."""
    cuts = statistics.quantiles(times, n=100)
    return {"claims": len(times), "p50": round(cuts[49], 3), "p99": round(cuts[98], 3), "max": round(max(times), 3)}


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--url", required=True, help="storage to measure; a SQLite file must not exist, and is removed")
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10, help="how long the quiet part takes")
    arguments = parser.parse_args()
    refuse_existing(parser, arguments.url)
    try:
        print(json.dumps(asyncio.run(measure(arguments.url, arguments.jobs, arguments.seconds))))
    finally:
        remove(arguments.url)


if __name__ == "__main__":
    main()
