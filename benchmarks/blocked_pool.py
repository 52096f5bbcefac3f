"""What does asking a parked pool for jobs cost, with 100,000 of 10,000 tenants in it and with ten? (POOL-5: the same.)

    python -m benchmarks.blocked_pool --store sqlite --json

Two pools stand behind a limit that has nothing to give for an hour, each in a storage of its own where the URL names a
file or memory, else in queues of one storage. They are asked in turns. `poll` is a claim that finds its pool parked,
`woken` one that has to look at it again because somebody has stored the limit anew, and `upkeep` what is asked only to
learn what is due next. The figures are medians in microseconds, and how those of the large pool compare. A claim
looks at the head of a pool and at up to 16 behind it, which ten tenants do not have: `--few 64` compares equal work.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from itertools import count
from typing import Final
from urllib.parse import urlsplit

from aiq.backends import open_storage
from aiq.bounds import MAX_BATCH
from aiq.model import ClaimRequest, JobSpec, LimitSpec, Want
from aiq.storage import Storage
from benchmarks.asking import asked_storage, storage_parser
from benchmarks.report import about, report
from benchmarks.spread import short, table
from benchmarks.stores import refuse_existing, remove
from benchmarks.throughput import loop_factory

FEW: Final = 10
"""Jobs and tenants of the small pool, unless another number is asked for."""
NARROW: Final = LimitSpec(name="narrow", requests=1, per_ms=3_600_000, burst_ms=3_600_000)
"""It begins with five seconds of its rate: far less than one request."""

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Pool:
    """Jobs that wait, in a queue of their own."""

    storage: Storage
    queue: str

    async def fill(self, jobs: int, tenants: int) -> None:
        """Store the jobs, and let one claim find that there is no room for them."""
        await self.storage.put_limits([NARROW])
        for first in range(0, jobs, MAX_BATCH):
            numbers = range(first, min(first + MAX_BATCH, jobs))
            await self.storage.enqueue([self._job(number, tenants) for number in numbers])
        await self.poll()

    async def poll(self) -> None:
        """Ask for jobs, as an idle worker does."""
        number = next(_numbers)
        claim = ClaimRequest("bench", number, f"{number:032x}", (Want(self.queue, 100),))
        answer = await self.storage.exchange((), claim)
        if answer.claimed or not answer.next_due_ms:
            raise SystemExit("The pool is not parked: the figures of this run mean nothing.")

    async def wake(self) -> None:
        """Make the next claim look at the pool."""
        await self.storage.put_limits([NARROW])

    async def upkeep(self) -> None:
        """Ask what is due, which is nothing."""
        await self.storage.upkeep()

    def _job(self, number: int, tenants: int) -> JobSpec:
        tenant = f"tenant {number % tenants}"
        return JobSpec(id=f"{self.queue} {number}", task="noop", queue=self.queue, tenant=tenant, limits=(NARROW.name,))


@dataclass(frozen=True, slots=True)
class Figure:
    """Medians of one question, in microseconds."""

    small_us: float
    large_us: float

    @property
    def ratio(self) -> float:
        """How much dearer the large pool is."""
        return round(self.large_us / self.small_us, 2)


async def measure(url: str, jobs: int, tenants: int, polls: int, few: int = FEW) -> dict[str, Figure]:
    """Fill both pools, and ask them in turns."""
    async with AsyncExitStack() as stack:
        pools: list[Pool] = []
        for address, queue in ((url, "small"), (beside(url), "large")):
            storage = await open_storage(address)
            stack.push_async_callback(storage.close)
            pools.append(Pool(storage, queue))
        small, large = pools
        await small.fill(few, few)
        await large.fill(jobs, tenants)
        return {
            "poll": await compare(polls, small.poll, large.poll),
            "woken": await compare(polls, small.poll, large.poll, before=(small.wake, large.wake)),
            "upkeep": await compare(polls, small.upkeep, large.upkeep),
        }


Act = Callable[[], Awaitable[None]]


async def compare(times: int, small: Act, large: Act, before: tuple[Act, Act] | None = None) -> Figure:
    """Do both in turns, so that what else the machine does meets both; what comes `before` each does not count."""
    took_us: tuple[list[float], list[float]] = ([], [])
    for _ in range(times):
        for which, act in enumerate((small, large)):
            if before is not None:
                await before[which]()
            began = time.perf_counter()
            await act()
            took_us[which].append((time.perf_counter() - began) * 1_000_000)
    return Figure(*(round(statistics.median(took), 1) for took in took_us))


def beside(url: str) -> str:
    """The storage of the large pool: a file beside that of the small one, else the same address."""
    return f"{url}-large" if urlsplit(url).scheme == "sqlite" else url


def main() -> None:
    """Parse, measure, print."""
    parser = storage_parser(__doc__)
    parser.add_argument("--few", type=int, default=FEW, help="jobs, and tenants, of the small pool")
    parser.add_argument("--jobs", type=int, default=100_000, help="in the large pool")
    parser.add_argument("--tenants", type=int, default=10_000, help="whose they are")
    parser.add_argument("--polls", type=int, default=2_000)
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop")
    given = parser.parse_args()
    asked = {name: getattr(given, name) for name in ("few", "jobs", "tenants", "polls")}
    with asked_storage(parser, given) as url, asyncio.Runner(loop_factory=loop_factory(uvloop=given.uvloop)) as runner:
        refuse_existing(parser, beside(url))
        remove(url)
        told = about(url, **asked)
        figures = runner.run(measure(url, given.jobs, given.tenants, given.polls, given.few))
        for one in (url, beside(url)):
            remove(one)
    rows = [[name, short(one.small_us), short(one.large_us), short(one.ratio)] for name, one in figures.items()]
    found = {name: {**asdict(one), "ratio": one.ratio} for name, one in figures.items()}
    report(told, {"figures": found}, [table(["us", "small pool", "large pool", "ratio"], rows)], as_json=given.json)


if __name__ == "__main__":
    main()
