"""Accounts under names that no key or id of Redis may be confused by: those of tenants, jobs, models and budgets are
any text."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from aiq.backends import open_storage
from aiq.model import (
    BudgetSpec,
    CallRequest,
    CallState,
    Estimate,
    JobRecord,
    JobSpec,
    LimitSpec,
    Report,
    Usage,
    UsageFilter,
    UsageRow,
    Window,
)
from aiq.storage import Storage
from aiq.testing.actions import GOOD, claim_one, end
from aiq.testing.clock import Clock
from tests.stores import redis

ODD = ("a", "a b", "a\nb", "a\x01", "a:b", "0", "0 1", "%z", "queue:q", "ü", "日 本")
DAY_MS = 24 * 3_600_000
WINDOWS: tuple[Window | None, ...] = ("day", "month", None)


@pytest.fixture
async def twins(clock: Clock) -> AsyncIterator[Sequence[Storage]]:
    """The reference, and a namespace of Redis."""
    async with redis(clock) as storage:
        reference = await open_storage("memory://", clock=clock)
        yield reference, storage
        await reference.close()


async def started(storage: Storage, number: int, name: str) -> JobRecord:
    """A run of a job with such a name, tenant, key and budget, which has one call open and another one in line."""
    spec = JobSpec(
        id=f"{name} {number}",
        task="work",
        tenant=name,
        key=ODD[-number],
        flow=name,
        limits=("by-tenant", "by-key"),
        budgets=(f"{name} 1",),
        estimate=Estimate(model=ODD[number - 1], input=5, output=6),
        lease_ms=DAY_MS,
    )
    await storage.enqueue([spec])
    run = await claim_one(storage)
    await storage.acquire([CallRequest(lease=run.lease, number=number, limits=("one",)) for number in (1, 2)])
    return run


async def use(storage: Storage) -> None:
    """Let a job of each name run, and use something of two models."""
    await storage.put_limits(
        [
            LimitSpec(name="by-tenant", tokens=10**6, by="tenant"),
            LimitSpec(name="by-key", requests=10**3, concurrency=5, by="key"),
            LimitSpec(name="one", concurrency=1),
        ]
    )
    budgets = zip(ODD, WINDOWS * len(ODD), strict=False)
    await storage.put_budgets(
        [BudgetSpec(id=f"{name} 1", caps={"tokens": 10**6}, window=each) for name, each in budgets]
    )
    for number, name in enumerate(ODD):
        run = await started(storage, number, name)
        used = (Usage(name, 3, 4, cache_read=9), Usage("other one", 1))
        await storage.report([Report(lease=run.lease, call=1, state=CallState.SETTLED, used=used)])
        if number % 2:
            await end(storage, run, GOOD)


async def counted(storage: Storage, **whose: Any) -> list[UsageRow]:
    """What was used in somebody's name, read by small pages."""
    page = await storage.usage(UsageFilter(**whose), limit=2)
    found = list(page.rows)
    while page.cursor is not None:
        page = await storage.usage(UsageFilter(**whose), cursor=page.cursor, limit=2)
        found += page.rows
    return found


async def told(storage: Storage) -> list[object]:
    """Everything that can be read of the accounts."""
    found: list[object] = [await storage.get_limits(), await storage.get_limits(["by-key"], limit=3)]
    found += [await storage.get_budgets(), await storage.get_budgets(after="a b 1"), await counted(storage)]
    for number, name in enumerate(ODD):
        for whose in ({"tenant": name}, {"flow": name}, {"job_id": f"{name} {number}"}):
            found.append(await counted(storage, **whose))
    return [*found, await storage.audit()]


async def test_accounts_are_kept_apart_whatever_their_names(twins: Sequence[Storage]) -> None:
    for storage in twins:
        await use(storage)
    reference, storage = twins
    assert await told(storage) == await told(reference)


async def test_accounts_are_forgotten_whatever_their_names(twins: Sequence[Storage], clock: Clock) -> None:
    for storage in twins:
        await use(storage)
    clock.advance_ms(3 * DAY_MS)
    reference, storage = twins
    for _ in ODD:
        assert await storage.upkeep() == await reference.upkeep()
    assert await told(storage) == await told(reference)
