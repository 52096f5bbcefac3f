"""What admission costs a file: as many statements for many jobs as for few, and no look at what nobody may have."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from aiq.backends.relational.plain.shortcuts import Shortcuts
from aiq.backends.sqlite.storage import SQLiteStorage
from aiq.model import (
    Admitted,
    BudgetSpec,
    CallRequest,
    CallState,
    JobRecord,
    Report,
    Settlement,
    Succeeded,
    Usage,
)
from aiq.storage import claim, limit_topic, queue_topic
from aiq.testing.actions import claim_one, claim_some, job, wish
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import balance, need, open_call, put_budget, put_limit, tell, units, wait_of
from tests.backends.sqlite_files import in_writer, opened

ADMISSION = ("aiq_limit", "aiq_budget", "aiq_pools", "aiq_lines", "aiq_gates", "aiq_reservations", "aiq_holds")
ASKING = {
    "r.closed_at_ms": "whether runs have calls open",
    "AS last": "how a queue stands",
    "min(due_ms)": "what is due",
}
WIDE: Final[dict[str, Any]] = {"requests": 600_000, "tokens": 600_000_000, "burst_ms": 60_000}
"""A limit that nobody of a test gets to feel."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def storage(tmp_path: Path, clock: Clock) -> AsyncIterator[SQLiteStorage]:
    async with opened(tmp_path / "jobs.db", clock) as made:
        # How often a shorter way is tried, which could not make such steps, is another matter.
        made._shortcuts = Shortcuts({})
        yield made
        assert await made.audit() == []


async def statements_of(storage: SQLiteStorage, call: Callable[[], Awaitable[object]]) -> list[str]:
    """The statements that the writer runs for a call."""
    seen: list[str] = []
    await in_writer(storage, lambda raw: raw.set_trace_callback(seen.append))
    await call()
    await in_writer(storage, lambda raw: raw.set_trace_callback(None))
    return seen


async def work_of(storage: SQLiteStorage, call: Callable[[], Awaitable[object]]) -> int:
    """How many instructions SQLite runs for a call, of which each row that it reads takes some."""
    done = 0

    def count() -> int:
        nonlocal done
        done += 1
        return 0

    await in_writer(storage, lambda raw: raw.set_progress_handler(count, 1))
    await call()
    await in_writer(storage, lambda raw: raw.set_progress_handler(None, 0))
    return done


async def enqueue_many(storage: SQLiteStorage, count: int, prefix: str = "job", **options: object) -> None:
    """So many jobs, in as many batches as it takes."""
    names = [f"{prefix} {n}" for n in range(count)]
    for first in range(0, count, 200):
        await storage.enqueue([job(name, **options) for name in names[first : first + 200]])


async def bounded_jobs(storage: SQLiteStorage, count: int) -> None:
    """Jobs with two limits, and each with a budget of its own under a common one."""
    await put_limit(storage, **WIDE)
    await storage.put_limits([units("turn", 1_000)])
    await put_budget(storage, "all", tokens=1_000_000)
    for first in range(0, count, 200):
        await storage.enqueue(
            [
                job(
                    f"job {n}",
                    limits=("gpt", "turn"),
                    estimate=need(10, 10),
                    budgets=(f"purse {n}",),
                    creates=(BudgetSpec(id=f"purse {n}", parent="all", caps={"tokens": 100}),),
                )
                for n in range(first, min(first + 200, count))
            ]
        )


def settled(runs: list[JobRecord]) -> list[Settlement]:
    return [Settlement(run.lease, "1", Succeeded(b"done")) for run in runs]


async def test_a_hundred_bounded_jobs_come_and_go_in_as_many_statements_as_ten(storage: SQLiteStorage) -> None:
    await bounded_jobs(storage, 230)
    few, many = await claim_some(storage, 10), await claim_some(storage, 100)
    assert (len(few), len(many)) == (10, 100)
    ten = await statements_of(storage, lambda: storage.exchange(settled(few), wish(10)))
    hundred = await statements_of(storage, lambda: storage.exchange(settled(many), wish(100)))

    assert len(ten) == len(hundred)
    assert await balance(storage, "all") == (110 * 20, 110 * 20)


async def test_a_hundred_calls_are_asked_for_and_reported_in_as_many_statements_as_ten(storage: SQLiteStorage) -> None:
    await bounded_jobs(storage, 110)
    few, many = await claim_some(storage, 10), await claim_some(storage, 100)

    async def ask(runs: list[JobRecord]) -> None:
        asked = [CallRequest(lease=run.lease, number=1, limits=("gpt",), estimate=need(5, 5)) for run in runs]
        assert all(isinstance(answer, Admitted) for answer in await storage.acquire(asked))

    async def report(runs: list[JobRecord]) -> None:
        usage = (Usage(input=5),)
        await storage.report([Report(lease=run.lease, call=1, state=CallState.SETTLED, used=usage) for run in runs])

    for act in (ask, report):
        ten = await statements_of(storage, lambda act=act: act(few))  # type: ignore[misc]
        hundred = await statements_of(storage, lambda act=act: act(many))  # type: ignore[misc]
        assert len(ten) == len(hundred), act


