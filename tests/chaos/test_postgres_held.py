"""Rows of a PostgreSQL storage that somebody holds who is no part of it, such as an operator's transaction."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiq.backends.postgres.address import parse
from aiq.backends.postgres.beginning import writers_lock
from aiq.backends.postgres.migrate import migrate
from aiq.bounds import CANCEL_GRACE_MS
from aiq.errors import Unavailable
from aiq.model import Band, Keep, RetentionSpec, State, Suspended
from aiq.storage import Storage
from aiq.testing.actions import (
    GOOD,
    LONG_MS,
    claim_one,
    claim_some,
    end,
    enqueue_one,
    keep_up,
    start,
    states,
)
from aiq.testing.clock import Clock
from aiq.testing.spending import need, put_limit
from tests.postgres_servers import connect, postgres_server
from tests.schemas import schemas
from tests.stores import opened

pytestmark = pytest.mark.faults

TIMEOUT_S = 2


class Held:
    """A storage, and somebody beside it."""

    def __init__(self, schema: str, storage: Storage, clock: Clock) -> None:
        self._schema, self.storage, self.clock = schema, storage, clock

    @asynccontextmanager
    async def hold(self, *job_ids: str) -> AsyncIterator[None]:
        """Hold the rows of some jobs meanwhile."""
        operator = await connect(postgres_server().port)
        try:
            async with operator.transaction():
                rows = f"SELECT FROM {self._schema}.aiq_jobs WHERE id = ANY($1) FOR UPDATE"
                await operator.execute(rows, list(job_ids))
                yield
        finally:
            operator.terminate()


@pytest.fixture
async def held(clock: Clock) -> AsyncIterator[Held]:
    name = schemas().name()
    await migrate(postgres_server().url(name))
    async with opened(postgres_server().url(name, f"&timeout={TIMEOUT_S}"), clock) as storage:
        yield Held(name, storage, clock)
        assert await storage.audit() == []


@pytest.fixture
def clock() -> Clock:
    return Clock()


LIMITED: dict[str, Any] = {"limits": ("gpt",), "estimate": need(1)}
LINES: dict[str, dict[str, Any]] = {
    "of the plain pool": {},
    "of another band than the next": {"band": Band.INTERACTIVE},
    "of a tenant": {**LIMITED, "tenant": "acme"},
    "of the tenant of others": {**LIMITED, "tenant": "umbrella"},
}


@pytest.mark.parametrize("line", LINES)
async def test_a_row_that_is_held_keeps_its_own_job_and_none_that_would_come_after_it(held: Held, line: str) -> None:
    await put_limit(held.storage)
    await enqueue_one(held.storage, "held", **LINES[line])
    await enqueue_one(held.storage, "plain")
    for number in range(2):
        await enqueue_one(held.storage, f"umbrella {number}", **LIMITED, tenant="umbrella")

    async with held.hold("held"):
        runs = await claim_some(held.storage, 10)
        assert {run.id for run in runs} == {"plain", "umbrella 0", "umbrella 1"}

    assert (await claim_one(held.storage)).id == "held"


async def to_be_promoted(storage: Storage, job_id: str) -> None:
    await enqueue_one(storage, job_id, delay_ms=10)


async def to_be_revoked(storage: Storage, job_id: str) -> None:
    await start(storage, job_id, lease_ms=10)


async def to_be_timed_out(storage: Storage, job_id: str) -> None:
    await end(storage, await start(storage, job_id), Suspended("approval", "go", 10))


async def to_be_ended(storage: Storage, job_id: str) -> None:
    await enqueue_one(storage, job_id, expires_ms=10, delay_ms=LONG_MS)


async def to_be_cancelled(storage: Storage, job_id: str) -> None:
    await start(storage, job_id, lease_ms=LONG_MS)
    await storage.cancel([job_id])


async def to_be_purged(storage: Storage, job_id: str) -> None:
    await storage.put_retention(RetentionSpec(succeeded=Keep(for_ms=10)))
    await end(storage, await start(storage, job_id), GOOD)


SWEEPS: dict[Callable[[Storage, str], Awaitable[None]], tuple[State, State | None]] = {
    to_be_promoted: (State.SCHEDULED, State.READY),
    to_be_revoked: (State.RUNNING, State.READY),
    to_be_timed_out: (State.SUSPENDED, State.READY),
    to_be_ended: (State.SCHEDULED, State.DEAD),
    to_be_cancelled: (State.RUNNING, State.CANCELLED),
    to_be_purged: (State.SUCCEEDED, None),
}
"""What upkeep is to do with a job: how it stands before, and after."""


@pytest.mark.parametrize("arrange", SWEEPS)
async def test_upkeep_leaves_a_job_whose_row_is_held_until_it_is_let_go_and_does_what_is_due_of_others(
    held: Held, arrange: Callable[[Storage, str], Awaitable[None]]
) -> None:
    before, after = SWEEPS[arrange]
    for name in ("held", "free"):
        await arrange(held.storage, name)
    held.clock.advance_ms(CANCEL_GRACE_MS)

    async with held.hold("held"):
        await keep_up(held.storage)
        assert await states(held.storage, "held", "free") == [before, after]

    await keep_up(held.storage)
    assert await states(held.storage, "held", "free") == [after, after]


async def test_a_step_that_needs_a_row_that_is_held_gives_up_before_those_who_wait_for_it_do(held: Held) -> None:
    parent = await start(held.storage, "parent", lease_ms=LONG_MS)
    other = await held.storage.sibling()
    async with held.hold("parent"):
        began = time.monotonic()
        # They wait for each other: each of those on this row has the lock for as long as it may wait.
        refused = [asyncio.create_task(end(held.storage, parent, GOOD)) for _ in range(2)]
        stored = [asyncio.create_task(enqueue_one(other, f"{number}")) for number in range(4)]
        for one in refused:
            with pytest.raises(Unavailable, match="Others hold") as busy:
                await one
            assert not busy.value.outcome_unknown
        await asyncio.gather(*stored)
        assert time.monotonic() - began < TIMEOUT_S
    await other.close()

    await end(held.storage, parent, GOOD)


async def test_a_migration_waits_for_the_step_that_is_under_way(held: Held) -> None:
    server, url = postgres_server(), held.storage.url
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    step = await connect(server.port)
    try:
        async with step.transaction():
            await step.execute(writers_lock(parse(url)))
            migrating = asyncio.create_task(migrate(url))
            await asyncio.to_thread(server.until, lambda: server.ask(waiting) == [(1,)])
    finally:
        step.terminate()

    assert await migrating == []
