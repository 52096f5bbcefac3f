"""A PostgreSQL server that is killed before what it has committed is on its disk: what was answered is there."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest

from aiq.backends.postgres import atomic
from aiq.backends.postgres.address import parse
from aiq.backends.postgres.beginning import writers_lock
from aiq.backends.postgres.durable import RELEASE
from aiq.backends.postgres.session import Session
from aiq.backends.postgres.storage import PostgresStorage, open_postgres
from aiq.backends.relational.face.jobs import JobsFace
from aiq.errors import Unavailable
from aiq.model import State
from aiq.storage import Storage
from aiq.testing.actions import claim_one, enqueue_one, get_one, states, wish
from aiq.testing.clock import Clock
from tests.chaos.notes import until
from tests.postgres_servers import USER, Pooler, Postgres, Start, connect, migrated_servers, programs, version

pytestmark = pytest.mark.faults

WRITERS = 8
MANY = 1_000
SLOW_DISK = ("fsync=on", "commit_delay=100000", "commit_siblings=0")
"""Whoever waits for it waits a tenth of a second longer."""
FLUSH = "pg_logical_emit_message(boolean, text, text)"


@pytest.fixture
def started() -> Iterator[Start]:
    """Servers of which nothing is written before somebody waits for it: who else would do it stands still."""
    with migrated_servers("wal_buffers=16MB") as begin:

        async def begin_still(*settings: str) -> Postgres:
            made = await begin(*settings)
            stand_still(made)
            return made

        yield begin_still


def stand_still(one: Postgres) -> None:
    """Stop the process that writes the log for those who do not wait."""
    find = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"
    one.until(lambda: one.ask(find))
    ((pid,),) = one.ask(find)
    os.kill(pid, signal.SIGSTOP)


async def killed_and_back(one: Postgres) -> None:
    await asyncio.to_thread(one.kill)
    await asyncio.to_thread(one.start)
    stand_still(one)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[PostgresStorage]:
    """A storage that has its connections already: to make one is to wait for the disk."""
    storage = await open_postgres(url, Clock())
    try:
        await storage.count()
        yield storage
    finally:
        await storage.close()


def session(storage: PostgresStorage) -> Session:
    """The connection that writes."""
    found = storage._writer._session
    assert found is not None
    return found


async def leave_unflushed(storage: PostgresStorage, job_id: str = "job") -> None:
    """Enqueue a job, in a step in Python, as one sees it who does not wait for the disk."""
    session(storage).committing = f"{RELEASE}; COMMIT"
    await enqueue_one(storage, job_id, tenant="acme")


# -- Whatever is answered is on disk


async def nothing(_: Storage) -> None:
    """Nobody asks."""


async def look(storage: Storage) -> None:
    await get_one(storage, "job")


async def send_again(storage: Storage) -> None:
    await enqueue_one(storage, "job", tenant="acme")


async def claim_it(storage: Storage) -> None:
    await claim_one(storage)


async def enqueue_another(storage: Storage) -> None:
    await enqueue_one(storage, "another")


ASKED = {"a look": look, "the same again": send_again, "a claim": claim_it, "another step": enqueue_another}
Ask = Callable[[Storage], Awaitable[None]]


@pytest.mark.parametrize("ask", ASKED.values(), ids=list(ASKED))
async def test_what_an_answer_was_built_on_survives_the_server(started: Start, ask: Ask) -> None:
    one = await started()
    async with connected(one.url()) as writer, connected(one.url()) as other:
        await leave_unflushed(writer)

        await ask(other)
        await killed_and_back(one)

        assert await states(other, "job") != [None]
        assert await other.audit() == []


@pytest.mark.parametrize("tenant", ["", "acme"], ids=["of a plain job", "of another"])
async def test_a_claim_that_is_repeated_is_answered_what_survives_the_server(started: Start, tenant: str) -> None:
    one = await started()
    async with connected(one.url()) as writer, connected(one.url()) as other:
        await enqueue_one(writer, "job", tenant=tenant)
        session(writer).committing, request = f"{RELEASE}; COMMIT", wish()
        (run,) = (await JobsFace.exchange(writer, (), request)).claimed

        assert (await other.exchange((), request)).claimed == (run,)
        await killed_and_back(one)

        assert await states(other, "job") == [State.RUNNING]


@pytest.mark.parametrize(
    ("more", "ask"), [("", nothing), ("&synchronous_commit=off", look)], ids=["nobody asks", "nobody wants to wait"]
)
async def test_what_nobody_waited_for_may_be_gone_as_a_whole(started: Start, more: str, ask: Ask) -> None:
    one = await started()
    async with connected(one.url(more=more)) as writer, connected(one.url(more=more)) as other:
        await leave_unflushed(writer)

        await ask(other)
        await killed_and_back(one)

        # Were it there, the tests above would say nothing.
        assert await states(other, "job") == [None]
        assert await other.audit() == []


async def test_a_commit_waits_itself_where_commits_wait_for_a_standby(started: Start) -> None:
    one = await started()
    await asyncio.to_thread(one.kill)
    await asyncio.to_thread(one.start, "synchronous_standby_names=another")
    stand_still(one)
    async with connected(one.url(more="&synchronous_commit=local")) as storage:
        await leave_unflushed(storage)
        await killed_and_back(one)

        assert await states(storage, "job") != [None]


async def test_a_commit_waits_itself_where_the_server_does_not_say_how_far_its_log_is_written(started: Start) -> None:
    one = await started()
    one.tell("REVOKE EXECUTE ON FUNCTION pg_current_wal_flush_lsn() FROM PUBLIC")
    async with connected(one.url()) as storage:
        await enqueue_one(storage, tenant="acme")
        await look(storage)
        await killed_and_back(one)

        assert RELEASE not in session(storage).committing
        assert await states(storage, "job") != [None]


async def test_behind_a_pooler_an_answer_is_on_disk(started: Start) -> None:
    one = await started()
    pooler = Pooler(one)
    try:
        await asyncio.to_thread(pooler.start)
        async with connected(pooler.url(more="&pooled=true")) as storage:
            assert RELEASE in session(storage).committing
            await enqueue_one(storage, tenant="acme")
            await killed_and_back(one)

            await asyncio.to_thread(pooler.until, lambda: pooler.ask("SELECT 1"))
            assert await states(storage, "job") != [None]
    finally:
        pooler.end()


async def test_a_step_that_is_committed_and_not_flushed_may_have_happened(started: Start) -> None:
    one = await started()
    async with connected(one.url()) as storage:
        one.tell(f"REVOKE EXECUTE ON FUNCTION {FLUSH} FROM PUBLIC")
        with pytest.raises(Unavailable) as lost:
            await enqueue_one(storage, tenant="acme")
        one.tell(f"GRANT EXECUTE ON FUNCTION {FLUSH} TO {USER}")

        assert lost.value.outcome_unknown
        await enqueue_one(storage, tenant="acme")
        assert await states(storage, "job") != [None]


# -- A step that a function of the schema makes whole

LEAVE_WORD = """
CREATE TABLE aiq.words (word TEXT);
CREATE FUNCTION aiq.leave_word(lock INTEGER, patience_ms BIGINT, synchronous TEXT, clock_ms BIGINT, word TEXT)
RETURNS BIGINT LANGUAGE plpgsql SET search_path TO aiq AS $$
DECLARE
    now_ms BIGINT := aiq_begin_4(lock, patience_ms, synchronous, clock_ms);
