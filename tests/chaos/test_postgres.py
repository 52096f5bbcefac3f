"""A PostgreSQL server that ends connections, is silent, busy, full or replaced by another one, with jobs under way."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from threading import Event

import asyncpg
import pytest

import aiq
from aiq.backends import open_storage
from aiq.backends.postgres import atomic, watch
from aiq.backends.postgres.address import parse
from aiq.backends.postgres.beginning import writers_lock
from aiq.backends.postgres.line import Line
from aiq.backends.postgres.migrate import migrate
from aiq.backends.relational import step
from aiq.bounds import MAX_NAME_CHARS
from aiq.errors import ReadOnly, Unavailable
from aiq.model import Renewed, Settlement, State
from aiq.storage import Storage
from aiq.testing.actions import GOOD, claim_one, claim_some, end, enqueue_one, get_one, job, start, states
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from tests.backends.redis.repeating import repeated
from tests.chaos.notes import until
from tests.chaos.proxy import proxied
from tests.postgres_servers import DATABASE, USER, Postgres, Start, connect, migrated_servers
from tests.stores import opened

pytestmark = pytest.mark.faults

LONG_MS = 60_000
FAR_S = 3_600.0


@pytest.fixture
def started() -> Iterator[Start]:
    with migrated_servers() as begin:
        yield begin


def end_connections(one: Postgres) -> None:
    """End every connection of the tests, and wait until none of these is there any more."""
    found = one.ask("SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", USER)
    pids = [pid for pid, _ in found]
    one.until(lambda: one.ask("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1)", pids) == [(0,)])


@pytest.fixture
def amid(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], object]], None]]:
    """Let something happen once, in the transaction of the next step decided here, and before its first word."""
    pending: list[Callable[[], object]] = []

    def make(tx: step.Transaction, operation: Callable[[step.Transaction], object]) -> object:
        while pending:
            pending.pop()()
        return step.make(tx, operation)

    monkeypatch.setattr(atomic, "make", make)
    yield pending.append
    assert not pending, "no step was decided here"


NOT_PLAIN = {"tenant": "somebody"}
"""What lets a job be stored by a step in Python: only that has a midst."""
Amid = Callable[[Callable[[], object]], None]


async def is_heard(listener: Storage, teller: Storage, job_id: str, queue: str = "default") -> None:
    """Whether what one storage says wakes somebody who waits at another. He must not look by himself meanwhile."""
    mark = await listener.wait([f"queue:{queue}"], after=None, timeout_ms=0)
    await enqueue_one(teller, job_id, queue=queue)
    async with asyncio.timeout(20):
        assert await listener.wait([f"queue:{queue}"], after=mark, timeout_ms=LONG_MS) != mark


# -- The server ends connections


async def test_connections_that_are_ended_while_they_lie_idle_are_made_again_and_nobody_notices(started: Start) -> None:
    one = await started()
    async with opened(one.url(), Clock()) as storage:
        await enqueue_one(storage)
        await storage.count()
        end_connections(one)

        assert await states(storage, "job") == [State.READY]
        run = await claim_one(storage)
        end_connections(one)
        await end(storage, run, GOOD)
        assert await storage.audit() == []


async def test_of_a_step_whose_connection_is_ended_nothing_has_happened(started: Start, amid: Amid) -> None:
    one = await started()
    async with opened(one.url(), Clock()) as storage:
        amid(lambda: end_connections(one))

        with pytest.raises(Unavailable) as lost:
            await enqueue_one(storage, **NOT_PLAIN)

        assert not lost.value.outcome_unknown
        assert await states(storage, "job") == [None]
        await enqueue_one(storage)
        assert await storage.audit() == []


async def test_a_listener_whose_connection_is_ended_listens_again(
    started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "HEARING_LOOK_S", FAR_S)
    one = await started()
    async with opened(one.url(), Clock()) as storage, opened(one.url(), Clock()) as other:
        await is_heard(storage, other, "before")
        mark = await storage.wait(["queue:default"], after=None, timeout_ms=0)
        end_connections(one)
        # Whoever waits may look for himself: what has happened meanwhile is not known.
        async with asyncio.timeout(20):
            await storage.wait(["queue:default"], after=mark, timeout_ms=LONG_MS)
        await until(lambda: storage._watch.hears, "it listens again")

        await is_heard(storage, other, "after")


async def test_of_a_long_outage_is_told_when_it_begins_and_when_it_is_over(
    started: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "aiq.postgres")
    one = await started()
    async with opened(one.url(), Clock()) as storage:
        await storage.wait(["queue:default"], after=None, timeout_ms=0)
        await asyncio.to_thread(one.kill)
        waiting = asyncio.create_task(storage.wait(["queue:never"], after="", timeout_ms=LONG_MS))
        await until(lambda: len(caplog.records) > 3, "it was tried again")
        await asyncio.to_thread(one.start)
        await until(lambda: "is watched again" in caplog.text, "it is told of")
        waiting.cancel()

    told = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 2
    assert "cannot be watched" in told[0]


@aiq.task(lease=1.0)
async def quick(number: int) -> int:
    await asyncio.sleep(0)
    return number


async def test_workers_whose_connections_are_ended_again_and_again_do_every_job(started: Start) -> None:
    one = await started()
    async with aiq.Queue(one.url()) as queue, aiq.Worker(queue, tasks=[quick], slots=8):
        jobs = await repeated(lambda: queue.enqueue_many([quick.job(n) for n in range(100)]))
        for _ in range(10):
            await asyncio.to_thread(end_connections, one)
            await asyncio.sleep(0.1)
        async with asyncio.timeout(120):
            results = [await repeated(job.result) for job in jobs]
        assert results == list(range(100))
        assert await repeated(queue.storage.audit) == []


async def test_a_notice_that_cannot_be_sent_fails_no_step(started: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    one, owed = await started(), []

    def owe_notice(line: Line, *_: object) -> None:
        owed.append(line)
        end_connections(one)
        line._owes_notice = True

    async with opened(one.url(), Clock()) as storage:
        with monkeypatch.context() as during:
            during.setattr(Line, "owe_notice", owe_notice)
            await enqueue_one(storage)
            await until(lambda: not owed[0]._owes_notice, "it was tried")

        assert await states(storage, "job") == [State.READY]
        await claim_one(storage)


# -- Settings of the role and of the database


@pytest.mark.parametrize("isolation", ["serializable", "repeatable read"])
async def test_whatever_isolation_is_the_default_steps_have_their_own(started: Start, isolation: str) -> None:
    one = await started()
    one.tell(f"ALTER DATABASE {DATABASE} SET default_transaction_isolation = '{isolation}'")

    async def work(storage: Storage, worker: str) -> list[str]:
        done = []
        while runs := await claim_some(storage, 3, worker=worker):
            for run in runs:
                await end(storage, run, GOOD)
                done.append(run.id)
        return done

    async with opened(one.url(), Clock()) as a, opened(one.url(), Clock()) as b, opened(one.url(), Clock()) as c:
        await is_heard(a, b, "first")
        await asyncio.gather(*(one.enqueue([job(f"{n} {m}") for m in range(10)]) for n, one in enumerate((a, b, c))))
        done = await asyncio.gather(*(work(one, f"w{n}") for n, one in enumerate((a, b, c))))
        assert sorted(name for names in done for name in names) == sorted(
            ["first", *(f"{n} {m}" for n in range(3) for m in range(10))]
        )
        assert await a.audit() == []


async def test_a_user_who_is_made_read_only_stores_nothing_until_he_may_write_again(started: Start) -> None:
    one = await started()
    async with opened(one.url(), Clock()) as storage:
        await enqueue_one(storage, "before")
        one.tell(f"ALTER ROLE {USER} SET default_transaction_read_only = on")
        end_connections(one)

        with pytest.raises(ReadOnly, match="default_transaction_read_only"):
            await enqueue_one(storage, "meanwhile")
        assert await states(storage, "before", "meanwhile") == [State.READY, None]

        one.tell(f"ALTER ROLE {USER} RESET default_transaction_read_only")
        await enqueue_one(storage, "after")
        assert await storage.audit() == []


@clause("OUTAGE-1", "OUTAGE-2")
async def test_a_worker_waits_for_a_database_that_is_read_only_for_a_while_and_its_run_ends_and_pays_once(
    started: Start, caplog: pytest.LogCaptureFixture
) -> None:
    one = await started()
    began, read_only, paid = asyncio.Event(), asyncio.Event(), list[str]()

    @aiq.task(lease=LONG_MS / 1000)
    async def long(ctx: aiq.Context) -> str:
        began.set()
        await read_only.wait()
        return await ctx.step("pay", lambda: paid.append("once") or "paid", returns=str)  # type: ignore[func-returns-value]

    async with aiq.Queue(one.url()) as queue, aiq.Worker(queue, tasks=[long, quick]):
        jobs = [await queue.enqueue(long.job()), await queue.enqueue(quick.job(1))]
        await began.wait()
        one.tell(f"ALTER DATABASE {DATABASE} SET default_transaction_read_only = on")
        end_connections(one)
        read_only.set()
        with pytest.raises(ReadOnly):
            await queue.enqueue(quick.job(2))
        told = ("What runs ask", "housekeeping", "Leases")
        await until(lambda: all(what in caplog.text for what in told), "each part has met it")
        one.tell(f"ALTER DATABASE {DATABASE} RESET ALL", database="postgres")

        async with asyncio.timeout(60):
            assert [await repeated(partial(job.result, 60)) for job in jobs] == ["paid", 1]
        run = await get_one(queue.storage, jobs[0].id)
        assert await repeated(queue.storage.audit) == []
    assert (paid, run.fence, run.errors) == (["once"], 1, ())


async def test_patience_that_the_role_is_given_is_not_that_of_steps(started: Start, amid: Amid) -> None:
    one = await started()
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        one.tell(f"ALTER ROLE {USER} SET {name} = '200ms'")
    async with opened(one.url(), Clock()) as storage:
        # It waits for another step, which stands still for longer than all of these.
        other = await storage.sibling()
        amid(lambda: one.ask("SELECT pg_sleep(0.6)"))
        await asyncio.gather(enqueue_one(storage, "a", **NOT_PLAIN), enqueue_one(other, "b", **NOT_PLAIN))
        await other.close()

        assert await states(storage, "a", "b") == [State.READY, State.READY]


async def hold_writers(one: Postgres, url: str, seconds: float) -> asyncio.Task[None]:
    """Keep the lock of those who write for a while from now on, as somebody else's step does."""
    connection = await connect(one.port)
    await connection.execute(f"BEGIN; {writers_lock(parse(url))}")

    async def let_go() -> None:
        await connection.execute(f"SELECT pg_sleep({seconds}); COMMIT")
        await connection.close()

    return asyncio.create_task(let_go())


