"""Chapter 12: which of its routes a job takes."""

import pytest

from aiq.model import Band, Deferred, Lane, Released, RouteSpec, State, Suspended
from aiq.storage import Storage
from aiq.testing.actions import claim_one, end, enqueue_one, failed, get_one, start
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import REFUSED, left, need, offered, tokens

S = State
HOUR_MS = 3_600_000


def route(name: str, *limits: str, patience_ms: int | None = None) -> RouteSpec:
    return RouteSpec(name=name, model=name, limits=limits, patience_ms=patience_ms)


THREE = (route("one"), route("two"), route("three"))


@clause("ROUTE-1")
async def test_a_job_with_routes_begins_with_the_first(storage: Storage) -> None:
    await storage.put_limits([tokens("gpt"), tokens("claude")])
    run = await start(
        storage, routes=(route("one", "gpt"), route("two", "claude")), limits=("claude",), estimate=need(100)
    )
    assert (run.route, run.model, run.taken_limits) == (0, "one", ("gpt",))
    assert (await left(storage), await left(storage, "claude")) == ((4_900, 0), (5_000, 0))


@clause("ROUTE-2")
async def test_a_retryable_failure_takes_the_next_route_and_after_the_last_the_first(
    storage: Storage, clock: Clock
) -> None:
    await enqueue_one(storage, routes=THREE, max_attempts=6)
    seen = []
    for _ in range(5):
        run = await claim_one(storage)
        seen.append(run.route)
        await end(storage, run, failed())
    assert seen == [0, 1, 2, 0, 1]


@clause("ROUTE-2", "ROUTE-4")
async def test_a_retryable_failure_leaves_out_what_is_closed(storage: Storage) -> None:
    await enqueue_one(storage, routes=THREE, max_attempts=6)
    await end(storage, await claim_one(storage), failed())
    await end(storage, await claim_one(storage), Deferred(REFUSED, 0, close_route=True))
    seen = []
    for _ in range(4):
        run = await claim_one(storage)
        seen.append(run.route)
        await end(storage, run, failed())
    assert seen == [2, 0, 2, 0]


@clause("ROUTE-2", "ROUTE-4")
async def test_a_failure_with_no_other_open_route_stays_on_its_own(storage: Storage) -> None:
    await enqueue_one(storage, routes=THREE[:2], max_attempts=6)
    await end(storage, await claim_one(storage), Deferred(REFUSED, 0, close_route=True))
    await end(storage, await claim_one(storage), failed())
    assert (await claim_one(storage)).route == 1


@clause("ROUTE-2")
async def test_other_ends_of_a_run_leave_the_route(storage: Storage) -> None:
    await enqueue_one(storage, routes=THREE)
    for outcome in (Released(), Suspended("wait", "go")):
        run = await claim_one(storage)
        await end(storage, run, outcome)
        assert (await get_one(storage)).route == 0
    await storage.send("job", "go", "1", b"")
    assert (await claim_one(storage)).route == 0


@clause("ROUTE-2")
async def test_an_expired_lease_leaves_the_route(storage: Storage, clock: Clock) -> None:
    await start(storage, routes=THREE, lease_ms=10)
    clock.advance_ms(10)
    assert (await claim_one(storage)).route == 0


@clause("ROUTE-3")
async def test_a_rate_limit_does_not_change_the_route(storage: Storage) -> None:
    run = await start(storage, routes=THREE)
    await end(storage, run, Deferred(REFUSED, 0))
    assert (await claim_one(storage)).route == 0


async def behind_an_empty_limit(storage: Storage, **options: object) -> None:
    """A job that is patient with its first route for a second, while that lacks tokens for four."""
    await storage.put_limits([tokens("gpt"), tokens("claude")])
    await start(storage, "other", queue="other", limits=("gpt",), estimate=need(5_000), lease_ms=HOUR_MS)
    routes = (route("one", "gpt", patience_ms=1_000), route("two", "claude"))
    await enqueue_one(storage, routes=routes, estimate=need(4_000), **options)


@clause("ROUTE-5")
async def test_a_job_whose_patience_is_over_takes_the_next_route_at_the_next_claim(
    storage: Storage, clock: Clock
) -> None:
    await behind_an_empty_limit(storage)
    assert await offered(storage) == ([], 1_000)
    clock.advance_ms(999)
    assert await offered(storage) == ([], 1)
    clock.advance_ms(1)
    assert (await offered(storage))[0] == ["job"]

    record = await get_one(storage)
    assert (record.route, record.model, record.lane, record.closed_routes) == (1, "two", Lane.FRESH, 0)
    assert (record.failures, record.events) == (0, 3)
    assert (await left(storage, "claude"))[0] == 1_000


@clause("ROUTE-5")
async def test_upkeep_takes_care_of_patience_too(storage: Storage, clock: Clock) -> None:
    await behind_an_empty_limit(storage)
    await offered(storage)
    clock.advance_ms(1_000)
    done = await storage.upkeep()
    assert (done.rerouted, done.total) == (1, 1)
    assert ((await get_one(storage)).route, (await get_one(storage)).state) == (1, S.READY)
    assert (await storage.upkeep()).total == 0


