"""How many no-op jobs a second: enqueued one by one, in batches, and drained by one worker.

    python -m benchmarks.throughput --store redis --jobs 20000 --concurrency 100 --json
    python -m benchmarks.throughput --url "sqlite:///bench.db?synchronous=normal" --limits 2 --budget

Each round starts from a new storage. Results are stored, as in production. Absolute figures drift with the
machine, so compare only within one run: the medians of the rounds, with their range.

With `--limits` or `--budget` each round has two halves, in an order that changes from round to round: plain jobs, and
jobs that take so many limits and draw from a budget in money, all too large to refuse anything; with `--calls` each of
these also opens a call and settles it. What is compared is always the two halves of one round.
"""

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable
from dataclasses import astuple, dataclass, fields

import aiq
from benchmarks.asking import asked_storage, storage_parser
from benchmarks.loads import BUDGETS, Load
from benchmarks.report import about, report
from benchmarks.spread import Spread, spread, table
from benchmarks.stores import remove

ONE_BY_ONE_SHARE = 10
"""One by one is slow by nature: a tenth of the jobs is enough to measure it."""


@dataclass(frozen=True, slots=True)
class Round:
    """Jobs per second of one round, and what a drained job costs."""

    one_by_one: float
    enqueue_many: float
    drain: float
    drain_cpu_ms_per_job: float


async def measure(url: str, jobs: int, concurrency: int, load: Load) -> Round:
    """One round, or half of one, on a new storage."""
    remove(url)
    async with aiq.Queue(url) as queue:
        await load.prepare(queue)
        single = jobs // ONE_BY_ONE_SHARE
        one_by_one = await rate(single, lambda: enqueue_singly(queue, single, load))
        many = await rate(jobs - single, lambda: enqueue_at_once(queue, jobs - single, load))
        worker = aiq.Worker(queue, tasks=[load.task], slots=concurrency)
        cpu = time.process_time()
        drain = await rate(jobs, worker.run_until_idle)
        cpu = time.process_time() - cpu
        await check(queue, jobs)
    remove(url)
    return Round(one_by_one, many, drain, cpu * 1000 / jobs)


async def compare(url: str, jobs: int, concurrency: int, rounds: int, loads: list[Load]) -> list[list[Round]]:
    """The rounds of each load, measured in turns."""
    found: list[list[Round]] = [[] for _ in loads]
    for number in range(rounds):
        # There and back, so that none is always first.
        for place in range(len(loads))[:: -1 if number % 2 else 1]:
            found[place].append(await measure(url, jobs, concurrency, loads[place]))
    return found


async def enqueue_singly(queue: aiq.Queue, jobs: int, load: Load) -> None:
    """As a web handler does it: one job, one durable answer, the next."""
    for number in range(jobs):
        await queue.enqueue(load.task.job(number), **load.options)


async def enqueue_at_once(queue: aiq.Queue, jobs: int, load: Load) -> None:
    """As an import does it."""
    await queue.enqueue_many([load.task.job(number) for number in range(jobs)], **load.options)


async def rate(jobs: int, work: Callable[[], Awaitable[object]]) -> float:
    """Jobs per second of wall time."""
    start = time.perf_counter()
    await work()
    return jobs / (time.perf_counter() - start)


async def check(queue: aiq.Queue, jobs: int) -> None:
    """A figure counts only if every job has really ended well."""
    counted = (await queue.count())[aiq.State.SUCCEEDED]
    if counted != jobs:
        raise SystemExit(f"{counted} of {jobs} jobs succeeded: the figures of this run mean nothing")


def summary(rounds: list[Round]) -> dict[str, Spread]:
    """Each figure over the rounds."""
    return {field.name: spread([getattr(one, field.name) for one in rounds]) for field in fields(Round)}


def ratios(plain: list[Round], loaded: list[Round]) -> list[Round]:
    """How each figure of a loaded half compares with that of the plain half of its round."""
    pairs = zip(plain, loaded, strict=True)
    return [Round(*(b / a for a, b in zip(astuple(one), astuple(other), strict=True))) for one, other in pairs]


def main() -> None:
    """Parse, measure, print."""
    parser = storage_parser(__doc__)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limits", type=int, default=0, metavar="N", help="compare with jobs that take N limits")
    parser.add_argument(
        "--budget", nargs="?", choices=BUDGETS, const="own", help="and draw from a budget; default: %(const)s"
    )
    parser.add_argument("--calls", action="store_true", help="and open a call, and settle it")
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop")
    given = parser.parse_args()
    loads = [Load()]
    if given.limits or given.budget:
        loads.append(Load(given.limits, given.budget, calls=given.calls))
    asked = {name: getattr(given, name) for name in ("jobs", "concurrency", "rounds", "limits", "budget", "calls")}
    with asked_storage(parser, given) as url, asyncio.Runner(loop_factory=loop_factory(uvloop=given.uvloop)) as runner:
        told = about(url, **asked)
        plain, *loaded = runner.run(compare(url, given.jobs, given.concurrency, given.rounds, loads))
    told["rss_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    found = {"figures": summary(plain)}
    for rounds in loaded:
        found |= {"with_limits": summary(rounds), "ratio": summary(ratios(plain, rounds))}
    report(told, found, [show(found)], as_json=given.json)


def show(found: dict[str, dict[str, Spread]]) -> str:
    """A table for people: plain jobs, those with limits, and the ratio of both sides of each round."""
    names = [field.name for field in fields(Round)]
    rows = [[name.replace("_", " "), *[str(each[name]) for each in found.values()]] for name in names]
    return table(["jobs a second, or CPU", "plain", "with limits", "ratio"][: len(found) + 1], rows)


def loop_factory(*, uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop]:
    """Plain asyncio unless asked otherwise."""
    if not uvloop:
        return asyncio.new_event_loop
    from uvloop import new_event_loop

    return new_event_loop


if __name__ == "__main__":
    main()
