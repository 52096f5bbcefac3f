"""Jobs that are enqueued within a transaction of the caller's, on the connection of each driver."""

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import aiosqlite
import asyncpg
import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import aiq
from aiq.backends.postgres.migrate import migrate
from aiq.bounds import MAX_BATCH_BYTES, MAX_PAYLOAD_BYTES
from aiq.model import JobFilter, QueueSettings, State
from aiq.testing.marks import clause
from tests.postgres_servers import postgres_server

Connect: TypeAlias = Callable[[str], AbstractAsyncContextManager[Any]]
"""From the address of a storage to a connection that has begun a transaction; when it is left, nothing is committed."""


@aiq.task
async def ship(order: int) -> int:
    return order


@aiq.task
async def keep(text: str) -> None: ...


# -- The drivers, each as its users use it


def path_of(url: str) -> str:
    return url.removeprefix("sqlite:///")


@asynccontextmanager
async def by_sqlite3(url: str) -> AsyncIterator[Any]:
    connection = sqlite3.connect(path_of(url))
    connection.execute("BEGIN")
    yield connection
    connection.close()


@asynccontextmanager
async def by_aiosqlite(url: str) -> AsyncIterator[Any]:
    async with aiosqlite.connect(path_of(url)) as connection:
        yield connection


@asynccontextmanager
async def by_sqlalchemy_on_sqlite(url: str) -> AsyncIterator[Any]:
    engine = create_engine(f"sqlite:///{path_of(url)}")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@asynccontextmanager
async def by_asyncpg(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url.partition("?")[0])
    transaction = connection.transaction()
    await transaction.start()
    yield Begun(connection, transaction)
    await connection.close()


class Begun:
    """A connection of asyncpg and its transaction, which ends apart from it."""

    def __init__(self, connection: Any, transaction: Any) -> None:
        self.connection, self.commit, self.rollback = connection, transaction.commit, transaction.rollback


@asynccontextmanager
async def by_psycopg(url: str) -> AsyncIterator[Any]:
    async with await psycopg.AsyncConnection.connect(url.partition("?")[0]) as connection:
        yield connection