@clause("ROUTE-5")
async def test_patience_begins_anew_while_the_pool_is_not_parked(storage: Storage, clock: Clock) -> None:
    await behind_an_empty_limit(storage)
    clock.advance_ms(1_000)
    assert (await storage.upkeep()).rerouted == 0
    clock.advance_ms(500)

    assert await offered(storage) == ([], 500)
    clock.advance_ms(499)
    assert (await storage.upkeep()).rerouted == 0
    clock.advance_ms(1)
    assert (await storage.upkeep()).rerouted == 1
    assert (await offered(storage))[0] == ["job"]


@clause("ROUTE-5")
async def test_a_job_that_came_back_keeps_its_lane_on_the_next_route(storage: Storage, clock: Clock) -> None:
    await storage.put_limits([tokens("gpt"), tokens("claude")])
    routes = (route("one", "gpt", patience_ms=1_000), route("two", "claude"))
    run = await start(storage, routes=routes, estimate=need(4_000))
    await end(storage, run, Released())
    await start(storage, "other", queue="other", limits=("gpt",), estimate=need(5_000), lease_ms=HOUR_MS)
    assert (await offered(storage))[0] == []
    clock.advance_ms(1_000)
    await storage.upkeep()

    record = await get_one(storage)
    assert (record.route, record.lane) == (1, Lane.RETURNED)


@clause("ROUTE-5")
async def test_a_job_without_another_open_route_stays(storage: Storage, clock: Clock) -> None:
    await storage.put_limits([tokens("gpt")])
    await start(storage, "other", queue="other", limits=("gpt",), estimate=need(5_000), lease_ms=HOUR_MS)
    await enqueue_one(storage, routes=(route("one", "gpt", patience_ms=1_000),), estimate=need(4_000))
    await offered(storage)
    clock.advance_ms(1_000)

    done = await storage.upkeep()
    assert (done.rerouted, (await get_one(storage)).route, (await get_one(storage)).events) == (0, 0, 1)


@clause("ROUTE-5")
async def test_impatience_leaves_out_routes_whose_pools_are_parked_too(storage: Storage, clock: Clock) -> None:
    await storage.put_limits([tokens("a"), tokens("b"), tokens("c")])
    for name in "ab":
        await start(storage, name, queue=name, limits=(name,), estimate=need(5_000), lease_ms=HOUR_MS)
        await enqueue_one(storage, f"waits for {name}", limits=(name,), estimate=need(4_000, model=name))
    assert await offered(storage) == ([], 4_000)
    routes = (route("a", "a", patience_ms=0), route("b", "b", patience_ms=0), route("c", "c"))
    await enqueue_one(storage, routes=routes, estimate=need(1_000), band=Band.BATCH)

    assert (await offered(storage))[0] == ["job"]
    assert (await get_one(storage)).route == 2


@clause("ROUTE-5")
async def test_a_job_that_finds_no_freer_route_looks_again_in_a_second(storage: Storage, clock: Clock) -> None:
    await storage.put_limits([tokens("gpt")])
    await start(storage, "other", queue="other", limits=("gpt",), estimate=need(5_000), lease_ms=HOUR_MS)
    await enqueue_one(storage, routes=(route("one", "gpt", patience_ms=0),), estimate=need(4_000))

    assert await offered(storage) == ([], 1_000)


@clause("ROUTE-5", "ROUTE-4")
async def test_impatience_leaves_out_what_is_closed(storage: Storage, clock: Clock) -> None:
    await storage.put_limits([tokens("gpt")])
    routes = (route("zero"), route("one", "gpt", patience_ms=1_000), route("two"))
    run = await start(storage, routes=routes, estimate=need(4_000))
    await end(storage, run, Deferred(REFUSED, 0, close_route=True))
    await start(storage, "other", queue="other", limits=("gpt",), estimate=need(5_000), lease_ms=HOUR_MS)
    await offered(storage)
    clock.advance_ms(1_000)
    await storage.upkeep()
    assert (await get_one(storage)).route == 2


@clause("ROUTE-5", "CLAIM-7")
async def test_a_job_of_a_paused_queue_is_left_alone_by_claims_of_others(storage: Storage, clock: Clock) -> None:
    await behind_an_empty_limit(storage)
    await offered(storage)
    clock.advance_ms(1_000)
    assert (await offered(storage, "elsewhere"))[0] == []
    assert (await get_one(storage)).route == 0
    await storage.pause("default")
    assert (await offered(storage))[0] == []


@clause("ROUTE-1", "POOL-6")
@pytest.mark.parametrize("number", [0, 1, 2])
async def test_a_job_takes_and_waits_for_the_limits_of_the_route_it_stands_on(storage: Storage, number: int) -> None:
    await storage.put_limits([tokens("a"), tokens("b"), tokens("c")])
    routes = tuple(route(name, name) for name in "abc")
    await enqueue_one(storage, routes=routes, estimate=need(4_000), max_attempts=5)
    for _ in range(number):
        await end(storage, await claim_one(storage), failed())
    run = await claim_one(storage)
    assert (run.route, await left(storage, "abc"[number])) == (number, (1_000, 0))
    await end(storage, run, Released())
    assert await left(storage, "abc"[number]) == (5_000, 0)
