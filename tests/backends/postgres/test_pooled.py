"""Behind pgbouncer in transaction mode, where no two transactions of a storage need have the same connection."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from aiq.backends.postgres.address import parse
from aiq.backends.postgres.beginning import writers_lock
from aiq.backends.postgres.migrate import migrate
from aiq.backends.postgres.watch import LOOK_S
from aiq.errors import Misconfigured, Unavailable
from aiq.storage import Storage
from aiq.testing.actions import claim_one, claim_some, enqueue_one
from tests.postgres_servers import DATABASE, USER, Pooler, Postgres, connect, postgres_server
from tests.schemas import schemas
from tests.stores import opened

LONG_MS = 60_000


@pytest.fixture
async def schema() -> str:
    name = schemas().name()
    await migrate(postgres_server().url(name))
    return name


@pytest.fixture
def narrow() -> Iterator[Pooler]:
    """A pooler with one connection for everybody."""
    made = Pooler(postgres_server(), "default_pool_size=1")
    try:
        yield made.start()
    finally:
        made.end()


@pytest.fixture
async def storage(narrow: Pooler, schema: str) -> AsyncIterator[Storage]:
    async with opened(narrow.url(schema, "&pooled=true"), None) as made:
        yield made


async def test_a_pooler_of_which_the_address_says_nothing_is_refused(narrow: Pooler, schema: str) -> None:
    with pytest.raises(Misconfigured, match="Add pooled=true"):
        async with opened(narrow.url(schema), None):
            pass


async def test_a_pooler_that_leaves_a_client_its_connection_is_believed_to_do_so(schema: str) -> None:
    pooler = Pooler(postgres_server(), "pool_mode=session")
    try:
        async with opened(pooler.start().url(schema, "&pooled=false"), None) as storage:
            await enqueue_one(storage)
            assert await claim_one(storage)
    finally:
        pooler.end()


async def test_many_storages_share_one_connection(narrow: Pooler, schema: str, storage: Storage) -> None:
    async with (
        opened(narrow.url(schema, "&pooled=true"), None) as second,
        opened(narrow.url(schema, "&pooled=true"), None) as third,
    ):
        everybody = (storage, second, third)
        # Somebody who waits holds no connection, whatever he waits for.
        waiting = asyncio.create_task(third.wait(["queue:never"], after="", timeout_ms=LONG_MS))
        for job_id in "abcdef":
            await asyncio.gather(*(enqueue_one(one, job_id) for one in everybody))

        taken = await asyncio.gather(*(claim_some(one, 2, worker=f"w{n}") for n, one in enumerate(everybody)))

        assert sorted(job.id for jobs in taken for job in jobs) == list("abcdef")
        waiting.cancel()


async def test_what_others_write_is_looked_for_where_nothing_can_be_heard(
    narrow: Pooler, schema: str, storage: Storage
) -> None:
    mark = await storage.wait(["queue:default"], after=None, timeout_ms=0)
    async with opened(postgres_server().url(schema), None) as elsewhere:
        await enqueue_one(elsewhere)

    async with asyncio.timeout(10 * LOOK_S):
        assert await storage.wait(["queue:default"], after=mark, timeout_ms=LONG_MS) != mark


async def test_past_the_pooler_what_others_write_is_heard(narrow: Pooler, schema: str) -> None:
    past = f"postgresql://{USER}@127.0.0.1:{postgres_server().port}/{DATABASE}"
    async with (
        opened(narrow.url(schema, f"&pooled=true&listen={past}"), None) as storage,
        opened(narrow.url(schema, "&pooled=true"), None) as elsewhere,
    ):
        mark = await storage.wait(["queue:default"], after=None, timeout_ms=0)
        assert storage._watch.hears
        await enqueue_one(elsewhere)

        async with asyncio.timeout(10):
            assert await storage.wait(["queue:default"], after=mark, timeout_ms=LONG_MS) != mark


async def test_a_pooler_that_was_started_again_is_not_noticed(narrow: Pooler, storage: Storage) -> None:
    await enqueue_one(storage)
    narrow.kill()
    narrow.start()

    assert await claim_one(storage)


async def test_without_a_server_behind_it_the_storage_is_unavailable_and_comes_back() -> None:
    server = Postgres().start()
    pooler = Pooler(server, "default_pool_size=1", "query_wait_timeout=1", "server_login_retry=0.1").start()
    try:
        await migrate(server.url())
        async with opened(pooler.url(more="&pooled=true&timeout=5"), None) as storage:
            await enqueue_one(storage)
            server.kill()
            with pytest.raises(Unavailable):
                await claim_one(storage)
            server.start()
            pooler.until(lambda: pooler.ask("SELECT 1", user=USER))

            assert await claim_one(storage)
    finally:
        pooler.end()
        server.end()


async def test_nobody_waits_longer_for_a_connection_than_a_step_may_take(narrow: Pooler, schema: str) -> None:
    async with opened(narrow.url(schema, "&pooled=true&timeout=1"), None) as storage:
        holding = asyncio.create_task(asyncio.to_thread(narrow.ask, "SELECT pg_sleep(3)", user=USER))
        await asyncio.sleep(0.2)
        began = time.monotonic()

        with pytest.raises(Unavailable, match="did not answer within 1,000 ms"):
            await enqueue_one(storage)

        assert time.monotonic() - began < 2.5
        await holding
        await enqueue_one(storage)


async def test_a_pooler_that_lets_nobody_else_in_is_told(schema: str) -> None:
    pooler = Pooler(postgres_server(), "max_client_conn=1").start()
    try:
        async with opened(pooler.url(schema, "&pooled=true"), None):
            with pytest.raises(Unavailable, match="no more connections allowed"):
                async with opened(pooler.url(schema, "&pooled=true"), None):
                    pass
    finally:
        pooler.end()


async def test_patience_that_the_role_is_given_is_named_where_it_ends_a_step_of_one_statement(
    narrow: Pooler, schema: str
) -> None:
    server, url = postgres_server(), narrow.url(schema, "&pooled=true")
    holder = await connect(server.port)
    server.tell(f"ALTER ROLE {USER} SET statement_timeout = '200ms'")
    try:
        async with opened(url, None) as storage:
            await holder.execute(f"BEGIN; {writers_lock(parse(url))}")
            with pytest.raises(Unavailable, match=r"ALTER ROLE … SET statement_timeout TO 9000") as told:
                await enqueue_one(storage)
            assert not told.value.outcome_unknown
    finally:
        server.tell(f"ALTER ROLE {USER} RESET statement_timeout")
        await holder.close()