async def test_nor_that_of_steps_of_one_statement(started: Start) -> None:
    one = await started()
    for name in ("statement_timeout", "lock_timeout"):
        one.tell(f"ALTER ROLE {USER} SET {name} = '200ms'")
    async with opened(one.url(), Clock()) as storage:
        holding = await hold_writers(one, one.url(), 0.6)
        await enqueue_one(storage)
        await holding

        assert await states(storage, "job") == [State.READY]


# -- The server lets nobody else in


async def test_while_all_connections_are_taken_a_storage_that_is_open_goes_on(started: Start) -> None:
    one = await started("max_connections=10", "superuser_reserved_connections=3")
    taken: list[asyncpg.Connection[asyncpg.Record]] = []
    async with opened(one.url(), Clock()) as storage:
        run = await start(storage, lease_ms=LONG_MS)
        try:
            with suppress(asyncpg.TooManyConnectionsError):
                while True:
                    taken.append(await connect(one.port, USER))

            with pytest.raises(Unavailable):
                async with opened(one.url(), Clock()):
                    pass
            (renewed,) = await storage.renew([run.lease])
            assert isinstance(renewed, Renewed)
            with pytest.raises(Unavailable):
                # Reading takes a connection of its own, which it has not needed before.
                await storage.count()
        finally:
            for connection in taken:
                connection.terminate()
        await until(lambda: reads(storage), "there is room again")
        await end(storage, run, GOOD)


