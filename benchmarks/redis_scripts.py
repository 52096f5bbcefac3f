"""How long a Redis server is busy with one operation, and what it keeps of a job, with many jobs stored.

    python -m benchmarks.redis_scripts --jobs 100000

A server does nothing else while it runs a script, so these times, and not only the throughput, decide what else it can
do. The server counts them itself (INFO commandstats); nothing of it is changed. Beside them stands what the caller
waits, one call after another, with the way there and back.
"""

import asyncio
import re
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Final

from aiq.backends.redis.address import parse
from aiq.backends.redis.client import Client
from aiq.backends.redis.storage import RedisStorage, open_redis
from aiq.bounds import MAX_BATCH
from aiq.model import (
    BudgetSpec,
    ClaimRequest,
    Estimate,
    JobFilter,
    JobRecord,
    JobSpec,
    LimitSpec,
    Settlement,
    Succeeded,
    Want,
)
from benchmarks.asking import asked_storage, storage_parser
from benchmarks.report import about, report
from benchmarks.spread import table
from benchmarks.stores import remove

ROUNDS = 300
LOT = 100
"""How many jobs the calls for many settle, claim and renew at once, as a worker does."""
CONTENT = b"x" * 256
LEASE_MS = 3_600_000
AMPLE = 1_000_000_000
NEED = Estimate(input=1_000, max_output=1_000, model="bench")
LIMITS = ("first", "second")
_SCRIPTS: Final = re.compile(r"^cmdstat_(?:eval|evalsha):calls=(\d+),usec=(\d+)", re.MULTILINE)
"""How many scripts a server has run, and for how many microseconds, the commands that they gave included."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of one call: the server's, and then the caller's."""

    operation: str
    script_p50_ms: float
    script_p99_ms: float
    p50_ms: float
    p99_ms: float
    max_ms: float


class Bench:
    """A storage, and the jobs that it has given out."""

    def __init__(self, storage: RedisStorage, client: Client) -> None:
        self._storage, self._client = storage, client
        self._number = 0
        self._runs: list[JobRecord] = []
        self._limited: list[JobRecord] = []

    async def fill(self, jobs: int) -> None:
        """Store jobs, as many at once as one call takes."""
        for first in range(0, jobs, MAX_BATCH):
            await self._enqueue(min(MAX_BATCH, jobs - first))

    async def measure(self) -> list[Timing]:
        """Time each kind of call."""
        return [
            await self._timed("enqueue 1", lambda: self._enqueue(1)),
            await self._timed(f"enqueue {LOT}", lambda: self._enqueue(LOT)),
            await self._timed("settle 1, claim 1", lambda: self._exchange(1)),
            await self._timed(f"settle {LOT}, claim {LOT}", lambda: self._exchange(LOT)),
            *await self._measure_limited(),
            await self._timed(f"renew {LOT}", self._renew),
            await self._timed("get 1", lambda: self._storage.get([name(1)])),
            await self._timed(f"list {LOT}", lambda: self._storage.list(JobFilter(), limit=LOT)),
            await self._timed("count", self._storage.count),
            await self._timed("upkeep", self._storage.upkeep),
        ]

    async def _measure_limited(self) -> list[Timing]:
        """The same of jobs with two limits and a budget of their own, all of which have room."""
        await self._storage.put_limits([LimitSpec(name=name, requests=AMPLE, tokens=AMPLE) for name in LIMITS])
        stored = await self._timed(f"enqueue {LOT} with limits and a budget", self._enqueue_limited)
        return [stored, await self._timed(f"settle {LOT}, claim {LOT} of these", self._exchange_limited)]

    async def _timed(self, operation: str, call: Callable[[], Awaitable[object]]) -> Timing:
        # The server is sent a script, and reads it, once for all.
        await call()
        busy, taken = zip(*[await self.round(call) for _ in range(ROUNDS)], strict=True)
        return Timing(operation, *(round(one, 2) for one in (*points(busy), *points(taken), max(taken))))

    async def round(self, call: Callable[[], Awaitable[object]]) -> tuple[float, float]:
        """The milliseconds of one call: the server's, and the caller's. Other scripts meanwhile end the program."""
        scripts, busy_us = await scripts_run(self._client)
        began = time.perf_counter_ns()
        await call()
        took_ms = (time.perf_counter_ns() - began) / 1_000_000
        scripts_after, busy_us_after = await scripts_run(self._client)
        if scripts_after - scripts != 1:
            sys.exit(f"{scripts_after - scripts} scripts ran in one call. Measure where nobody else has any.")
        return (busy_us_after - busy_us) / 1000, took_ms

    async def _enqueue(self, count: int) -> None:
        first, self._number = self._number + 1, self._number + count
        jobs = [
            JobSpec(id=name(n), task="work", payload=CONTENT, lease_ms=LEASE_MS) for n in range(first, first + count)
        ]
        await self._storage.enqueue(jobs)

    async def _enqueue_limited(self) -> None:
        first, self._number = self._number + 1, self._number + LOT
        await self._storage.enqueue([limited(name(n)) for n in range(first, first + LOT)])

    async def _exchange(self, count: int) -> None:
        ended, self._runs = self._runs[:count], self._runs[count:]
        self._runs += await self._settled_and_claimed(ended, Want("default", count))

    async def _exchange_limited(self) -> None:
        self._limited = await self._settled_and_claimed(self._limited, Want("limited", LOT))

    async def _settled_and_claimed(self, ended: Sequence[JobRecord], want: Want) -> list[JobRecord]:
        self._number += 1
        done = [Settlement(run.lease, f"of {run.id}", Succeeded(CONTENT)) for run in ended]
        answer = await self._storage.exchange(done, ClaimRequest("bench", self._number, f"l{self._number}", (want,)))
        return list(answer.claimed)

    async def _renew(self) -> None:
        await self._storage.renew([run.lease for run in self._runs[:LOT]])


