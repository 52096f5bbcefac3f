"""How much of what a store can do is left to a user of ours?

    python -m benchmarks.ceiling --store postgres
    python -m benchmarks.ceiling --store redis --rounds 5 --json

In turns of one run: ours, by a queue and a worker as in `benchmarks.peers`; our own operations from a tight loop, with
all that they promise; and the least that any queue could do on that store, from the same loop: a row that comes, is
taken, and goes. The ceiling is the higher of the two; the last column is ours as a part of it, round by round.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.ceiling.bare import Bare, measure
from benchmarks.ceiling.bare_postgres import BarePostgres
from benchmarks.ceiling.bare_redis import BareRedis
from benchmarks.ceiling.bare_sqlite import BareSQLite
from benchmarks.ceiling.operations import Operations
from benchmarks.peers.places import place
from benchmarks.peers.queues import OURS, queues_of
from benchmarks.peers.race import Course, turn
from benchmarks.private import STORES, store_of
from benchmarks.report import about, report
from benchmarks.spread import Spread, spread, table

LEAST: Final[dict[str, Callable[[], Bare]]] = {"redis": BareRedis, "postgres": BarePostgres, "sqlite": BareSQLite}
FIGURES: Final = ("one_by_one", "concurrent", "bulk", "drain c=10", "drain c=100")

Rates = dict[str, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """Jobs a second of one kind of work, and what part of the higher of the others ours is."""

    ours: Spread
    operations: Spread
    least: Spread
    part: Spread


def climb(course: Course) -> dict[str, Figure]:
    """All in turns, there and back, so that none is always first."""
    sides: list[Callable[[], Rates]] = [
        lambda: ours(course),
        lambda: bare(course, Operations()),
        lambda: bare(course, LEAST[course.store]()),
    ]
    found: list[list[Rates]] = [[] for _ in sides]
    for number in range(course.rounds):
        for which in range(len(sides))[:: -1 if number % 2 else 1]:
            print(f"round {number + 1}: {Figure.__slots__[which]}", file=sys.stderr)
            found[which].append(sides[which]())
    return compare(*found)


def ours(course: Course) -> Rates:
    """A queue and a worker, in a process of their own."""
    (queue,) = queues_of(course.store, [OURS])
    told = turn(queue, queue.python(), course)
    return {name: told[name] or 0.0 for name in FIGURES}


def bare(course: Course, work: Bare) -> Rates:
    """A tight loop on an empty store."""
    with place(course.store, course.url) as here:
        return asyncio.run(measure(work, here.url))


def compare(ours: list[Rates], operations: list[Rates], least: list[Rates]) -> dict[str, Figure]:
    """Each kind of work; the part is that of one round, never of medians."""
    rounds = list(zip(ours, operations, least, strict=True))
    return {
        name: Figure(
            ours=spread([one[name] for one in ours]),
            operations=spread([one[name] for one in operations]),
            least=spread([one[name] for one in least]),
            part=spread([mine[name] / max(own[name], any_queue[name]) for mine, own, any_queue in rounds]),
        )
        for name in FIGURES
    }


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--store", choices=STORES, default="redis", help="on private servers; default: %(default)s")
    parser.add_argument("--url", help="a server to measure on instead, as for benchmarks.peers")
    parser.add_argument("--jobs", type=int, default=10_000, help="of ours, in a lap; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    course = Course(store_of(given.url) if given.url else given.store, given.url, given.jobs, (100, 10), given.rounds)
    with place(course.store, course.url) as here:
        told = about(here.url, jobs=course.jobs, rounds=course.rounds)
    found = climb(course)
    rows = [[name, str(one.ours), str(one.operations), str(one.least), str(one.part)] for name, one in found.items()]
    shown = table(["jobs a second", "ours", "our operations", "the least", "part"], rows)
    report(told, {"figures": found}, [shown], as_json=given.json)


if __name__ == "__main__":
    main()