async def test_while_handlers_have_taken_all_connections_their_leases_are_renewed(started: Start) -> None:
    one = await started("max_connections=16", "superuser_reserved_connections=3")
    full, over = asyncio.Event(), asyncio.Event()

    @aiq.task(lease=1.0)
    async def greedy() -> int:
        taken: list[asyncpg.Connection[asyncpg.Record]] = []
        try:
            with suppress(asyncpg.TooManyConnectionsError):
                while True:
                    taken.append(await connect(one.port, USER))
            full.set()
            await over.wait()
        finally:
            for connection in taken:
                connection.terminate()
        return len(taken)

    async with aiq.Queue(one.url()) as queue, aiq.Worker(queue, tasks=[greedy], slots=2):
        # Reading takes a connection of its own, which is made when it is first needed.
        await queue.count()
        jobs = [await queue.enqueue(greedy.job()) for _ in range(2)]
        async with asyncio.timeout(30):
            await full.wait()
        begun = await queue.storage.get([job.id for job in jobs])

        async def renewed_for_long() -> bool:
            records = await queue.storage.get([job.id for job in jobs])
            pairs = zip(begun, records, strict=True)
            return all((record.expires_at_ms or 0) > (was.expires_at_ms or 0) + 2_000 for was, record in pairs)

        await until(renewed_for_long, "both leases were renewed twice as long as they are")
        over.set()
        assert max([await job.result(timeout=30) for job in jobs]) > 0
        assert [record.fence for record in await queue.storage.get([job.id for job in jobs])] == [1, 1]


