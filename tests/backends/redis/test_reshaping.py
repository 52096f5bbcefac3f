"""A limit with more parts than one step may change: they follow its new numbers in turns, and nobody sees it."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from aiq.backends.redis.storage import RedisStorage
from aiq.backends.redis.wire import said
from aiq.bounds import MAX_BATCH, MAX_LEASE_MS, MAX_SWEEP
from aiq.errors import InvalidInput
from aiq.model import JobRecord, LimitSpec, moving
from aiq.moving import dumped
from aiq.storage import Storage
from aiq.testing.actions import GOOD, claim_some, end, job
from aiq.testing.clock import Clock
from aiq.testing.moves import move
from aiq.testing.spending import need, tokens
from tests import stores

PARTS = MAX_SWEEP + 20
TENANTS = [f"tenant {number:03}" for number in range(PARTS)]
RAISED = tokens(by="tenant", tokens=90_007, concurrency=2)


@pytest.fixture
async def pair(clock: Clock) -> AsyncIterator[list[Storage]]:
    """Two storages in which the same happens, the second of them in memory."""
    async with stores.redis(clock) as namespace, stores.memory(clock) as memory:
        yield [namespace, memory]


async def used(storage: Storage, tenants: Sequence[str] = TENANTS, begin: str = "job") -> dict[str, JobRecord]:
    """A run of each of some tenants that has taken of its part of the limit, and one that waits for it."""
    options: dict[str, Any] = {"limits": ("gpt",), "lease_ms": MAX_LEASE_MS}
    for first in range(0, len(tenants), MAX_BATCH // 2):
        some = tenants[first : first + MAX_BATCH // 2]
        batch = [job(f"{begin} {name}", tenant=name, estimate=need(700, 300), **options) for name in some]
        await storage.enqueue([*batch, *(job(f"{one.id} again", tenant=one.tenant, **options) for one in batch)])
    return {run.id: run for _ in range(0, len(tenants), MAX_BATCH // 2) for run in await claim_some(storage, MAX_BATCH)}


async def levels(storage: Storage) -> dict[str, Any]:
    """What is left of each part. It is told before any job is."""
    found = {}
    async for one in dumped(storage):
        if isinstance(one, moving.Level):
            found[one.key] = one.state
        elif isinstance(one, moving.Job):
            break
    return found


async def begin(storage: Storage, spec: LimitSpec) -> None:
    """The step that gives a limit its new numbers, without those in which its parts follow."""
    assert isinstance(storage, RedisStorage)
    args = {"limits": said([spec]), "absent_only": False, "looked": {spec.name: True}}
    assert (await storage._step("put_limits", args)).value["large"] == [spec.name]


async def test_many_parts_change_as_if_all_of_them_did_at_once(pair: list[Storage], clock: Clock) -> None:
    for storage in pair:
        await storage.put_limits([tokens(by="tenant", concurrency=1)])
        await used(storage)
    clock.advance_ms(250)
    for storage in pair:
        assert await storage.put_limits([RAISED]) == [RAISED]

    first, second = [await levels(storage) for storage in pair]
    assert first == second
    assert len(first) == PARTS
    assert len(await claim_some(pair[0], MAX_BATCH)) == len(await claim_some(pair[1], MAX_BATCH)) > 0
    assert await pair[0].audit() == []


async def test_whoever_looks_while_parts_follow_sees_them_in_the_new_numbers(pair: list[Storage], clock: Clock) -> None:
    namespace, memory = pair
    runs = []
    for storage in pair:
        await storage.put_limits([tokens(by="tenant")])
        runs.append(await used(storage))
    clock.advance_ms(250)
    await begin(namespace, RAISED)
    await memory.put_limits([RAISED])
    assert await levels(namespace) == await levels(memory)

    # What is taken, given back and begun meanwhile is counted in the new numbers.
    clock.advance_ms(100)
    for storage, some in zip(pair, runs, strict=True):
        for name in (TENANTS[0], TENANTS[-1], TENANTS[MAX_SWEEP + 1]):
            await end(storage, some[f"job {name}"], GOOD)
        await used(storage, ["tenant", "tenant 3", "zz", TENANTS[-2]], "later")
    assert await levels(namespace) == await levels(memory)
    assert await namespace.audit() == []

    await namespace.upkeep()
    assert await levels(namespace) == await levels(memory)
    while (await namespace.upkeep()).next_due_ms == 0:
        pass
    assert await levels(namespace) == await levels(memory)
    assert await namespace.audit() == []


async def test_new_numbers_come_one_after_the_other(pair: list[Storage], clock: Clock) -> None:
    for storage in pair:
        await storage.put_limits([tokens(by="tenant")])
        await used(storage)
    namespace, memory = pair
    await begin(namespace, RAISED)
    await memory.put_limits([RAISED])
    clock.advance_ms(1_000)
    for storage in pair:
        await storage.put_limits([tokens(by="tenant", tokens=7_000)])

    assert await levels(namespace) == await levels(memory)


async def test_a_storage_that_moves_away_meanwhile_takes_the_new_numbers_along(
    pair: list[Storage], clock: Clock
) -> None:
    namespace = pair[0]
    await namespace.put_limits([tokens(by="tenant")])
    await used(namespace)
    await begin(namespace, RAISED)

    async with stores.memory(clock) as other:
        await move(namespace, other)
        assert await levels(other) == await levels(namespace)


async def test_numbers_in_which_one_part_of_many_could_not_be_counted_are_refused(
    pair: list[Storage], clock: Clock
) -> None:
    day_ms = 24 * 3_600_000
    for storage in pair:
        await storage.put_limits([LimitSpec(name="gpt", by="tenant", tokens=10**9, per_ms=day_ms, burst_ms=day_ms)])
        await used(storage)
        await storage.enqueue([job("large", tenant="zz", limits=("gpt",), estimate=need(0, 10**6))])
        assert len(await claim_some(storage, 1)) == 1
        with pytest.raises(InvalidInput, match="rounder number of tokens"):
            await storage.put_limits([LimitSpec(name="gpt", by="tenant", tokens=10**9 + 7, per_ms=day_ms, burst_ms=60)])

    assert await levels(pair[0]) == await levels(pair[1])