BEGIN
    INSERT INTO words SELECT leave_word.word WHERE leave_word.word IS NOT NULL;
    RETURN now_ms;
END $$
"""


async def leave_word(storage: PostgresStorage, word: str | None) -> None:
    """A step in one statement. Without a word it writes nothing."""
    await storage._plain(
        lambda home, line, unwanted: atomic.call(home, line, unwanted, "leave_word", (*atomic.alone(home), word))
    )


async def words(one: Postgres) -> list[str]:
    """What is there after a crash."""
    await killed_and_back(one)
    return sorted(word for (word,) in one.ask("TABLE aiq.words", user=USER))


@asynccontextmanager
async def crowd(one: Postgres) -> AsyncIterator[None]:
    """Whoever writes meanwhile has to wait for somebody else first."""
    operator = await connect(one.port)
    await operator.execute(f"BEGIN; {writers_lock(parse(one.url()))}")

    async def let_go() -> None:
        waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        await until(lambda: one.ask(waits) == [(1,)], "somebody waits")
        await operator.close()

    letting_go = asyncio.create_task(let_go())
    yield
    await letting_go


async def test_a_function_that_had_to_wait_lets_the_next_go_before_the_disk_and_answers_after_it(
    started: Start,
) -> None:
    one = await started()
    one.tell(LEAVE_WORD, user=USER)
    async with connected(one.url()) as storage:
        async with crowd(one):
            await leave_word(storage, "flushed")
        session(storage).flush = "SELECT 1"
        async with crowd(one):
            await leave_word(storage, "not waited for")

        assert await words(one) == ["flushed"]


async def test_a_function_that_had_to_wait_for_nobody_waits_for_the_disk_itself(started: Start) -> None:
    one = await started()
    one.tell(LEAVE_WORD, user=USER)
    async with connected(one.url()) as storage:
        session(storage).flush = "no statement"
        await leave_word(storage, "alone")

        assert await words(one) == ["alone"]


async def test_behind_a_pooler_a_function_waits_for_the_disk_itself(started: Start) -> None:
    one = await started()
    one.tell(LEAVE_WORD, user=USER)
    pooler = Pooler(one)
    try:
        await asyncio.to_thread(pooler.start)
        async with connected(pooler.url(more="&pooled=true")) as storage:
            session(storage).flush = "no statement"
            async with crowd(one):
                await leave_word(storage, "pooled")

            assert await words(one) == ["pooled"]
    finally:
        pooler.end()


async def test_a_function_that_has_written_nothing_waits_for_what_it_has_seen(started: Start) -> None:
    one = await started()
    one.tell(LEAVE_WORD, user=USER)
    async with connected(one.url()) as writer, connected(one.url()) as other:
        await leave_unflushed(writer)
        await leave_word(other, None)
        await killed_and_back(one)

        assert await states(other, "job") != [None]


# -- Many write at once


async def write(storage: Storage, writer: str, jobs: int, answered: list[str]) -> None:
    """Enqueue one job after the other, and note each that was answered."""
    for number in range(jobs):
        await enqueue_one(storage, f"{writer} {number}")
        answered.append(f"{writer} {number}")


def has_grown(answered: list[str], enough: int) -> bool:
    return len(answered) >= enough


@asynccontextmanager
async def writers(one: Postgres) -> AsyncIterator[list[PostgresStorage]]:
    async with AsyncExitStack() as opened:
        url = one.url(more="&timeout=3")
        yield [await opened.enter_async_context(connected(url)) for _ in range(WRITERS)]


async def test_a_server_that_is_killed_while_many_write_has_all_that_was_answered(started: Start) -> None:
    one, dice, answered = await started(*SLOW_DISK), random.Random(7), list[str]()
    async with writers(one) as storages:
        for turn in range(3):
            enough = len(answered) + dice.randrange(20, 60)
            writing = [
                asyncio.create_task(write(storage, f"{turn} {n}", MANY, answered)) for n, storage in enumerate(storages)
            ]
            await until(partial(has_grown, answered, enough), "some are answered")
            await asyncio.to_thread(one.kill)
            ended = await asyncio.gather(*writing, return_exceptions=True)
            assert all(isinstance(error, Unavailable) for error in ended)
            await asyncio.to_thread(one.start)

            assert None not in await states(storages[0], *answered)
        assert await storages[0].audit() == []


async def test_writers_do_not_wait_for_the_disk_one_after_the_other(started: Start) -> None:
    if version(programs()) < 14:
        pytest.skip("a server of this age does not count how often it has waited for its disk")
    one, answered = await started(*SLOW_DISK), list[str]()
    flushed = "SELECT wal_sync FROM pg_stat_wal"
    async with writers(one) as storages:
        before = one.ask(flushed)[0][0]
        await asyncio.gather(*(write(storage, f"{n}", 5, answered) for n, storage in enumerate(storages)))
    # The server counts what a connection has done when that ends.
    one.until(lambda: one.ask("SELECT count(*) FROM pg_stat_activity WHERE usename = $1", USER) == [(0,)])

    # Of those that wait in turn each does so by itself.
    assert one.ask(flushed)[0][0] - before < len(answered)
