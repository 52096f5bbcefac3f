"""What do children cost, and does one of many siblings cost more than one of few? (FAN-7: it does not.)

    python -m benchmarks.flows --store redis
    python -m benchmarks.flows --url "sqlite:///bench.db" --widths 100 1000 --children 2000 --json

Families of different widths have as many children together, and are measured in turns, each on a new storage. First all
parents run and store their children, which nobody serves yet, then a worker with a hundred slots runs these while
another waits for the parents. The figures are microseconds a child to store and to run them, of wall time and of CPU
time (this process and the server, where that runs on this machine); how long after the handler of its last child a
parent was running again; and how long it took to have a result of each. The ratio is that of the widest and the
narrowest family, round by round. What a parent itself costs is shared by its children.
"""

import asyncio
import logging
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import aiq
from benchmarks.asking import asked_storage, storage_parser
from benchmarks.cost import Clocks, Cost
from benchmarks.report import about, report
from benchmarks.spread import Spread, spread, table
from benchmarks.stores import remove

SLOTS: Final = 100


@dataclass(frozen=True, slots=True)
class Turn:
    """What one of the children cost, and how long parents took to go on."""

    store: Cost
    run: Cost
    resumed_ms: float
    result_us: float


@dataclass(frozen=True, slots=True)
class Figure:
    """Families of one width, over the rounds."""

    store_us: Spread
    store_cpu_us: Spread
    run_us: Spread
    run_cpu_us: Spread
    resumed_ms: Spread
    result_us: Spread


class Families:
    """Parents of one width, and all their children."""

    def __init__(self, queue: aiq.Queue, width: int, children: int) -> None:
        self._queue, self._width, self._many = queue, width, max(1, children // width)
        self._ended: dict[int, float] = {}
        self._resumed_s: list[float] = []
        self._reading_s: list[float] = []

        @aiq.task(queue="parts")
        async def part(family: int, number: int) -> int:
            self._ended[family] = time.perf_counter()
            return number

        @aiq.task(queue="families")
        async def whole(ctx: aiq.Context, family: int) -> int:
            began = time.perf_counter()
            numbers = await ctx.gather("parts", [part.job(family, number) for number in range(width)])
            self._resumed_s.append(began - self._ended[family])
            self._reading_s.append(time.perf_counter() - began)
            return sum(numbers)

        self._part, self._whole = part, whole

    async def measure(self, clocks: Clocks) -> Turn:
        """Store them, run them, and let the parents go on."""
        parents = await self._queue.enqueue_many([self._whole.job(family) for family in range(self._many)])
        children = self._many * self._width
        stored = await clocks.cost(children, aiq.Worker(self._queue, tasks=[self._whole]).run_until_idle)
        async with aiq.Worker(self._queue, tasks=[self._whole]):
            worker = aiq.Worker(self._queue, tasks=[self._part], slots=SLOTS)
            run = await clocks.cost(children, worker.run_until_idle)
            await self._check(parents)
        resumed, reading = statistics.median(self._resumed_s), statistics.median(self._reading_s)
        return Turn(stored, run, resumed * 1_000, reading * 1_000_000 / self._width)

    async def _check(self, parents: Sequence[aiq.Job[int]]) -> None:
        """A figure counts only if every parent has the result of each of its children."""
        for parent in parents:
            if await parent.result(timeout=60) != sum(range(self._width)):
                raise SystemExit("A parent has not the results of its children: the figures of this run mean nothing.")


async def measure(url: str, widths: Sequence[int], children: int, rounds: int) -> list[list[Turn]]:
    """The rounds of each width, measured in turns, there and back."""
    found: list[list[Turn]] = [[] for _ in widths]
    for number in range(rounds):
        for place in range(len(widths))[:: -1 if number % 2 else 1]:
            remove(url)
            async with aiq.Queue(url) as queue:
                families = Families(queue, widths[place], children)
                found[place].append(await families.measure(Clocks.of(url)))
            remove(url)
    return found


def figure(rounds: Sequence[Turn]) -> Figure:
    """Over the rounds."""
    return Figure(
        store_us=spread([turn.store.wall_us for turn in rounds]),
        store_cpu_us=spread([turn.store.cpu_us for turn in rounds]),
        run_us=spread([turn.run.wall_us for turn in rounds]),
        run_cpu_us=spread([turn.run.cpu_us for turn in rounds]),
        resumed_ms=spread([turn.resumed_ms for turn in rounds]),
        result_us=spread([turn.result_us for turn in rounds]),
    )


def ratio(narrow: Sequence[Turn], wide: Sequence[Turn]) -> dict[str, Spread]:
    """How many times the CPU time of a child of a narrow family that of one of a wide family is, in the same round."""
    pairs = list(zip(narrow, wide, strict=True))
    return {
        "store": spread([b.store.cpu_us / a.store.cpu_us for a, b in pairs]),
        "run": spread([b.run.cpu_us / a.run.cpu_us for a, b in pairs]),
    }


def main() -> None:
    """Parse, measure, print."""
    parser = storage_parser(__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[100, 1_000, 10_000], help="default: %(default)s")
    parser.add_argument("--children", type=int, default=10_000, help="of all families of a width; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    widths = sorted(given.widths)
    # The parents' worker would warn that it does not serve the children.
    logging.getLogger("aiq.worker").setLevel(logging.ERROR)
    with asked_storage(parser, given) as url:
        told = about(url, children=given.children, rounds=given.rounds)
        remove(url)
        turns = asyncio.run(measure(url, widths, given.children, given.rounds))
    figures = {width: figure(found) for width, found in zip(widths, turns, strict=True)}
    ratios = ratio(turns[0], turns[-1])
    report(told, {"widths": figures, "ratio": ratios}, show(figures, ratios), as_json=given.json)


def show(figures: dict[int, Figure], ratios: dict[str, Spread]) -> list[str]:
    """A table for people, and what a child among many costs."""
    columns = [field.name for field in fields(Figure)]
    rows = [[f"{width:,}", *[str(getattr(one, name)) for name in columns]] for width, one in figures.items()]
    grown = ", ".join(f"{name} {one}" for name, one in ratios.items())
    return [
        table(["children", *[name.replace("_", " ") for name in columns]], rows),
        f"widest to narrowest, CPU: {grown}",
    ]


if __name__ == "__main__":
    main()
