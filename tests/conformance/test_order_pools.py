"""Chapter 12: a pool whose head has no room stands aside as a whole, but for the few that may pass."""

import time
from hashlib import sha256
from typing import Any

import pytest

from aiq.bounds import MAX_BYPASSED, MAX_REFUSED, MAX_SWEEP
from aiq.model import Band, JobRecord, LimitSpec, Released, State, Throttle, Usage
from aiq.storage import Storage, queue_topic
from aiq.testing.actions import GOOD, LONG_MS, changed, claim_one, end, enqueue_one, job, start
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import (
    CAPACITY,
    OPENING,
    left,
    need,
    offered,
    open_call,
    put_budget,
    put_limit,
    tell,
    tokens,
    units,
)

S = State
HOUR_MS = 3_600_000


async def enqueue_needing(storage: Storage, job_id: str, count: int, tenant: str = "", **options: Any) -> None:
    """A job that takes so many tokens of the limit "gpt"."""
    options = {"limits": ("gpt",), "estimate": need(count), "lease_ms": HOUR_MS, **options}
    await enqueue_one(storage, job_id, tenant=tenant, **options)


async def holder(storage: Storage, count: int = OPENING) -> JobRecord:
    """A run of another queue that has taken so many tokens of the limit "gpt"."""
    await put_limit(storage)
    return await start(storage, "holder", queue="other", limits=("gpt",), estimate=need(count), lease_ms=HOUR_MS)


@clause("POOL-1", "POOL-4")
async def test_a_pool_whose_head_is_refused_is_not_looked_at_before_the_time_that_was_named(
    storage: Storage, clock: Clock
) -> None:
    await put_limit(storage)
    await enqueue_needing(storage, "head", 8_000, "c")
    assert await offered(storage) == ([], 3_000)
    clock.advance_ms(100)
    # It would pass if the pool was looked at.
    await enqueue_needing(storage, "small", 10, "b")
    assert await offered(storage) == ([], 2_900)
    clock.advance_ms(2_900)
    assert await offered(storage) == (["head"], 10)


@clause("POOL-1")
async def test_a_job_more_urgent_than_all_that_stand_in_a_parked_pool_does_not_wait_for_their_head(
    storage: Storage, clock: Clock
) -> None:
    await put_limit(storage)
    await enqueue_needing(storage, "head", 8_000, band=Band.NORMAL)
    assert await offered(storage) == ([], 3_000)

    await enqueue_needing(storage, "urgent", 10, band=Band.HIGH)
    assert await offered(storage) == (["urgent"], 3_010)

    clock.advance_ms(3_010)
    assert (await offered(storage))[0] == ["head"]


@clause("POOL-1")
async def test_only_the_first_of_an_urgent_band_wakes_a_parked_pool(storage: Storage) -> None:
    await put_limit(storage)
    await enqueue_needing(storage, "head", 8_000, "c", band=Band.NORMAL)
    assert await offered(storage) == ([], 3_000)
    await enqueue_needing(storage, "urgent", 6_000, "c", band=Band.HIGH)
    assert await offered(storage) == ([], 1_000)

    # Each of them would pass if the pool was looked at.
    await enqueue_needing(storage, "as urgent", 10, "b", band=Band.HIGH)
    await enqueue_needing(storage, "less urgent", 10, "b", band=Band.BATCH)

    assert await offered(storage) == ([], 1_000)


@clause("POOL-1")
@pytest.mark.parametrize("how", ["settled", "released", "cancelled", "raised"])
async def test_what_frees_room_wakes_the_pool(storage: Storage, how: str) -> None:
    run = await holder(storage)
    await enqueue_needing(storage, "head", 4_000)
    assert await offered(storage) == ([], 4_000)
    mark = await storage.wait([queue_topic("default")], after=None, timeout_ms=LONG_MS)
    match how:
        case "settled":
            await tell(storage, run, 0, used=Usage(input=1_000))
        case "released":
            await end(storage, run, Released())
        case "cancelled":
            await storage.cancel(["head"])
            await enqueue_needing(storage, "next", 4_000)
            await end(storage, run, Released())
        case "raised":
            await put_limit(storage, tokens=10**9)
    assert await changed(storage, mark, queue_topic("default"))
    if how != "raised":
        assert (await offered(storage))[0] == ["next" if how == "cancelled" else "head"]


