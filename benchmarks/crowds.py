"""Does a job cost more where jobs are of 10,000 tenants than of one, and behind 1,000 limits than behind one?

    python -m benchmarks.crowds --store redis
    python -m benchmarks.crowds --store postgres --of limits --limits 100 --json

At most a fifth more is asked for. Two comparisons, one after the other, each of two storages on one server with as many
jobs in line: those of one tenant beside those of many, and those behind one limit beside those that are spread over
many, each of which has room for all of them. Job after job is of the next tenant, or behind the next limit. In turns
each storage gets new jobs, one by one and many at once, and a worker with a hundred slots does as many. The figures are
as those of `benchmarks.growth`.
"""

import argparse
import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Final

import aiq
from aiq.newjob import NewJob
from benchmarks.asking import asked_storage, storage_parser
from benchmarks.report import about, report
from benchmarks.stores import refuse_existing, remove
from benchmarks.turns import Compared, Deal, Plan, Side, beside, measure, show

AMPLE: Final = 1_000_000_000
"""Requests a minute of each limit: none of them ever refuses a job."""
COMPARED: Final = ("tenants", "limits")


@dataclass(frozen=True, slots=True)
class Crowd:
    """Of what there are so many, and how many jobs stand in line."""

    of: str
    size: int
    queued: int

    async def fill(self, side: Side) -> None:
        """Store the limits, and put the jobs in line."""
        if self.of == "limits":
            names = map(self.name, range(self.size))
            await side.queue.admin.put_limits([aiq.Limit(name, requests=AMPLE) for name in names])
        await side.put(self.queued)

    def deal(self) -> Deal:
        """What makes each job one of the next tenant, or limit."""
        numbers = count()

        def dealt(job: NewJob[int]) -> NewJob[int]:
            name = self.name(next(numbers) % self.size)
            return job.using(limits=[name]) if self.of == "limits" else job.using(tenant=name)

        return dealt

    def name(self, number: int) -> str:
        """That of one of them."""
        return f"{self.of}-{number}"


async def compared(url: str, sizes: dict[str, int], queued: int, jobs: int, rounds: int) -> dict[str, Compared]:
    """One of each beside many of it."""
    return {of: await compare(url, of, size, queued, jobs, rounds) for of, size in sizes.items()}


async def compare(url: str, of: str, size: int, queued: int, jobs: int, rounds: int) -> Compared:
    """One beside many, on two new storages."""
    one, many = (Crowd(of, number, queued) for number in (1, size))
    places = [beside(url, name) for name in names(of)]
    for place in places:
        await asyncio.to_thread(remove, place)
    try:
        plans = (Plan(places[0], one.fill, one.deal()), Plan(places[1], many.fill, many.deal()))
        return await measure(plans, jobs, rounds)
    finally:
        for place in places:
            await asyncio.to_thread(remove, place)


def names(of: str) -> tuple[str, str]:
    """Those of the two storages."""
    return f"one_{of.removesuffix('s')}", f"many_{of}"


def main() -> None:
    """Parse, measure, print."""
    parser = storage_parser(__doc__)
    parser.add_argument("--of", choices=COMPARED, help="only this comparison")
    parser.add_argument("--tenants", type=int, default=10_000, help="beside one; default: %(default)s")
    parser.add_argument("--limits", type=int, default=1_000, help="beside one; default: %(default)s")
    parser.add_argument("--queued", type=int, default=20_000, help="in each storage; default: %(default)s")
    parser.add_argument("--jobs", type=int, default=3_000, help="of one turn; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    sizes = {of: getattr(given, of) for of in (COMPARED if given.of is None else (given.of,))}
    with asked_storage(parser, given) as url:
        refuse(parser, url, sizes)
        told = about(url, **sizes, queued=given.queued, jobs=given.jobs, rounds=given.rounds)
        found = asyncio.run(compared(url, sizes, given.queued, given.jobs, given.rounds))
    shown = [show(one, (f"one {of.removesuffix('s')}", f"many {of}")) for of, one in found.items()]
    report(told, {"compared": found}, shown, as_json=given.json)


def refuse(parser: argparse.ArgumentParser, url: str, sizes: Iterable[str]) -> None:
    """Whoever has a storage of such a name must not lose it."""
    for of in sizes:
        for name in names(of):
            refuse_existing(parser, beside(url, name))


if __name__ == "__main__":
    main()
