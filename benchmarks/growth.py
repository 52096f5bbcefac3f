"""Does a job cost more with many stored than with few? (At most a fifth more is asked for.)

    python -m benchmarks.growth --store postgres
    python -m benchmarks.growth --store redis --queued 200000 --finished 1000000 --json

Two storages on one server: one has 20,000 jobs in line and nothing else, the other has many that have ended and many in
line. They were made by the storage's own enqueue and exchange, and nothing that they left is let go while it is
measured. In turns each gets new jobs, one by one and many at once, and a worker with a hundred slots does as many.
The figures are microseconds a job, of wall time and of CPU time (this process and the server, where that runs on this
machine), and the ratio of both sides of each round. On a machine that others share only CPU time means something.
"""

import argparse
import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack, nullcontext
from dataclasses import asdict, dataclass
from itertools import count
from typing import Final
from urllib.parse import parse_qsl, urlencode

import aiq
from aiq.bounds import MAX_BATCH
from aiq.model import ClaimRequest, JobRecord, Keep, RetentionSpec, Settlement, Succeeded, Want
from benchmarks.cost import Clocks, Cost, Instant
from benchmarks.machine import machine, version_of
from benchmarks.private import STORES, private, store_of
from benchmarks.spread import Spread, spread, table
from benchmarks.stores import refuse_existing, remove, tidy

FEW: Final = 20_000
SLOTS: Final = 100
SINGLE: Final = 200
"""Jobs of a turn that come one by one."""
WARM: Final = 500
"""Jobs that a worker does in a turn before those that are measured: it has to start."""
LOT: Final = 4_096
"""Jobs that one call puts in."""
QUEUE: Final = "default"

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Size:
    """What a storage has in it."""

    queued: int
    finished: int


class Mile:
    """The jobs of a worker that are measured: those that begin after the first few."""

    def __init__(self, clocks: Clocks, jobs: int) -> None:
        self._clocks, self._at = clocks, (WARM, WARM + jobs)
        self._done = 0
        self._marks: list[Instant] = []
        self.over = asyncio.Event()

    def up(self) -> None:
        """One more."""
        self._done += 1
        if self._done in self._at:
            self._marks.append(self._clocks.now())
            if self._done == self._at[-1]:
                self.over.set()

    def cost(self) -> Cost:
        """Of each of them."""
        began, ended = self._marks
        return began.until(ended, self._at[1] - self._at[0])


class Side:
    """One of the two storages."""

    def __init__(self, url: str, queue: aiq.Queue) -> None:
        self._queue, self._clocks = queue, Clocks.of(url)
        self._mile = Mile(self._clocks, 0)

        @aiq.task
        async def noop(number: int) -> int:
            self._mile.up()
            return number

        self._noop = noop

    async def fill(self, size: Size) -> None:
        """Make what is in it, as it is made by use, and as fast as that goes."""
        await self._queue.storage.put_retention(RetentionSpec(succeeded=Keep(), events=Keep()))
        await self._finish(size.finished)
        await self.put(size.queued)

    async def put(self, jobs: int) -> None:
        """New jobs, many at once."""
        for first in range(0, jobs, LOT):
            numbers = range(first, min(first + LOT, jobs))
            await self._queue.enqueue_many([self._noop.job(number) for number in numbers])

    async def put_singly(self, jobs: int) -> None:
        """New jobs, one by one."""
        for number in range(jobs):
            await self._queue.enqueue(self._noop.job(number))

    async def turn(self, jobs: int) -> dict[str, Cost]:
        """New jobs, and as many done."""
        return {
            "one_by_one": await self._clocks.cost(SINGLE, lambda: self.put_singly(SINGLE)),
            "enqueue_many": await self._clocks.cost(jobs + WARM, lambda: self.put(jobs + WARM)),
            "drain": await self._drain(jobs + SINGLE),
        }

    async def _drain(self, jobs: int) -> Cost:
        self._mile = Mile(self._clocks, jobs)
        async with aiq.Worker(self._queue, tasks=[self._noop], slots=SLOTS):
            await self._mile.over.wait()
        return self._mile.cost()

    async def _finish(self, jobs: int) -> None:
        """Jobs that have ended. While one step settles and claims, the next ones come in."""
        storage, runs = self._queue.storage, tuple[JobRecord, ...]()
        left, ended = jobs, 0
        while ended < jobs:
            number, new = next(_numbers), min(left, MAX_BATCH)
            claim = ClaimRequest("growth", number, f"{number:032x}", (Want(QUEUE, MAX_BATCH),))
            settlements = [Settlement(run.lease, "settled", Succeeded(b"1")) for run in runs]
            answer, _ = await asyncio.gather(storage.exchange(settlements, claim), self.put(new))
            left, ended, runs = left - new, ended + len(runs), answer.claimed