@asynccontextmanager
async def by_sqlalchemy_on_postgres(url: str) -> AsyncIterator[Any]:
    engine = create_async_engine(url.partition("?")[0].replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


FILES: list[Connect] = [by_sqlite3, by_aiosqlite, by_sqlalchemy_on_sqlite]
SERVERS: list[Connect] = [by_asyncpg, by_psycopg, by_sqlalchemy_on_postgres]
_schemas = itertools.count(1)


@pytest.fixture(params=[*FILES, *SERVERS], ids=lambda connect: connect.__name__)
def connect(request: pytest.FixtureRequest) -> Connect:
    found: Connect = request.param
    return found


@pytest.fixture
async def url(connect: Connect, tmp_path: Path) -> str:
    if connect in FILES:
        return f"sqlite:///{tmp_path / 'jobs.db'}"
    address = postgres_server().url(f"within{next(_schemas)}")
    await migrate(address)
    return address


@pytest.fixture
async def queue(url: str) -> AsyncIterator[aiq.Queue]:
    async with aiq.Queue(url) as queue:
        yield queue


async def ended(end: Callable[[], Awaitable[None] | None]) -> None:
    """Commit or roll back, in whatever way the driver does."""
    done = end()
    if done is not None:
        await done


def inner(connection: Any) -> Any:
    return connection.connection if isinstance(connection, Begun) else connection


# -- What holds for each


@clause("ENQ-9")
async def test_a_job_is_stored_when_the_transaction_is_committed_and_not_before(
    queue: aiq.Queue, url: str, connect: Connect
) -> None:
    async with connect(url) as connection:
        job = await queue.within(inner(connection)).enqueue(ship.job(1))
        assert await queue.storage.get([job.id]) == [None]
        await ended(connection.commit)
    await aiq.Worker(queue, tasks=[ship]).run_until_idle()

    assert await job.result(timeout=10) == 1


@clause("ENQ-9")
async def test_nothing_remains_of_a_job_whose_transaction_is_rolled_back(
    queue: aiq.Queue, url: str, connect: Connect
) -> None:
    async with connect(url) as connection:
        job = await queue.within(inner(connection)).enqueue(ship.job(1))
        await ended(connection.rollback)

    assert await queue.storage.get([job.id]) == [None]
    assert await queue.count() == {}


# -- What holds for all, seen on two of them


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[tuple[aiq.Queue, sqlite3.Connection]]:
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    async with aiq.Queue(url) as queue:
        connection = sqlite3.connect(path_of(url))
        yield queue, connection
        connection.close()


@clause("ENQ-9")
async def test_whoever_asks_for_a_job_right_after_the_commit_finds_it(
    sqlite: tuple[aiq.Queue, sqlite3.Connection],
) -> None:
    queue, connection = sqlite
    jobs = await queue.within(connection).enqueue_many(ship.job(n) for n in range(300))
    connection.commit()

    assert (await queue.list(JobFilter(queue="default"), limit=1)).jobs[0].id == jobs[0].id
    assert await queue.count() == {State.READY: 300}


@clause("ENQ-9")
async def test_a_bound_of_the_queue_does_not_refuse_what_was_committed(
    sqlite: tuple[aiq.Queue, sqlite3.Connection],
) -> None:
    queue, connection = sqlite
    await queue.storage.configure("default", QueueSettings(max_ready=1))
    await queue.within(connection).enqueue_many(ship.job(n) for n in range(3))
    connection.commit()

    assert await queue.count() == {State.READY: 3}


async def test_jobs_too_large_for_one_batch_are_left_in_several(
    sqlite: tuple[aiq.Queue, sqlite3.Connection],
) -> None:
    queue, connection = sqlite
    many = MAX_BATCH_BYTES // MAX_PAYLOAD_BYTES + 1
    await queue.within(connection).enqueue_many(keep.job("x" * (MAX_PAYLOAD_BYTES - 100)) for _ in range(many))
    connection.commit()

    assert await queue.count() == {State.READY: many}


@clause("ENQ-10")
async def test_jobs_that_cannot_be_stored_are_kept_aside_and_hold_up_nothing(
    sqlite: tuple[aiq.Queue, sqlite3.Connection],
) -> None:
    queue, connection = sqlite
    await queue.enqueue(ship.job(1), id="same")
    within = queue.within(connection)
    await within.enqueue(ship.job(2), id="same")
    good = await within.enqueue(ship.job(3))
    connection.commit()

    (found,) = await queue.storage.get([good.id])
    assert found is not None
    assert connection.execute("SELECT error FROM aiq_inbox").fetchall() == [
        ("Conflict: Job 'same' is stored already, with another content.",)
    ]
    (fact,) = [fact for fact in await queue.storage.facts() if fact.name == "inbox"]
    assert fact.advice


@clause("ENQ-9")
async def test_what_one_row_holds_is_stored_whole_or_not_at_all(
    sqlite: tuple[aiq.Queue, sqlite3.Connection],
) -> None:
    queue, connection = sqlite
    await queue.enqueue(ship.job(1), unique="u", id="first")
    fine, refused = (ship.job(n).spec(job_id=f"left {n}") for n in range(2))
    specs = [fine, replace(refused, unique="u", on_unique="replace", limits=("nobody.knows",))]
    transactional: Any = queue.storage
    row = transactional.left(specs)
    connection.execute("INSERT INTO aiq_inbox (content) VALUES (?)", (row.content,))
    connection.commit()

    assert await queue.storage.get(["left 0", "left 1"]) == [None, None]
    assert await queue.storage.audit() == []
    assert connection.execute("SELECT count(*) FROM aiq_inbox WHERE error IS NOT NULL").fetchone() == (1,)


@clause("ENQ-10")
@pytest.mark.parametrize("content", [b"no json", b'[{"id":"\xff"}]', b'[{"id": 1}]', b"[" * 100_000])
async def test_a_row_that_nobody_can_read_holds_up_nothing(
    sqlite: tuple[aiq.Queue, sqlite3.Connection], content: bytes
) -> None:
    queue, connection = sqlite
    connection.execute("INSERT INTO aiq_inbox (content) VALUES (?)", (content,))
    connection.commit()
    job = await queue.enqueue(ship.job(1))

    assert await queue.storage.get([job.id]) != [None]
    assert connection.execute("SELECT content, error IS NOT NULL FROM aiq_inbox").fetchall() == [(content, True)]


@clause("ENQ-9")
async def test_what_was_left_moves_with_the_storage(sqlite: tuple[aiq.Queue, sqlite3.Connection]) -> None:
    queue, connection = sqlite
    jobs = await queue.within(connection).enqueue_many(ship.job(n) for n in range(20))
    connection.commit()
    await queue.storage.retire("memory://elsewhere", "move")

    assert None not in await queue.storage.get([job.id for job in jobs])


async def test_an_idle_worker_hears_of_a_job_by_itself(sqlite: tuple[aiq.Queue, sqlite3.Connection]) -> None:
    queue, connection = sqlite
    worker = asyncio.create_task(aiq.Worker(queue, tasks=[ship]).run())
    job = await queue.within(connection).enqueue(ship.job(1))
    connection.commit()

    assert await job.result(timeout=30) == 1
    worker.cancel()
    await asyncio.wait([worker])


async def test_a_worker_is_told_of_a_commit_where_that_is_asked_for() -> None:
    address = postgres_server().url(f"within{next(_schemas)}")
    await migrate(address)
    async with aiq.Queue(address) as queue:
        mark = await queue.storage.wait(["queue:default"], after=None, timeout_ms=0)
        waiting = asyncio.create_task(queue.storage.wait(["queue:default"], after=mark, timeout_ms=60_000))
        engine = create_engine(address.partition("?")[0].replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            await queue.within(connection, wake="notify").enqueue(ship.job(1))
        engine.dispose()
        async with asyncio.timeout(10):
            await waiting


async def test_a_connection_of_asyncpg_must_be_in_a_transaction() -> None:
    address = postgres_server().url(f"within{next(_schemas)}")
    await migrate(address)
    connection = await asyncpg.connect(address.partition("?")[0])
    async with aiq.Queue(address) as queue:
        with pytest.raises(aiq.InvalidInput, match="in no transaction"):
            await queue.within(connection).enqueue(ship.job(1))
    await connection.close()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_connection_of_sqlalchemy_that_commits_by_itself_is_refused(driver: str) -> None:
    address = postgres_server().url(f"within{next(_schemas)}")
    await migrate(address)
    engine = create_async_engine(address.partition("?")[0].replace("postgresql:", f"postgresql+{driver}:"))
    async with aiq.Queue(address) as queue:
        async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            with pytest.raises(aiq.InvalidInput, match="in no transaction"):
                await queue.within(connection).enqueue(ship.job(1))
        async with engine.connect() as connection, AsyncSession(connection) as session:
            await queue.within(session).enqueue(ship.job(2))
            await session.rollback()
        assert await queue.storage.count() == {}
    await engine.dispose()


async def test_a_file_of_sqlalchemy_that_commits_by_itself_is_refused(
    sqlite: tuple[aiq.Queue, sqlite3.Connection], tmp_path: Path
) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'jobs.db'}")
    alone = engine.execution_options(isolation_level="AUTOCOMMIT")
    with Session(alone) as session, pytest.raises(aiq.InvalidInput, match="in no transaction"):
        await sqlite[0].within(session).enqueue(ship.job(1))
    with Session(engine) as session:
        await sqlite[0].within(session).enqueue(ship.job(2))
        session.rollback()
    engine.dispose()


async def test_what_is_no_connection_is_refused(sqlite: tuple[aiq.Queue, sqlite3.Connection]) -> None:
    with pytest.raises(aiq.InvalidInput, match="asyncpg, psycopg, sqlalchemy, sqlite3, aiosqlite"):
        sqlite[0].within(object())


async def test_a_storage_without_transactions_of_its_callers_says_so() -> None:
    async with aiq.Queue("memory://") as queue:
        with pytest.raises(aiq.Misconfigured, match="PostgreSQL or SQLite"):
            queue.within(sqlite3.connect(":memory:"))