async def test_a_queue_of_plain_jobs_is_asked_once_whether_admission_has_to_do_with_it(storage: SQLiteStorage) -> None:
    await bounded_jobs(storage, 10)
    await enqueue_many(storage, 30, "plain", queue="plain")
    runs = await claim_some(storage, 10, "plain")
    seen = await statements_of(storage, lambda: storage.exchange(settled(runs), wish(10, "plain")))
    asking = [text for text in seen if any(table in text for table in ADMISSION)]

    assert [told for text in asking for mark, told in ASKING.items() if mark in text] == [*ASKING.values()]
    assert len(asking) == len(ASKING)


async def parked(storage: SQLiteStorage, queue: str, jobs: int, tenants: int) -> None:
    """A queue with one pool in which nobody may have anything, and a plain job behind."""
    await storage.put_limits([units(f"turn.{queue}")])
    for n in range(tenants):
        await enqueue_many(
            storage, jobs // tenants, f"{queue} {n}", queue=queue, tenant=f"tenant {n}", limits=(f"turn.{queue}",)
        )
    assert len(await claim_some(storage, 5, queue)) == 1
    await storage.enqueue([job(f"{queue} plain {n}", queue=queue) for n in range(5)])


async def test_a_claim_looks_at_a_parked_pool_no_longer_for_thousands_of_jobs_than_for_ten(
    storage: SQLiteStorage,
) -> None:
    await parked(storage, "few", 10, 10)
    await parked(storage, "many", 3_000, 100)
    few = await work_of(storage, lambda: claim(storage, wish(1, "few")))
    many = await work_of(storage, lambda: claim(storage, wish(1, "many")))

    # Deeper trees are searched a little longer; each row that is looked at takes tens.
    assert many < few + 100


async def test_the_next_of_thousands_of_tenants_is_found_without_a_look_at_the_others(storage: SQLiteStorage) -> None:
    for count in (20, 2_000):
        for first in range(0, count, 200):
            names = [f"{count} {n}" for n in range(first, min(first + 200, count))]
            await storage.enqueue([job(name, queue=f"of.{count}", tenant=name) for name in names])
    few = await work_of(storage, lambda: claim(storage, wish(10, "of.20")))
    many = await work_of(storage, lambda: claim(storage, wish(10, "of.2000")))

    assert many < few + 1_000
    assert len(await claim_some(storage, 10, "of.2000")) == 10


async def test_a_call_that_waits_is_told_of_room_that_another_process_makes(tmp_path: Path) -> None:
    async with opened(tmp_path / "jobs.db") as here, opened(tmp_path / "jobs.db") as there:
        await here.put_limits([units("turn")])
        await here.enqueue([job("first"), job("second")])
        first, second = await claim_some(there, 1), await claim_some(here, 1)
        await open_call(there, first[0], 1, None, "turn")
        assert await wait_of(here, second[0], 1, None, "turn") is None
        mark = await here.wait([limit_topic("turn")], after=None, timeout_ms=0)
        await tell(there, first[0])

        async with asyncio.timeout(10):
            await here.wait([limit_topic("turn")], after=mark, timeout_ms=60_000)
        await open_call(here, second[0], 1, None, "turn")


async def test_a_worker_is_told_of_a_grant_that_another_process_makes(tmp_path: Path) -> None:
    async with opened(tmp_path / "jobs.db") as here, opened(tmp_path / "jobs.db") as there:
        await put_budget(here, tokens=10)
        await here.enqueue([job(budgets=("purse",), estimate=need(20))])
        assert await claim_some(here, 1) == []
        mark = await here.wait([queue_topic("default")], after=None, timeout_ms=0)
        await there.grant("purse", "more", {"tokens": 100})

        async with asyncio.timeout(10):
            await here.wait([queue_topic("default")], after=mark, timeout_ms=60_000)
        assert (await claim_one(here)).id == "job"


@clause("KEY-14")
@pytest.mark.parametrize("keys", [1, 1_500])
async def test_what_stands_in_lines_of_keys_or_has_one_of_its_own_costs_a_claim_no_more(
    storage: SQLiteStorage, keys: int
) -> None:
    await enqueue_many(storage, 20, "plain")
    plain_work = await work_of(storage, lambda: claim_some(storage, 10))
    plain = await statements_of(storage, lambda: claim_some(storage, 10))
    for first in range(0, 1_500, 250):
        await storage.enqueue([job(f"job {n}", key=f"key {n % keys}", per_key=1) for n in range(first, first + 250)])
    found = len(await claim_some(storage, 10))

    assert found == min(keys, 10)
    assert len(await statements_of(storage, lambda: claim_some(storage, 10))) <= len(plain)
    assert await work_of(storage, lambda: claim_some(storage, 10)) < 1.5 * plain_work


async def test_jobs_of_fifty_pools_are_as_many_statements_as_those_of_ten(storage: SQLiteStorage) -> None:
    async def turn(limits: range) -> int:
        jobs = [job(f"{len(limits)} {n}", limits=(f"l{n}",)) for n in limits]
        stored = await statements_of(storage, lambda: storage.enqueue(jobs))
        runs = await claim_some(storage, len(limits))
        await storage.enqueue([job(f"{len(limits)} again {n}", limits=(f"l{n}",)) for n in limits])
        settlements = [Settlement(run.lease, "1", Succeeded(b"")) for run in runs]
        moved = await statements_of(storage, lambda: storage.exchange(settlements, wish(len(limits))))
        return len(stored) + len(moved)

    for number in range(50):
        await put_limit(storage, f"l{number}", **WIDE)
    # What has been stored once is there.
    await turn(range(49))

    assert await turn(range(50)) == await turn(range(10))
