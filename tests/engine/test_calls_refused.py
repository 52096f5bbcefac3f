"""What a run says of calls that failed, and what becomes of its job."""

import asyncio
import logging

import pytest

import aiq
import aiq.testing
from aiq.model import (
    CallState,
    Cause,
    Deferred,
    Died,
    State,
    Usage,
)
from tests.engine.booked import Booked
from tests.engine.calling import GPT, USED, Answered, run, task
from tests.engine.world import World, virtually


@virtually
async def test_a_call_that_is_throttled_after_its_block_pauses_its_limits_with_the_job(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT, "team") as call:
            call.settle(USED)
        raise call.throttled(retry_after=2)

    await run(world, handler)

    assert booked.closed() == [CallState.SETTLED]
    [outcome] = booked.outcomes
    assert isinstance(outcome, Deferred)
    assert [throttle.limit for throttle in outcome.throttles] == ["gpt", "team"]


@virtually
async def test_a_429_gives_the_job_back_without_an_attempt_and_pauses_its_limits_once(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        if booked.outcomes:
            return
        async with ctx.call(GPT):
            raise Answered(429, {"retry-after": "20"})

    job = await run(world, handler)
    record = await world.get(job)
    assert (record.state, record.failures) == (State.SCHEDULED, 0)

    [report] = booked.told
    assert (report.state, report.used, report.retry_after_ms) == (CallState.THROTTLED, (), 20_000)
    [outcome] = booked.outcomes
    assert isinstance(outcome, Deferred)
    assert 20_000 <= outcome.delay_ms <= 22_000
    assert (outcome.throttles, outcome.close_route) == ((), False)
    assert outcome.error.cause is Cause.RATE_LIMITED


@virtually
async def test_what_a_429_becomes_tells_where_it_comes_from(world: World) -> None:
    Booked(world)
    caught: list[BaseException] = []

    async def handler(ctx: aiq.Context) -> None:
        try:
            async with ctx.call(GPT, "team"):
                raise Answered(429, {"retry-after-ms": "1500"})
        except aiq.RateLimited as error:
            caught.append(error)

    job = await run(world, handler)

    [error] = caught
    assert isinstance(error, aiq.RateLimited)
    assert (error.retry_after, error.limits, error.reported) == (1.5, ("gpt", "team"), True)
    assert isinstance(error.__cause__, Answered)
    assert await world.state(job) is State.SUCCEEDED


@virtually
async def test_a_call_that_is_said_to_be_throttled_is(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT) as call:
            raise call.throttled(retry_after=2.0)

    await run(world, handler)

    assert [(report.state, report.retry_after_ms) for report in booked.told] == [(CallState.THROTTLED, 2_000)]
    [outcome] = booked.outcomes
    assert isinstance(outcome, Deferred)
    assert (outcome.throttles, 2_000 <= outcome.delay_ms <= 2_200) == ((), True)


@virtually
async def test_a_handler_may_go_on_after_a_throttled_call(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> str:
        async with ctx.call(GPT) as call:
            call.throttled(error=Answered(429, {"retry-after": "3"}))
        return "from the cache"

    job = await run(world, handler)

    assert [(report.state, report.retry_after_ms) for report in booked.told] == [(CallState.THROTTLED, 3_000)]
    assert await world.state(job) is State.SUCCEEDED


@virtually
async def test_a_time_that_cannot_be_is_refused_where_it_is_given(world: World) -> None:
    Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT) as call:
            raise call.throttled(retry_after=float("nan"))

    job = await run(world, handler)

    assert "retry_after is nan" in (await world.get(job)).errors[-1].message


@virtually
@pytest.mark.parametrize("by_hand", [False, True])
async def test_a_spent_quota_closes_the_route_and_is_no_rate_signal(world: World, by_hand: bool) -> None:
    booked = Booked(world)
    spent = Answered(429, text="insufficient_quota")

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT) as call:
            raise call.throttled(error=spent) if by_hand else spent

    await run(world, handler)

    assert booked.closed() == [CallState.UNSENT]
    [outcome] = booked.outcomes
    assert isinstance(outcome, Deferred)
    assert (outcome.close_route, outcome.delay_ms, outcome.throttles) == (True, 0, ())


@virtually
async def test_an_error_that_the_handler_makes_of_a_429_itself_is_told_the_same_way(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT):
            raise aiq.RateLimited(retry_after=4, limits=["gpt"])

    await run(world, handler)

    assert [(report.state, report.retry_after_ms) for report in booked.told] == [(CallState.THROTTLED, 4_000)]
    assert isinstance(booked.outcomes[0], Deferred)
    assert booked.outcomes[0].throttles == ()