async def reads(storage: Storage) -> bool:
    """Whether a storage can be read."""
    try:
        await storage.count()
    except Unavailable:
        return False
    return True


# -- The server is silent


async def test_a_listener_that_hears_nothing_any_more_finds_that_out_and_jobs_run_meanwhile(
    started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "TEST_S", 0.2)
    monkeypatch.setattr(watch, "TEST_PATIENCE_S", 0.3)
    one = await started()
    async with proxied(one.port) as line:
        listen = f"postgresql://{USER}@127.0.0.1:{line.port}/{DATABASE}"
        async with (
            aiq.Queue(one.url(more=f"&timeout=1&listen={listen}")) as deaf,
            aiq.Worker(deaf, tasks=[quick]),
            aiq.Queue(one.url()) as queue,
        ):
            assert await (await queue.enqueue(quick.job(1))).result(timeout=20) == 1
            await until(lambda: deaf.storage._watch.hears, "it listens")
            line.go_dark()
            await until(lambda: not deaf.storage._watch.hears, "it has noticed")

            assert await (await queue.enqueue(quick.job(2))).result(timeout=20) == 2

            line.light_up()
            await until(lambda: deaf.storage._watch.hears, "it listens again")
            monkeypatch.setattr(watch, "HEARING_LOOK_S", FAR_S)
            await is_heard(deaf.storage, queue.storage, "after", "another")


async def test_a_name_as_long_as_one_may_be_wakes_whoever_waits_for_it(
    started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "HEARING_LOOK_S", FAR_S)
    one = await started()
    schema = "s" * 63
    await migrate(one.url(schema))
    async with opened(one.url(schema), Clock()) as storage, opened(one.url(schema), Clock()) as other:
        await is_heard(storage, other, "j" * MAX_NAME_CHARS, "q" * MAX_NAME_CHARS)


# -- Others are at work


async def test_steps_on_the_same_jobs_in_any_order_never_wait_for_each_other_in_a_circle(started: Start) -> None:
    one, dice = await started(), random.Random(7)

    async def disturb(storage: Storage, worker: str) -> None:
        for turn in range(15):
            runs = await claim_some(storage, 5, worker=worker)
            settlements = [Settlement(run.lease, f"{worker} {turn} {run.id}", GOOD) for run in runs]
            dice.shuffle(settlements)
            await storage.cancel(dice.sample(names, 20))
            await storage.exchange(settlements)

    names = [f"{n}" for n in range(200)]
    async with opened(one.url(), Clock()) as first:
        await first.enqueue([job(name) for name in names])
        others = [await open_storage(one.url()) for _ in range(3)]
        await asyncio.gather(*(disturb(other, f"w{n}") for n, other in enumerate((first, *others))))
        assert await first.audit() == []
        for other in others:
            await other.close()
    # The server counts what a connection has seen when that ends.
    assert one.ask("SELECT deadlocks FROM pg_stat_database WHERE datname = $1", DATABASE) == [(0,)]


async def test_a_lease_begins_when_a_claim_need_not_wait_for_others_any_more(started: Start, amid: Amid) -> None:
    one, begun, over_ms = await started(), Event(), []
    waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"

    def stand_still() -> None:
        begun.set()
        one.until(lambda: one.ask(waits) == [(1,)])
        one.ask("SELECT pg_sleep(1)")
        over_ms.extend(one.ask("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint")[0])

    storage = await open_storage(one.url())
    other = await storage.sibling()
    await enqueue_one(storage, lease_ms=500)
    amid(stand_still)
    slow = asyncio.create_task(enqueue_one(other, "another", **NOT_PLAIN))
    await asyncio.to_thread(begun.wait, 30)
    run = await claim_one(storage)
    await slow
    await other.close()
    await storage.close()

    assert run.expires_at_ms is not None
    assert run.expires_at_ms >= over_ms[0] + 500


async def test_a_row_that_an_operator_holds_keeps_its_own_job_and_no_other(started: Start) -> None:
    one = await started()
    async with opened(one.url(more="&timeout=1"), Clock()) as storage:
        await storage.enqueue([job(name) for name in "abc"])
        operator = await connect(one.port)
        async with operator.transaction():
            await operator.execute("SELECT FROM aiq.aiq_jobs WHERE id = 'a' FOR UPDATE")

            assert [run.id for run in await claim_some(storage, 5)] == ["b", "c"]
            with pytest.raises(Unavailable) as busy:
                await storage.cancel(["a"])
            assert not busy.value.outcome_unknown
            await enqueue_one(storage, "d")
            assert (await claim_one(storage)).id == "d"
        await operator.close()

        assert (await claim_one(storage)).id == "a"
