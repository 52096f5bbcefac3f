"""What letting jobs go costs those that work: the time of a claim, quiet, and while 100,000 ended jobs are removed.

    python -m benchmarks.retention --store sqlite --jobs 100000

One process claims and settles jobs one by one, at a steady pace, and times each claim; a second does upkeep as a worker
would. In turn nothing is to go, and the period of those that have succeeded is nothing, until all old ones are gone.
Compare only within one run: machines differ, and drift.
"""

import asyncio
import multiprocessing
import statistics
import time
from random import Random

from aiq.backends import open_storage
from aiq.engine.timing import boot_ms
from aiq.engine.upkeep import Upkeep
from aiq.model import ClaimRequest, JobSpec, Keep, RetentionSpec, Settlement, Succeeded, Want
from aiq.storage import Storage, claim
from benchmarks.asking import asked_storage, storage_parser
from benchmarks.report import about, report
from benchmarks.stores import remove

PACE_S = 0.002
"""Between two claims: a storage that is busy, and not at its limit."""
BATCH = 250
_ALL = RetentionSpec(succeeded=Keep())
_NONE = RetentionSpec(succeeded=Keep(for_ms=0))


async def fill(storage: Storage, jobs: int) -> None:
    """Store jobs that have ended."""
    for first in range(0, jobs, BATCH):
        await storage.enqueue([JobSpec(id=f"old-{n}", task="old") for n in range(first, first + BATCH)])
        request = ClaimRequest("fill", first + 1, f"lease {first}", (Want("default", BATCH),))
        runs = await claim(storage, request)
        await storage.exchange([Settlement(run.lease, "s", Succeeded(b"1")) for run in runs])


async def claims(storage: Storage, part: str, seconds: float) -> list[float]:
    """The time of each claim in ms, for some seconds."""
    found: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        name = f"{part}-{len(found)}"
        await storage.enqueue([JobSpec(id=name, task="new", queue="new", keep_ms=86_400_000)])
        start = time.perf_counter()
        (run,) = await claim(storage, ClaimRequest(part, len(found) + 1, f"lease {name}", (Want("new", 1),)))
        found.append((time.perf_counter() - start) * 1000)
        await storage.exchange([Settlement(run.lease, "s", Succeeded(b"1"))])
        await asyncio.sleep(PACE_S)
    return found


def keep_up(url: str) -> None:
    """Do upkeep until the parent ends this process."""

    async def run() -> None:
        storage = await open_storage(url)
        await Upkeep(storage, clock=boot_ms, rng=Random(1)).run()

    asyncio.run(run())


async def measure(url: str, jobs: int, seconds: float) -> dict[str, object]:
    """Quiet and not, in turn, until all old jobs are gone. A round that they do not fill is not counted."""
    storage = await open_storage(url)
    await storage.put_retention(_ALL)
    await fill(storage, jobs)
    other = multiprocessing.get_context("spawn").Process(target=keep_up, args=(url,), daemon=True)
    other.start()
    await claims(storage, "warm", 1)
    rounds: list[tuple[list[float], list[float]]] = []
    start = time.perf_counter()
    while True:
        quiet = await claims(storage, f"quiet-{len(rounds)}", seconds)
        await storage.put_retention(_NONE)
        busy = await claims(storage, f"busy-{len(rounds)}", seconds)
        await storage.put_retention(_ALL)
        if (await storage.get([f"old-{jobs - 1}"])) == [None]:
            break
        rounds.append((quiet, busy))
    took_s = (time.perf_counter() - start) / 2
    other.kill()
    other.join()
    await storage.close()
    return summary(took_s, rounds)


def summary(took_s: float, rounds: list[tuple[list[float], list[float]]]) -> dict[str, object]:
    """Both sides over all rounds, and the ratio of each round."""
    pairs = [(figures(quiet), figures(busy)) for quiet, busy in rounds]
    ratios = sorted(round(busy["p99"] / quiet["p99"], 2) for quiet, busy in pairs)
    return {
        "removing took at most, in s": round(took_s, 1),
        "quiet": figures([ms for quiet, _ in rounds for ms in quiet]),
        "while jobs go": figures([ms for _, busy in rounds for ms in busy]),
        "ratio of p99, median of rounds": statistics.median(ratios),
        "ratios": ratios,
    }


def figures(times: list[float]) -> dict[str, float]:
    """Median, p99 and the longest, in ms."""
    cuts = statistics.quantiles(times, n=100)
    return {"claims": len(times), "p50": round(cuts[49], 3), "p99": round(cuts[98], 3), "max": round(max(times), 3)}


def main() -> None:
    """Parse, measure, print."""
    parser = storage_parser(__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=5, help="of one quiet part, and of the busy one that follows")
    given = parser.parse_args()
    with asked_storage(parser, given) as url:
        remove(url)
        told = about(url, jobs=given.jobs, seconds=given.seconds)
        found = asyncio.run(measure(url, given.jobs, given.seconds))
        remove(url)
    report(told, found, [f"{name}: {value}" for name, value in found.items()], as_json=given.json)


if __name__ == "__main__":
    main()