@dataclass(frozen=True, slots=True)
class Figure:
    """One kind of work on both storages. A ratio is that of the two sides of one round."""

    few: Spread
    many: Spread
    few_cpu: Spread
    many_cpu: Spread
    ratio: Spread
    ratio_cpu: Spread


@dataclass(frozen=True, slots=True)
class Grown:
    """What was found, and how long it took to make what it was found in."""

    filling_seconds: float
    figures: dict[str, Figure]


async def measure(urls: tuple[str, str], sizes: tuple[Size, Size], jobs: int, rounds: int) -> Grown:
    """Fill both storages, and measure them in turns, there and back."""
    async with AsyncExitStack() as stack:
        sides = [Side(url, await stack.enter_async_context(aiq.Queue(url))) for url in urls]
        began = time.perf_counter()
        for side, size, url in zip(sides, sizes, urls, strict=True):
            print(f"filling {url}", file=sys.stderr)
            await side.fill(size)
            await asyncio.to_thread(tidy, url)
        filling = time.perf_counter() - began
        found: list[list[dict[str, Cost]]] = [[], []]
        for number in range(rounds):
            for place in (0, 1)[:: -1 if number % 2 else 1]:
                found[place].append(await sides[place].turn(jobs))
    return Grown(round(filling, 1), compare(*found))


def compare(few: list[dict[str, Cost]], many: list[dict[str, Cost]]) -> dict[str, Figure]:
    """Both sides of each kind of work, and how many times the cost of few that of many is."""
    return {name: figure([one[name] for one in few], [one[name] for one in many]) for name in few[0]}


def figure(few: list[Cost], many: list[Cost]) -> Figure:
    """One kind of work."""
    pairs = list(zip(few, many, strict=True))
    return Figure(
        few=spread([cost.wall_us for cost in few]),
        many=spread([cost.wall_us for cost in many]),
        few_cpu=spread([cost.cpu_us for cost in few]),
        many_cpu=spread([cost.cpu_us for cost in many]),
        ratio=spread([b.wall_us / a.wall_us for a, b in pairs]),
        ratio_cpu=spread([b.cpu_us / a.cpu_us for a, b in pairs]),
    )


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--store", choices=STORES, default="postgres", help="on a private server; default: %(default)s")
    parser.add_argument("--url", help="storages beside this one instead, of which there must be none; they are removed")
    parser.add_argument("--queued", type=int, default=50_000, help="in the large storage; default: %(default)s")
    parser.add_argument("--finished", type=int, default=200_000, help="in the large storage; default: %(default)s")
    parser.add_argument("--few", type=int, default=FEW, help="queued in the small storage; default: %(default)s")
    parser.add_argument("--jobs", type=int, default=3_000, help="of one turn; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    with nullcontext(given.url) if given.url else private(given.store) as url:
        urls = (beside(url, "few"), beside(url, "many"))
        for one in urls:
            refuse_existing(parser, one)
            remove(one)
        told = {"machine": machine(), "store": version_of(url), **vars(given)}
        sizes = (Size(given.few, 0), Size(given.queued, given.finished))
        try:
            grown = asyncio.run(measure(urls, sizes, given.jobs, given.rounds))
        finally:
            for one in urls if given.url else ():
                remove(one)
    print(json.dumps({**told, **asdict(grown)})) if given.json else show(told, grown)


def beside(url: str, name: str) -> str:
    """A storage of another name on the same server, or in the same folder."""
    setting = {"redis": "namespace", "postgres": "schema"}.get(store_of(url))
    address, mark, query = url.partition("?")
    if setting is None:
        return f"{address}-{name}{mark}{query}"
    settings = dict(parse_qsl(query))
    settings[setting] = f"{settings.get(setting, 'growth')}_{name}"
    return f"{address}?{urlencode(settings)}"


def show(told: dict[str, object], grown: Grown) -> None:
    """A table for people."""
    for name, value in told.items():
        print(f"{name}: {value}")
    print(f"filling: {grown.filling_seconds} s")
    rows = [[name, *[str(value) for value in astuple_of(one)]] for name, one in grown.figures.items()]
    print(table(["us a job", "few", "many", "few, CPU", "many, CPU", "ratio", "ratio, CPU"], rows))


def astuple_of(one: Figure) -> list[Spread]:
    """Its spreads, in the order of the columns."""
    return [one.few, one.many, one.few_cpu, one.many_cpu, one.ratio, one.ratio_cpu]


if __name__ == "__main__":
    main()
