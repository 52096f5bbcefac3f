"""Does the end of a child cost more among many siblings than among few? (FAN-7: it does not.)

    python -m benchmarks.fan_in --url "sqlite:///bench.db?synchronous=normal" --json

Parents of different widths wait for their children, and batches of children end under each in turn. The figures are
microseconds a child, the best of the batches, and how that of the widest parent compares with that of the narrowest.
"""

import argparse
import asyncio
import json
import time
from itertools import count

from aiq.backends import open_storage
from aiq.bounds import MAX_BATCH
from aiq.model import ClaimRequest, JobRecord, JobSpec, Settlement, Succeeded, Waiting, Want
from aiq.storage import Storage, claim, settle
from benchmarks.stores import refuse_existing, remove

WIDTHS = (2 * MAX_BATCH, 8 * MAX_BATCH, 32 * MAX_BATCH)
BATCHES = 2
"""Batches that end under each parent: as many as the narrowest has."""

_numbers = count(1)


async def measure(url: str) -> dict[int, float]:
    """Microseconds a child, by the number of its siblings."""
    storage = await open_storage(url)
    try:
        for width in WIDTHS:
            await fan_out(storage, width)
        best = dict.fromkeys(WIDTHS, float("inf"))
        for _ in range(BATCHES):
            for width in WIDTHS:
                best[width] = min(best[width], await end_a_batch(storage, queue_of(width)))
        return best
    finally:
        await storage.close()


async def fan_out(storage: Storage, width: int) -> None:
    """A parent that waits for `width` children."""
    name = queue_of(width)
    await storage.enqueue([JobSpec(id=name, task="parent", queue="parents", lease_ms=3_600_000)])
    (parent,) = await take(storage, "parents", 1)
    for first in range(0, width, MAX_BATCH):
        children = [
            JobSpec(id=f"{name} {n}", task="child", queue=name, child_of="children", lease_ms=3_600_000)
            for n in range(first, first + MAX_BATCH)
        ]
        await storage.enqueue(children, parent.lease)
    await settle(storage, parent.lease, Waiting("children", width), settlement_id="1")


async def end_a_batch(storage: Storage, queue: str) -> float:
    """Microseconds a child for a batch that ends in one exchange."""
    runs = await take(storage, queue, MAX_BATCH)
    settlements = [Settlement(run.lease, "1", Succeeded(b"null")) for run in runs]
    began = time.perf_counter()
    await storage.exchange(settlements)
    return (time.perf_counter() - began) * 1_000_000 / len(runs)


async def take(storage: Storage, queue: str, many: int) -> tuple[JobRecord, ...]:
    """Claim jobs."""
    number = next(_numbers)
    return await claim(storage, ClaimRequest("bench", number, f"{number:032x}", (Want(queue, many),)))


def queue_of(width: int) -> str:
    """The queue of the children of the parent of this width, and the parent's own id."""
    return f"wide-{width}"


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--url", required=True, help="storage to measure; a SQLite file must not exist, and is removed")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    refuse_existing(parser, arguments.url)
    try:
        best = asyncio.run(measure(arguments.url))
    finally:
        remove(arguments.url)
    ratio = best[WIDTHS[-1]] / best[WIDTHS[0]]
    if arguments.json:
        print(json.dumps({"url": arguments.url, "us_per_child": best, "widest_to_narrowest": round(ratio, 2)}))
        return
    for width, microseconds in best.items():
        print(f"{width:>8,} siblings {microseconds:10.1f} us a child")
    print(f"widest to narrowest: {ratio:.2f}")


if __name__ == "__main__":
    main()