@virtually
async def test_a_429_among_the_errors_of_a_group_throttles_and_lets_the_group_pass(world: World) -> None:
    booked, others = Booked(world), list[BaseException]()

    async def handler(ctx: aiq.Context) -> None:
        try:
            async with ctx.call(GPT):
                raise ExceptionGroup("both", [ValueError("other"), Answered(429, {"retry-after": "5"})])
        except* ValueError as group:
            others.extend(group.exceptions)

    await run(world, handler)

    assert [str(error) for error in others] == ["other"]

    assert booked.closed() == [CallState.THROTTLED]
    [outcome] = booked.outcomes
    assert isinstance(outcome, Deferred)
    assert 5_000 <= outcome.delay_ms <= 5_500


@virtually
async def test_a_429_of_an_inner_call_says_nothing_of_the_outer_one(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call("outer", model="m") as outer:
            outer.report(USED)
            async with ctx.call("inner"):
                raise Answered(429)

    await run(world, handler)

    ends = {report.call: report for report in booked.told}
    assert (ends[1].state, ends[1].used) == (CallState.SETTLED, (USED,))
    assert ends[2].state is CallState.THROTTLED


@virtually
@pytest.mark.parametrize("status", [400, 401, 404, 500, 503, 529])
async def test_a_call_that_was_answered_with_an_error_has_used_its_request_and_nothing_else(
    world: World, status: int
) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT, model="m"):
            raise Answered(status)

    await run(world, handler)

    assert [(report.state, report.used) for report in booked.told] == [(CallState.SETTLED, (Usage("m"),))]
    assert isinstance(booked.outcomes[0], aiq.model.Retried | Died)


@virtually
@pytest.mark.parametrize("error", [ValueError("a bug"), ConnectionError(), Answered(504), Answered(408)])
async def test_what_a_call_used_that_was_not_answered_is_left_to_its_estimate(world: World, error: Exception) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT):
            raise error

    await run(world, handler)

    assert [(report.state, report.used) for report in booked.told] == [(CallState.SETTLED, ())]


@virtually
@pytest.mark.parametrize("error", [ValueError("a bug"), Answered(500), TimeoutError()])
async def test_what_was_reported_counts_however_the_call_ends(world: World, error: Exception) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT, model="m") as call:
            call.report(USED)
            raise error

    await run(world, handler)

    assert (booked.told[-1].state, booked.told[-1].used) == (CallState.SETTLED, (USED,))


@virtually
async def test_a_settled_call_stays_settled_when_something_fails_after_it(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT, model="m") as call:
            call.settle(USED)
            raise Answered(429, {"retry-after": "1"})

    await run(world, handler)

    assert [(report.state, report.used) for report in booked.told] == [(CallState.SETTLED, (USED,))]
    assert isinstance(booked.outcomes[0], Deferred)


@virtually
async def test_a_call_that_is_cancelled_under_way_has_used_what_was_reported(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        try:
            async with asyncio.timeout(5), ctx.call(GPT, model="m") as call:
                call.report(USED)
                await asyncio.sleep(60)
        except TimeoutError:
            pass

    job = await run(world, handler)

    assert (booked.told[-1].state, booked.told[-1].used) == (CallState.SETTLED, (USED,))
    assert await world.state(job) is State.SUCCEEDED


@virtually
async def test_a_429_that_no_call_told_of_pauses_the_limits_that_it_names(world: World) -> None:
    booked = Booked(world)

    async def handler() -> None:
        raise aiq.RateLimited(retry_after=3, limits=["gpt"])

    await run(world, handler)

    [outcome] = booked.outcomes
    assert isinstance(outcome, Deferred)
    [throttle] = outcome.throttles
    assert (throttle.limit, throttle.tokens, throttle.retry_after_ms) == ("gpt", 0, 3_000)


@virtually
async def test_deferrals_are_counted_apart(world: World, caplog: pytest.LogCaptureFixture) -> None:
    Booked(world)
    caplog.set_level(logging.INFO)

    async def handler() -> None:
        raise aiq.RateLimited(retry_after=3)

    made = task(handler)
    await world.enqueue(made.job())
    statistics = await world.drain(made)

    assert (statistics.deferred, statistics.failed, statistics.parked, statistics.released) == (1, 0, 0, 0)
    assert "The run is deferred, it comes back in 3." in caplog.text
