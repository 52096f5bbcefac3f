"""A step that functions of the schema make waits for others first, and reads the clock then."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from aiq.backends.postgres import atomic
from aiq.backends.postgres.address import parse
from aiq.backends.postgres.beginning import writers_lock
from aiq.backends.postgres.migrate import migrate
from aiq.model import JobRecord, Settlement
from aiq.storage import Storage
from aiq.testing.actions import GOOD, claim_one, enqueue_one
from tests.chaos.notes import until
from tests.postgres_servers import connect, postgres_server
from tests.schemas import schemas
from tests.stores import opened

LEASE_MS = 60_000
STANDS_STILL_S = 0.3
SOMEBODY_WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"


@pytest.fixture
async def url() -> str:
    found = postgres_server().url(schemas().name())
    await migrate(found)
    return found


@pytest.fixture
async def storage(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Storage]:
    """One whose steps are made by functions, and by the server's clock."""
    async with opened(url, None) as made:
        for job_id in "ab":
            await enqueue_one(made, job_id, lease_ms=LEASE_MS)
        monkeypatch.setattr(atomic, "make", refused)
        yield made


def refused(*_: Any) -> None:
    raise AssertionError("this step is made in Python")


async def after_others(url: str, step: Callable[[], Awaitable[object]]) -> int:
    """Make a step that has to wait for the lock of those who write, and say when it was free."""
    holder = await connect(postgres_server().port)
    try:
        await holder.execute(f"BEGIN; {writers_lock(parse(url))}")
        waiting = asyncio.ensure_future(step())
        await until(lambda: holder.fetchval(SOMEBODY_WAITS), "it waits")
        await holder.execute(f"SELECT pg_sleep({STANDS_STILL_S})")
        free_ms: int = await holder.fetchval("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint")
        await holder.execute("COMMIT")
        await waiting
        return free_ms
    finally:
        await holder.close()


async def stored(storage: Storage, job_id: str) -> JobRecord:
    (record,) = await storage.get([job_id])
    assert record is not None
    return record


async def test_a_lease_that_is_claimed_begins_after_the_wait(storage: Storage, url: str) -> None:
    free_ms = await after_others(url, lambda: claim_one(storage))

    assert ((await stored(storage, "a")).expires_at_ms or 0) >= free_ms + LEASE_MS


async def test_a_lease_is_renewed_from_after_the_wait(storage: Storage, url: str) -> None:
    run = await claim_one(storage)

    free_ms = await after_others(url, lambda: storage.renew([run.lease]))

    assert ((await stored(storage, "a")).expires_at_ms or 0) >= free_ms + LEASE_MS


async def test_a_job_has_ended_after_the_wait(storage: Storage, url: str) -> None:
    run = await claim_one(storage)

    free_ms = await after_others(url, lambda: storage.exchange([Settlement(run.lease, "1", GOOD)]))

    assert ((await stored(storage, "a")).finished_at_ms or 0) >= free_ms


async def test_a_job_is_made_after_the_wait(storage: Storage, url: str) -> None:
    free_ms = await after_others(url, lambda: enqueue_one(storage, "c"))

    assert (await stored(storage, "c")).created_at_ms >= free_ms
