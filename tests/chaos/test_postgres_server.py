"""What a PostgreSQL server does by itself: its plans, rows that are dead and not cleared away, a clock that steps."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from aiq.backends.postgres import facts
from aiq.backends.postgres.migrate import migrate
from aiq.model import Level, Renewed, Settlement, State
from aiq.storage import Storage
from aiq.testing.actions import GOOD, claim_one, claim_some, end, enqueue_one, get_one, job, start
from aiq.testing.spending import balance, need, put_budget
from tests.postgres_servers import USER, Postgres, connect, private_server
from tests.stores import opened

pytestmark = pytest.mark.faults

CLAIMERS = 32
PROCESSES = 4
HOUR_MS = 3_600_000


@pytest.fixture
def server() -> Iterator[Postgres]:
    with private_server() as made:
        yield made


@pytest.fixture
async def storage(server: Postgres) -> AsyncIterator[Storage]:
    """With the server's own clock."""
    await migrate(server.url())
    async with opened(server.url(), None) as made:
        yield made
        assert await made.audit() == []


@asynccontextmanager
async def crowd(server: Postgres) -> AsyncIterator[list[Storage]]:
    """As many claimers as that, of a few processes that know nothing of each other."""
    async with AsyncExitStack() as stack:
        opened_ones = [await stack.enter_async_context(opened(server.url(), None)) for _ in range(PROCESSES)]
        yield opened_ones * (CLAIMERS // PROCESSES)


# -- Many at once


async def test_of_many_who_ask_a_budget_at_once_none_takes_what_another_has_taken(
    server: Postgres, storage: Storage
) -> None:
    await put_budget(storage, tokens=10)
    await storage.enqueue([job(f"{n}", budgets=("purse",), estimate=need(6)) for n in range(CLAIMERS)])

    async with crowd(server) as claimers:
        claims = [claim_some(one, 1, worker=f"w{number}") for number, one in enumerate(claimers)]
        runs = [run for runs in await asyncio.gather(*claims) for run in runs]

    assert len(runs) == 1
    assert await balance(storage) == (0, 6)


@pytest.mark.parametrize("plan", ["enable_nestloop", "enable_hashjoin", "enable_indexscan", "enable_material"])
async def test_however_the_server_plans_nobody_is_given_more_jobs_than_asked_for_or_one_that_another_has(
    server: Postgres, storage: Storage, plan: str
) -> None:
    jobs = 2 * 7 * CLAIMERS
    for first in range(0, jobs, 64):
        await storage.enqueue([job(f"{n}", lease_ms=HOUR_MS) for n in range(first, first + 64)])
    server.tell(f"ALTER ROLE {USER} SET {plan} = off")
    given: list[str] = []

    async def claim(one: Storage, worker: str) -> None:
        while runs := await claim_some(one, 7, worker=worker):
            assert len(runs) <= 7
            given.extend(run.id for run in runs)

    async with crowd(server) as claimers:
        await asyncio.gather(*(claim(one, f"w{number}") for number, one in enumerate(claimers)))

    assert sorted(given) == sorted(f"{n}" for n in range(jobs))


# -- A snapshot that stays open


async def test_of_a_snapshot_that_stays_open_doctor_tells_while_jobs_go_on(
    server: Postgres, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "_OLD_SNAPSHOT_MS", 0)
    report = await connect(server.port, USER)
    async with report.transaction(isolation="repeatable_read", readonly=True):
        await report.execute("SELECT count(*) FROM aiq.aiq_jobs")
        for turn in range(20):
            await storage.enqueue([job(f"{turn} {n}") for n in range(100)])
            runs = await claim_some(storage, 100)
            await storage.exchange([Settlement(run.lease, f"{turn}", GOOD) for run in runs])
        assert await level(storage, "snapshots") is Level.WARN

        # What is dead of the jobs that have ended is still there, and stands before the next one.
        await enqueue_one(storage, "next")
        assert (await claim_one(storage)).id == "next"
    await report.close()

    assert await level(storage, "snapshots") is Level.OK


async def level(storage: Storage, name: str) -> Level:
    """How a fact stands."""
    return {fact.name: fact.level for fact in await storage.facts()}[name]


# -- The clock steps

CLOCK = """
ALTER FUNCTION pg_catalog.clock_timestamp() RENAME TO clock_of_the_machine;
CREATE TABLE public.steps (step INTERVAL);
GRANT SELECT ON public.steps TO PUBLIC;
CREATE FUNCTION pg_catalog.clock_timestamp() RETURNS TIMESTAMPTZ LANGUAGE plpgsql AS $$
BEGIN
    RETURN pg_catalog.clock_of_the_machine() + coalesce((SELECT sum(step) FROM public.steps), INTERVAL '0');
END
$$;
"""
"""Each question for the time is answered by the server's clock and the steps that it has made."""


@pytest.fixture
def stepping(server: Postgres) -> Postgres:
    """A server whose clock steps as it is told."""
    server.tell(CLOCK)
    return server


def step(server: Postgres, ms: int) -> None:
    """Put the clock of a server forward, or back."""
    server.tell(f"INSERT INTO public.steps VALUES (INTERVAL '1 millisecond' * {ms})")


async def test_a_server_whose_clock_is_put_back_lets_leases_live_longer_until_they_are_renewed(
    stepping: Postgres, storage: Storage
) -> None:
    run = await start(storage, lease_ms=HOUR_MS)
    step(stepping, -HOUR_MS)
    assert await level(storage, "clock") is Level.FAIL
    assert await claim_some(storage, 1) == []

    assert isinstance((await storage.renew([run.lease]))[0], Renewed)

    assert run.expires_at_ms is not None
    renewed = (await get_one(storage)).expires_at_ms
    assert renewed is not None
    assert renewed < run.expires_at_ms - HOUR_MS // 2
    await end(storage, run, GOOD)


async def test_a_server_whose_clock_leaps_ahead_takes_runs_from_those_who_have_them_and_fences_them(
    stepping: Postgres, storage: Storage
) -> None:
    run = await start(storage, lease_ms=HOUR_MS)
    await enqueue_one(storage, "later", delay_ms=HOUR_MS // 2)
    step(stepping, HOUR_MS)

    again = await claim_some(storage, 2, worker="other")

    assert {one.id for one in again} == {"job", "later"}
    assert not isinstance((await storage.renew([run.lease]))[0], Renewed)
    step(stepping, -HOUR_MS)
    for one in again:
        await end(storage, one, GOOD)
    assert (await storage.count())["default"] == {State.SUCCEEDED: 2}


# -- An audit takes long


@asynccontextmanager
async def shut(server: Postgres) -> AsyncIterator[None]:
    """A table that only an audit reads is nobody's meanwhile."""
    connection = await connect(server.port)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE aiq.aiq_steps")
            yield
    finally:
        connection.terminate()


async def an_audit_waits(server: Postgres) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'aiq.aiq_steps'::regclass AND NOT granted"
    await asyncio.to_thread(server.until, lambda: server.ask(waiting) == [(1,)])


async def test_an_audit_may_take_longer_than_a_step_and_nobody_waits_behind_it(server: Postgres) -> None:
    await migrate(server.url())
    async with opened(server.url(more="&timeout=0.5"), None) as storage:
        async with shut(server):
            auditing = asyncio.create_task(storage.audit())
            await an_audit_waits(server)
            server.ask("SELECT pg_sleep(1)")
            assert await storage.count() == {}
        assert await auditing == []


async def test_whoever_does_not_want_an_audit_any_more_waits_for_none_of_it(server: Postgres, storage: Storage) -> None:
    async with shut(server):
        auditing = asyncio.create_task(storage.audit())
        await an_audit_waits(server)
        auditing.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([auditing])
        assert auditing.cancelled()
