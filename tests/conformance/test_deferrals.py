"""Chapter 10: what becomes of a job whose provider has no room."""

from dataclasses import replace

import pytest

from aiq.bounds import MAX_DELAY_MS
from aiq.model import CallState, Cause, Deferred, HeldFor, Lane, RouteSpec, Settlement, State, Throttle, Usage
from aiq.storage import Storage
from aiq.testing.actions import claim_one, end, enqueue_one, get_one, start
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import REFUSED, need, offered, open_call, put_limit, tell, the_limit, tokens

S = State
GPT = ("gpt",)
HOUR_MS = 3_600_000
LATER = Deferred(REFUSED, 500)
CLOSED = Deferred(REFUSED, 500, close_route=True)
ROUTES = (
    RouteSpec(name="one", model="gpt", limits=GPT),
    RouteSpec(name="two", model="claude"),
    RouteSpec(name="three", model="gemini"),
)


@clause("DEFER-1")
async def test_a_deferred_run_goes_back_in_front_when_the_time_it_names_is_over(storage: Storage, clock: Clock) -> None:
    run = await start(storage)
    await enqueue_one(storage, "other")
    assert (await end(storage, run, LATER)).state is S.SCHEDULED

    record = await get_one(storage)
    assert (record.lane, record.due_ms, record.failures, record.stalls) == (Lane.RETURNED, clock() + 500, 0, 0)
    assert (record.deferred_at_ms, record.events) == (clock(), 3)
    clock.advance_ms(500)
    again = await claim_one(storage)
    assert (again.id, again.fence, again.attempt) == ("job", 2, 1)


@clause("DEFER-1")
async def test_what_the_provider_said_is_written_down_and_counts_as_no_failure(storage: Storage, clock: Clock) -> None:
    run = await start(storage, max_attempts=1)
    clock.advance_ms(7)
    await end(storage, run, LATER)

    (error,) = (await get_one(storage)).errors
    told = replace(error, fingerprint="")
    assert told == replace(REFUSED, at_ms=clock(), fence=1, attempt=1)


@clause("DEFER-1")
@pytest.mark.parametrize(
    ("delay_ms", "state", "due"), [(0, S.READY, None), (-5, S.READY, None), (10**15, S.SCHEDULED, MAX_DELAY_MS)]
)
async def test_the_delay_of_a_deferral_is_kept_in_its_bounds(
    storage: Storage, clock: Clock, delay_ms: int, state: State, due: int | None
) -> None:
    run = await start(storage)
    await end(storage, run, Deferred(REFUSED, delay_ms))

    record = await get_one(storage)
    assert (record.state, record.lane) == (state, Lane.RETURNED)
    assert record.due_ms == (None if due is None else clock() + due)


@clause("DEFER-1", "LIMIT-10")
async def test_the_limits_of_a_deferred_run_are_paused_in_the_same_step(storage: Storage) -> None:
    await storage.put_limits([tokens("gpt"), tokens("claude")])
    run = await start(storage, limits=GPT, estimate=need(1_000))
    throttles = (Throttle(limit="gpt", tokens=1_000, retry_after_ms=300), Throttle(limit="ghost", retry_after_ms=1))
    await end(storage, run, Deferred(REFUSED, 500, throttles))

    status = await the_limit(storage)
    assert (status.tokens_left, status.frozen_ms, status.pace) == (700, 300, 900)
    assert (await the_limit(storage, "claude")).frozen_ms == 0


@clause("DEFER-1", "LIMIT-14")
async def test_a_deferral_pauses_the_part_of_a_limit_that_its_job_takes(storage: Storage) -> None:
    await storage.put_limits([tokens("tenant", by="tenant"), tokens("key", by="key")])
    run = await start(storage, limits=("tenant", "key"), estimate=need(10), tenant="acme", key="k")
    await end(
        storage, run, Deferred(REFUSED, 0, tuple(Throttle(limit=name, retry_after_ms=300) for name in run.limits))
    )

    assert [(await the_limit(storage, name, key)).frozen_ms for name, key in (("tenant", "acme"), ("key", "k"))] == [
        300
    ] * 2
    keyless = await start(storage, "keyless", queue="other", limits=("key",), estimate=need(10))
    before = await storage.get_limits()
    await end(storage, keyless, Deferred(REFUSED, 0, (Throttle(limit="key", retry_after_ms=900),)))
    assert await storage.get_limits() == before