async def scripts_run(client: Client) -> tuple[int, int]:
    """How many scripts the server has run, and for how many microseconds."""
    counted = _SCRIPTS.findall((await client.ask("INFO", "commandstats")).decode().replace("\r", ""))
    return sum(int(calls) for calls, _ in counted), sum(int(us) for _, us in counted)


def name(number: int) -> str:
    """An id of a job, as long as those that are made by themselves."""
    return f"{number:032x}"


def limited(job_id: str) -> JobSpec:
    """A job that takes of two limits, and brings a budget."""
    own = BudgetSpec(id=f"job:{job_id}", caps={"tokens": AMPLE})
    return JobSpec(
        id=job_id,
        task="work",
        queue="limited",
        payload=CONTENT,
        lease_ms=LEASE_MS,
        limits=LIMITS,
        estimate=NEED,
        budgets=(own.id,),
        creates=(own,),
    )


def points(taken: Sequence[float]) -> tuple[float, float]:
    """The median, and what one of a hundred takes longer than."""
    hundredths = statistics.quantiles(taken, n=100, method="inclusive")
    return statistics.median(taken), hundredths[98]


async def memory(url: str) -> int:
    """Bytes that the server uses."""
    client = Client(parse(url))
    try:
        lines = (await client.ask("INFO", "memory")).decode().splitlines()
    finally:
        await client.close()
    return int(next(line for line in lines if line.startswith("used_memory:")).partition(":")[2])


async def measure(url: str, jobs: int) -> tuple[float, list[Timing]]:
    """Fill a namespace, and measure: the bytes of a queued job, and each operation."""
    storage, client = await open_redis(url), Client(parse(url))
    try:
        bench = Bench(storage, client)
        before = await memory(url)
        await bench.fill(jobs)
        per_job = (await memory(url) - before) / jobs
        return per_job, await bench.measure()
    finally:
        await client.close()
        await storage.close()


def main() -> None:
    """Parse, measure, print."""
    parser = storage_parser(__doc__, stores=("redis",))
    parser.add_argument("--jobs", type=int, default=100_000, help="how many are stored meanwhile")
    given = parser.parse_args()
    with asked_storage(parser, given) as url:
        told = about(url, jobs=given.jobs, bytes_of_arguments=len(CONTENT))
        per_job, found = asyncio.run(measure(url, given.jobs))
        remove(url)
    rows = [[one.operation, *map(str, astuple(one)[1:])] for one in found]
    shown = table(["ms", "script p50", "script p99", "caller p50", "caller p99", "caller max"], rows)
    told["bytes_per_queued_job"] = round(per_job)
    report(told, {"calls": found}, [shown], as_json=given.json)


if __name__ == "__main__":
    main()