@clause("POOL-1", "LIMIT-9")
async def test_a_pool_that_waits_for_a_unit_wakes_when_one_is_free(storage: Storage, clock: Clock) -> None:
    await storage.put_limits([units()])
    run = await start(storage, "first", limits=("gpt",), lease_ms=HOUR_MS)
    await enqueue_one(storage, "second", limits=("gpt",))
    for _ in range(3):
        assert await offered(storage) == ([], HOUR_MS - (clock() - (run.started_at_ms or 0)))
        clock.advance_ms(1_000)
    await end(storage, run, GOOD)
    assert (await offered(storage))[0] == ["second"]


@clause("POOL-2")
async def test_a_quarter_of_the_heads_cost_may_pass_in_the_order_of_service(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    await enqueue_needing(storage, "head", 8_000, "c")
    for n in range(5):
        await enqueue_needing(storage, f"b{n}", 900, "b")
    await enqueue_needing(storage, "a0", 150, "a")

    # 2,000 may pass: two of b, and the 150 of a between them, whose service is less by then.
    given, due_ms = await offered(storage)
    assert given == ["b0", "a0", "b1"]
    assert (due_ms, await left(storage)) == (8_000 - (OPENING - 1_950), (OPENING - 1_950, 0))
    clock.advance_ms(4_950)
    assert "head" in (await offered(storage))[0]


def in_order(*tenants: str) -> list[str]:
    """Tenants as they go at equal service."""
    return sorted(tenants, key=lambda tenant: sha256(tenant.encode()).hexdigest())


@clause("POOL-2")
async def test_what_has_passed_counts_until_the_pool_has_another_head(storage: Storage, clock: Clock) -> None:
    run = await holder(storage, 1_000)
    await enqueue_needing(storage, "head", 8_000, "c")
    for n in range(5):
        await enqueue_needing(storage, f"b{n}", 900, "b")
    assert (await offered(storage))[0] == ["b0", "b1"]
    await tell(storage, run, 0, used=Usage(input=999))

    # The pool was woken, and its head may let 200 pass yet.
    assert (await offered(storage))[0] == []
    clock.advance_ms(6_000)
    assert (await offered(storage))[0][0] == "head"


@clause("POOL-2")
async def test_another_head_lets_its_own_quarter_pass(storage: Storage) -> None:
    await put_limit(storage)
    await enqueue_needing(storage, "head", 8_000, "c")
    await enqueue_needing(storage, "second", 6_000, "c")
    for n in range(5):
        await enqueue_needing(storage, f"b{n}", 900, "b")
    assert (await offered(storage))[0] == ["b0", "b1"]
    await storage.cancel(["head"])
    await put_limit(storage, burst_ms=CAPACITY + 1)
    assert (await offered(storage))[0] == ["b2"]


@clause("POOL-2")
async def test_what_is_not_admitted_itself_does_not_pass(storage: Storage) -> None:
    await holder(storage)
    await enqueue_needing(storage, "head", 4_000, "c")
    await enqueue_needing(storage, "b0", 10, "b")
    assert await offered(storage) == ([], 4_000)


@clause("POOL-2")
async def test_exactly_a_quarter_may_pass_and_one_token_more_may_not(storage: Storage) -> None:
    await put_limit(storage)
    await enqueue_needing(storage, "head", 8_000, "c")
    await enqueue_needing(storage, "b0", 2_001, "b")
    await enqueue_needing(storage, "a0", 2_000, "a")
    assert (await offered(storage))[0] == ["a0"]


@clause("POOL-2", "BAND-4")
async def test_nothing_of_the_same_line_and_of_another_band_passes(storage: Storage) -> None:
    await put_limit(storage)
    await enqueue_needing(storage, "head", 8_000, "c")
    await enqueue_needing(storage, "small", 1, "c")
    await enqueue_needing(storage, "batch", 1, "b", band=Band.BATCH)
    assert await offered(storage) == ([], 3_000)


@clause("POOL-2")
async def test_a_pool_without_tokens_lets_nobody_pass(storage: Storage) -> None:
    await storage.put_limits([units("gpt", 1), units("mine", 1, by="tenant")])
    run = await start(storage, "first", queue="q", limits=("gpt",), lease_ms=HOUR_MS)
    for tenant in "abc":
        await enqueue_one(storage, tenant, tenant=tenant, limits=("gpt",))
    assert (await offered(storage))[0] == []
    await end(storage, run, GOOD)
    assert (await offered(storage))[0] == in_order("a", "b", "c")[:1]


@clause("POOL-3")
@pytest.mark.parametrize("poor", [MAX_REFUSED, MAX_REFUSED + 30])
async def test_a_claim_tries_so_many_that_it_must_refuse_and_says_that_more_is_due(storage: Storage, poor: int) -> None:
    await put_budget(storage, tokens=0)
    await storage.enqueue([job(f"poor {n}", budgets=("purse",), estimate=need(1)) for n in range(poor)])
    await enqueue_one(storage, "rich")
    assert await offered(storage) == ([], 1)
    assert (await storage.count())["default"] == {S.HELD: MAX_REFUSED, S.READY: poor + 1 - MAX_REFUSED}
    assert (await offered(storage))[0] == ["rich"]


@clause("POOL-3")
async def test_a_claim_that_has_given_what_it_was_asked_for_says_nothing_is_due(storage: Storage) -> None:
    await put_budget(storage, tokens=0)
    await enqueue_one(storage, "rich", lease_ms=HOUR_MS)
    await storage.enqueue([job(f"poor {n}", budgets=("purse",), estimate=need(1)) for n in range(100)])
    assert await offered(storage, count=1) == (["rich"], HOUR_MS)


@clause("POOL-3")
@pytest.mark.parametrize("costly", [MAX_BYPASSED - 1, MAX_BYPASSED])
async def test_a_claim_looks_at_no_more_than_so_many_behind_one_head(storage: Storage, costly: int) -> None:
    await put_limit(storage)
    first, *others, last = in_order(*(f"tenant {n}" for n in range(costly + 2)))
    await enqueue_needing(storage, "head", 8_000, first)
    for tenant in others:
        await enqueue_needing(storage, f"costly of {tenant}", 2_001, tenant)
    await enqueue_needing(storage, "small", 10, last)
    assert (await offered(storage))[0] == (["small"] if costly < MAX_BYPASSED else [])


@clause("POOL-4")
async def test_a_claim_is_told_when_the_first_pool_line_or_job_may_open(storage: Storage, clock: Clock) -> None:
    limits = [tokens("gpt"), tokens("claude"), tokens("mine", by="tenant"), tokens("keyed", by="key")]
    await storage.put_limits(limits)
    for spec, count in zip(limits, (900, 700, 500, 300), strict=True):
        whose = {"tenant": spec.name, "key": "k", "limits": (spec.name,), "lease_ms": HOUR_MS}
        await start(storage, f"{spec.name} before", queue=spec.name, estimate=need(5_000), **whose)
        await enqueue_one(storage, spec.name, estimate=need(count), **whose)
    seen = [await offered(storage)]
    for _ in range(4):
        clock.advance_ms(seen[-1][1] or 0)
        seen.append(await offered(storage))
    assert seen == [([], 300), (["keyed"], 200), (["mine"], 200), (["claude"], 200), (["gpt"], HOUR_MS - 900)]


@clause("POOL-4")
async def test_what_waits_for_nothing_but_others_has_no_time(storage: Storage) -> None:
    await storage.put_limits([units("one"), units("two", by="tenant"), units("three", by="key")])
    for name in ("one", "two", "three"):
        whose = {"tenant": "acme", "key": "k", "limits": (name,), "lease_ms": HOUR_MS}
        await start(storage, f"{name} 1", queue=name, **whose)
        await enqueue_one(storage, f"{name} 2", **whose)
    assert await offered(storage) == ([], HOUR_MS)


@clause("POOL-5")
async def test_a_parked_pool_costs_a_claim_the_same_whatever_stands_in_it(storage: Storage) -> None:
    await holder(storage)
    few = await fastest_claim(storage, "few", 10)
    many = await fastest_claim(storage, "many", 2_500)
    # Looking at each of 2,500 jobs, or tenants, would take a hundred times as long.
    assert many < 10 * few


async def fastest_claim(storage: Storage, queue: str, count: int) -> float:
    """The least time that a claim of a queue takes in whose parked pool so many jobs of as many tenants stand."""
    for first in range(0, count, 250):
        await storage.enqueue(
            [
                job(f"{queue} {n}", queue=queue, tenant=f"tenant {n}", limits=("gpt",), estimate=need(5_000))
                for n in range(first, min(first + 250, count))
            ]
        )
    assert (await offered(storage, queue))[0] == []
    times = []
    for _ in range(20):
        began = time.perf_counter()
        assert (await offered(storage, queue))[0] == []
        times.append(time.perf_counter() - began)
    return min(times)


@clause("POOL-6")
async def test_a_parked_pool_leaves_the_others_as_they_are(storage: Storage) -> None:
    await holder(storage)
    await storage.put_limits([tokens("claude")])
    await enqueue_needing(storage, "parked", 100, band=Band.INTERACTIVE)
    await enqueue_one(storage, "plain")
    await enqueue_one(storage, "shared", tenant="acme")
    await enqueue_one(storage, "claude", limits=("claude",), estimate=need(100), band=Band.BATCH)
    assert await offered(storage) == (["plain", "shared", "claude"], 100)


@clause("POOL-6", "ROUTE-1")
async def test_models_on_one_limit_stand_in_pools_of_their_own(storage: Storage) -> None:
    await put_limit(storage)
    await enqueue_needing(storage, "large", 8_000, estimate=need(8_000, model="large"))
    await enqueue_needing(storage, "small", 3_000, estimate=need(3_000, model="small"))
    assert (await offered(storage))[0] == ["small"]


@clause("POOL-6")
async def test_pools_with_limits_in_common_are_each_refused_for_themselves(storage: Storage, clock: Clock) -> None:
    await storage.put_limits([tokens("gpt"), units("few", 1)])
    await enqueue_needing(storage, "both", 6_000, limits=("gpt", "few"))
    await enqueue_needing(storage, "one", 2_000, limits=("gpt",))
    await enqueue_needing(storage, "other", 1, limits=("few",))
    given, _ = await offered(storage)
    assert given == ["one", "other"]


@clause("POOL-1", "LIMIT-10")
async def test_a_pause_of_a_limit_parks_its_pool(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    await enqueue_needing(storage, "first", 10, "a")
    await storage.throttled([Throttle(limit="gpt", tokens=5_000, retry_after_ms=400)])
    await enqueue_needing(storage, "second", 1, "b")
    assert await offered(storage) == ([], 400)
    clock.advance_ms(400)
    assert len((await offered(storage))[0]) == 2


@clause("POOL-1")
async def test_a_job_that_comes_back_while_its_pool_is_parked_waits_with_it(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    await enqueue_needing(storage, "runs", 1_000)
    run = await claim_one(storage)
    await open_call(storage, run, 1, need(5_000))
    await enqueue_needing(storage, "head", 5_000)
    assert await offered(storage) == ([], 5_000)
    await tell(storage, run, 1, used=Usage(input=5_000))
    await end(storage, run, Released())
    assert (await offered(storage))[0] == []
    clock.advance_ms(5_000)
    assert "runs" in (await offered(storage))[0]


@clause("POOL-3", "POOL-4")
@pytest.mark.parametrize("by", ["tenant", "key"])
async def test_a_claim_lets_no_more_than_a_sweep_of_what_is_due_go_on_in_the_order_of_their_instants(
    storage: Storage, clock: Clock, by: str
) -> None:
    parts = [f"{n:03}" for n in range(MAX_SWEEP + 10)]
    await storage.put_limits([LimitSpec(name="gpt", requests=60_000, by=by)])
    for some in (parts[:150], parts[150:]):
        paused = [Throttle(limit="gpt", key=part, retry_after_ms=9_000 - 10 * int(part)) for part in some]
        await storage.throttled(paused)
        await storage.enqueue([job(part, limits=("gpt",), **{by: part}) for part in some])
    while (await offered(storage)) == ([], 1):
        pass
    clock.advance_ms(60_000)

    given, due_ms = await offered(storage, count=256)
    assert (sorted(given), due_ms) == (parts[10:], 1)
    given, due_ms = await offered(storage, count=256)
    assert (sorted(given), due_ms == 1) == (parts[:10], False)


@clause("POOL-3", "POOL-1")
async def test_a_limit_that_is_freed_lets_go_on_whoever_waits_in_any_line_a_sweep_at_a_time(storage: Storage) -> None:
    count = MAX_SWEEP + 10
    await storage.put_limits([units(by="key", concurrency=1)])
    await enqueue_one(storage, "runs", queue="other", key="k", limits=("gpt",))
    run = await claim_one(storage, "other")
    names = [f"job {n}" for n in range(count)]
    for part in (names[:150], names[150:]):
        await storage.enqueue([job(name, tenant=name, key="k", limits=("gpt",)) for name in part])
    while (await offered(storage)) == ([], 1):
        pass
    await storage.put_limits([units(by="key", concurrency=1_000)])
    await end(storage, run, GOOD)

    first, due_ms = await offered(storage, count=256)
    rest, _ = await offered(storage, count=256)
    assert (len(first), due_ms) == (256, 1)
    assert sorted(first + rest) == sorted(names)