@clause("DEFER-1")
async def test_a_deferral_sent_again_pauses_nothing_twice(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    run = await start(storage)
    told = Settlement(run.lease, "once", Deferred(REFUSED, 500, (Throttle(limit="gpt", retry_after_ms=10),)))
    first = await storage.exchange([told])
    clock.advance_ms(10)
    again = await storage.exchange([told])

    assert again.settled == first.settled
    status = await the_limit(storage)
    assert (status.frozen_ms, status.pace) == (0, 900)


async def defer(storage: Storage, clock: Clock, outcome: Deferred = LATER) -> State:
    """Run the job once more, and let it be deferred."""
    clock.set_ms(max(clock(), (await get_one(storage)).due_ms or 0))
    return (await end(storage, await claim_one(storage), outcome)).state


@clause("DEFER-2")
async def test_a_job_may_be_deferred_for_so_long_and_no_longer(storage: Storage, clock: Clock) -> None:
    await enqueue_one(storage, max_deferral_ms=1_500)
    began_at = clock()
    seen = [await defer(storage, clock) for _ in range(3)]
    assert (seen, clock() - began_at) == ([S.SCHEDULED] * 3, 1_000)
    assert (await get_one(storage)).deferred_at_ms == began_at

    # The fourth is claimed when 1,500 ms are over, to the ms.
    assert await defer(storage, clock) is S.DEAD
    record = await get_one(storage)
    assert (record.cause, record.finished_at_ms) == (Cause.RATE_LIMITED, began_at + 1_500)
    assert len(record.errors) == 4


@clause("DEFER-2")
async def test_a_ms_before_that_it_is_deferred_once_more(storage: Storage, clock: Clock) -> None:
    await enqueue_one(storage, max_deferral_ms=501)
    assert [await defer(storage, clock) for _ in range(3)] == [S.SCHEDULED, S.SCHEDULED, S.DEAD]


@clause("DEFER-2")
async def test_a_call_that_was_settled_begins_the_time_anew(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    await enqueue_one(storage, max_deferral_ms=600)
    await defer(storage, clock)
    clock.advance_ms(500)
    run = await claim_one(storage)
    await open_call(storage, run, 1, need(10), "gpt")
    await tell(storage, run, 1, used=Usage(input=10))
    assert (await get_one(storage)).deferred_at_ms is None

    assert (await end(storage, run, LATER)).state is S.SCHEDULED
    assert (await get_one(storage)).deferred_at_ms == clock()
    assert [await defer(storage, clock) for _ in range(2)] == [S.SCHEDULED, S.DEAD]


@clause("DEFER-2")
async def test_a_call_that_was_refused_too_does_not(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    await enqueue_one(storage, max_deferral_ms=600)
    await defer(storage, clock)
    clock.advance_ms(600)
    run = await claim_one(storage)
    await open_call(storage, run, 1, need(10), "gpt")
    await tell(storage, run, 1, CallState.THROTTLED, retry_after_ms=1)
    assert (await end(storage, run, LATER)).state is S.DEAD


@clause("DEFER-3", "ROUTE-4")
async def test_a_run_whose_route_is_closed_goes_on_with_the_next_at_once(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    run = await start(storage, routes=ROUTES, max_attempts=1)
    assert (await end(storage, run, CLOSED)).state is S.READY

    record = await get_one(storage)
    assert (record.route, record.closed_routes, record.lane, record.failures) == (1, 0b001, Lane.RETURNED, 0)
    assert (record.model, record.taken_limits, record.deferred_at_ms) == ("claude", (), None)
    assert (await claim_one(storage)).route == 1


@clause("DEFER-3")
async def test_a_run_without_an_open_route_is_held_for_its_quota(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    await enqueue_one(storage, routes=ROUTES)
    seen = [await defer(storage, clock, CLOSED) for _ in range(3)]

    record = await get_one(storage)
    assert seen == [S.READY, S.READY, S.HELD]
    assert (record.held, record.closed_routes, record.failures) == (HeldFor.QUOTA, 0b111, 0)
    assert (await offered(storage))[0] == []


@clause("DEFER-3")
async def test_a_run_of_a_job_without_routes_is_held_for_its_quota(storage: Storage) -> None:
    run = await start(storage)
    assert (await end(storage, run, CLOSED)).state is S.HELD
    assert (await get_one(storage)).held is HeldFor.QUOTA


@clause("DEFER-3", "HOLD-3")
async def test_letting_go_opens_the_routes_again(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    await enqueue_one(storage, routes=ROUTES[:2])
    for _ in range(2):
        await defer(storage, clock, CLOSED)
    await storage.unhold(["job"])

    record = await get_one(storage)
    assert (record.state, record.closed_routes, record.lane) == (S.READY, 0, Lane.RETURNED)
    assert await defer(storage, clock, CLOSED) is S.READY


@clause("DEFER-1", "CANCEL-4")
@pytest.mark.parametrize("outcome", [LATER, CLOSED])
async def test_a_run_that_was_asked_to_stop_and_is_deferred_is_cancelled(storage: Storage, outcome: Deferred) -> None:
    run = await start(storage)
    await storage.cancel(["job"])
    assert (await end(storage, run, outcome)).state is S.CANCELLED


@clause("DEFER-1", "LEASE-5")
async def test_a_run_may_defer_late_and_begins_nothing_by_it(storage: Storage, clock: Clock) -> None:
    run = await start(storage, lease_ms=HOUR_MS)
    clock.advance_ms(HOUR_MS)
    settled = await end(storage, run, LATER)
    assert (settled.state, settled.late) == (S.SCHEDULED, True)
