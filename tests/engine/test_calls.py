"""What a run says of its calls, whatever happens inside their blocks."""

import asyncio
import logging
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

import aiq
import aiq.testing
from aiq.errors import LeaseLost, LostReason
from aiq.model import (
    Admitted,
    CallState,
    Cause,
    Deferred,
    Died,
    Exceeded,
    Held,
    HeldFor,
    OnExceeded,
    Refused,
    Remaining,
    Reported,
    RouteSpec,
    State,
    Succeeded,
    Usage,
)
from tests.engine.booked import Booked
from tests.engine.world import World, virtually

GPT = SimpleNamespace(name="gpt")
USED = Usage("m", input=9, output=18)


class Answered(Exception):
    def __init__(self, status: int, headers: dict[str, str] | None = None, text: str = "no") -> None:
        super().__init__(text)
        self.status_code, self.headers = status, headers or {}


def task(handler: Any, **options: Any) -> Any:
    return aiq.task(retry=aiq.Retry(attempts=1), **options)(handler)


async def run(world: World, handler: Any, **settings: Any) -> str:
    """Run a job of a handler until nothing is left to do."""
    made = handler if isinstance(handler, aiq.Task) else task(handler)
    [job] = await world.enqueue(made.job())
    await world.drain(made, **settings)
    return job


@virtually
async def test_a_call_is_asked_for_as_it_was_declared(world: World) -> None:
    booked, seen = Booked(world), list[Any]()

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT, "team", input=10, output=15, max_output=20, min_output=5, model="m") as call:
            seen.extend([call.number, call.model, call.max_output])
            call.settle(USED)

    booked.answer(Admitted(max_output=12))
    await run(world, handler)

    [request] = booked.asked
    assert request.limits == ("gpt", "team")
    assert request.estimate == aiq.Estimate(input=10, output=15, max_output=20, min_output=5, model="m")
    assert seen == [request.number, "m", 12]


@virtually
async def test_a_call_without_a_model_is_one_of_the_jobs(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        assert ctx.estimate is not None
        assert ctx.route is None
        async with ctx.call(GPT) as call:
            call.settle(aiq.Usage(input=1))

    made = task(handler)
    [job] = await world.enqueue(made.job().using(estimate=aiq.Estimate(model="m2")))
    await world.drain(made)

    assert await world.state(job) is State.SUCCEEDED
    assert booked.asked[0].estimate.model == "m2"
    assert booked.told[0].used == (Usage("m2", input=1),)


@virtually
async def test_what_a_call_has_used_is_told_before_its_job_ends(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT, model="m") as call:
            call.settle(USED)

    await run(world, handler)

    [report] = booked.told
    assert (report.call, report.state, report.used) == (1, CallState.SETTLED, (USED,))
    assert booked.trips[-2:] == ["report 1", "settle"]


@virtually
async def test_a_response_is_settled_by_its_usage_and_headers_under_the_model_that_was_admitted(world: World) -> None:
    booked = Booked(world)
    response = {"model": "m-2026-08-01", "usage": {"prompt_tokens": 9, "completion_tokens": 18}}

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT, "team", model="m") as call:
            call.settle(response, headers={"X-RateLimit-Remaining-Tokens": "700"})

    await run(world, handler)

    [report] = booked.told
    assert report.used == (USED,)
    assert report.remaining == (Remaining(limit="gpt", tokens=700),)


@virtually
async def test_headers_are_read_from_a_response_that_has_them(world: World) -> None:
    booked = Booked(world)
    usage = {"prompt_tokens": 9, "completion_tokens": 18}
    response = SimpleNamespace(usage=usage, headers={"anthropic-ratelimit-requests-remaining": "3"})

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT) as call:
            call.settle(response)

    await run(world, handler)

    assert booked.told[0].remaining == (Remaining(limit="gpt", requests=3),)


@virtually
async def test_use_so_far_is_told_while_the_call_is_open(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT, model="m") as call:
            for output in (5, 10):
                call.report(aiq.Usage(input=9, output=output))
                await asyncio.sleep(1)

    await run(world, handler)

    assert [(report.state, report.used) for report in booked.told] == [
        (CallState.OPEN, (Usage("m", input=9, output=5),)),
        (CallState.OPEN, (Usage("m", input=9, output=10),)),
        (CallState.SETTLED, (Usage("m", input=9, output=10),)),
    ]


@virtually
async def test_a_call_that_nobody_spoke_of_is_left_to_its_estimate_and_warned_of_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        for _ in range(3):
            async with ctx.call(GPT):
                pass

    await run(world, handler)

    assert [(report.state, report.used) for report in booked.told] == [(CallState.SETTLED, ())] * 3
    assert sum("nobody said what it used" in record.message for record in caplog.records) == 1


@virtually
async def test_a_call_that_failed_or_told_something_is_not_warned_of(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT) as call:
            call.report(USED)
        async with ctx.call(GPT):
            raise ValueError("a bug")

    await run(world, handler)

    assert "nobody said" not in caplog.text


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
async def test_what_a_worker_is_told_at_its_very_end_still_goes_out(world: World) -> None:
    booked = Booked(world)
    late: list[asyncio.Task[None]] = []

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT, model="m") as call:
            pass

        async def correct() -> None:
            await asyncio.sleep(0.01)
            call.settle(USED)

        late.append(asyncio.create_task(correct()))

    gate = asyncio.Event()
    made = task(handler)
    await world.enqueue(made.job())
    worker = await world.start(made)
    await asyncio.sleep(0.005)
    world.faults.plan(aiq.testing.Delay("report", gate))
    asyncio.get_running_loop().call_later(1, gate.set)
    await asyncio.sleep(0.01)
    await worker.stop()

    assert [report.used for report in booked.told] == [(), (USED,)]


@virtually
async def test_what_is_settled_after_its_block_corrects_the_estimate(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT, model="m") as call:
            pass
        await asyncio.sleep(1)
        call.settle(USED)

    await run(world, handler)

    assert [report.used for report in booked.told] == [(), (USED,)]
    assert booked.closed() == [CallState.SETTLED] * 2


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
async def test_two_calls_at_once_have_numbers_of_their_own(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async def one(size: int) -> None:
            async with ctx.call(GPT, model="m") as call:
                await asyncio.sleep(1)
                call.settle(aiq.Usage(input=size))

        await asyncio.gather(one(1), one(2))

    await run(world, handler)

    assert booked.trips == ["acquire 2", "report 2", "settle"]
    assert {report.call: report.used[0].tokens["input"] for report in booked.told} == {1: 1, 2: 2}


@virtually
async def test_a_call_in_a_step_that_is_remembered_is_not_made_again(world: World) -> None:
    booked = Booked(world)

    async def ask(ctx: aiq.Context) -> str:
        async with ctx.call(GPT) as call:
            call.settle(USED)
            return "said"

    async def handler(ctx: aiq.Context) -> None:
        await ctx.step("ask", ask, ctx)
        if len(booked.outcomes) < 2:
            raise ValueError("once more")

    made = aiq.task(retry=aiq.Retry(attempts=3, first_delay=0))(handler)
    await run(world, made)

    assert len(booked.outcomes) == 3
    assert len(booked.asked) == len(booked.told) == 1


@virtually
async def test_what_a_step_has_used_is_told_before_the_step_is_saved(world: World) -> None:
    booked = Booked(world)

    async def ask(ctx: aiq.Context) -> str:
        async with ctx.call(GPT) as call:
            call.settle(USED)
            return "said"

    async def handler(ctx: aiq.Context) -> None:
        await ctx.step("ask", ask, ctx)

    gate = asyncio.Event()
    world.faults.plan(aiq.testing.Delay("report", gate))
    made = task(handler)
    [job] = await world.enqueue(made.job())
    worker = await world.start(made)
    await asyncio.sleep(1)
    assert await world.storage.get_steps(job) == []

    gate.set()
    await world.until(job, State.SUCCEEDED)
    assert len(booked.told) == len(await world.storage.get_steps(job)) == 1
    await worker.stop()


@virtually
async def test_what_a_handler_reports_by_itself_adds_up_in_call_0(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        ctx.report(aiq.Usage(model="m", input=1, output=2))
        ctx.report(aiq.Usage(model="other", input=5))
        await asyncio.sleep(1)
        ctx.report({"model": "m", "usage": {"prompt_tokens": 10, "completion_tokens": 20}})

    await run(world, handler)

    assert [(report.call, report.state) for report in booked.told] == [(0, CallState.OPEN)] * 2
    assert booked.told[-1].used == (Usage("m", input=11, output=22), Usage("other", input=5))
    assert booked.trips[-1] == "settle"


@virtually
async def test_a_report_that_says_nothing_is_refused(world: World) -> None:
    Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        ctx.report("a lot")

    job = await run(world, handler)

    assert "pass aiq.Usage(" in (await world.get(job)).errors[-1].message


@virtually
@pytest.mark.parametrize("wrong", [7, None, "no such name!"])
async def test_what_is_no_limit_is_refused_before_anything_is_asked(world: World, wrong: Any) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(wrong):
            pass

    job = await run(world, handler)

    assert await world.state(job) is State.DEAD
    assert booked.asked == []


def exceeded(what: OnExceeded) -> Exceeded:
    return Exceeded(budget="team", on_exceeded=what, need={"tokens": 30}, text="Budget team has 4 tokens left.")


@virtually
@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (OnExceeded.HOLD, HeldFor.BUDGET),
        (OnExceeded.APPROVE, HeldFor.APPROVAL),
        (OnExceeded.DEGRADE, HeldFor.BUDGET),
    ],
)
async def test_a_call_for_which_a_budget_has_no_room_holds_its_job(
    world: World, what: OnExceeded, reason: HeldFor
) -> None:
    booked, after = Booked(world), list[str]()

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT):
            after.append("inside")
        after.append("behind")

    booked.answer(exceeded(what))
    await run(world, handler)

    assert booked.outcomes == [Held(reason=reason, by="team", need={"tokens": 30})]
    assert (after, booked.told) == ([], [])


@virtually
async def test_a_budget_that_says_fail_kills_the_job(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT):
            pass

    booked.answer(exceeded(OnExceeded.FAIL))
    job = await run(world, aiq.task(retry=aiq.Retry(attempts=5))(handler))

    record = await world.get(job)
    assert (record.state, record.cause) == (State.DEAD, Cause.BUDGET)
    assert record.errors[-1].message == "Budget team has 4 tokens left."


@virtually
async def test_a_budget_that_says_degrade_lets_the_job_take_its_next_route(world: World) -> None:
    booked, routes = Booked(world), list[str]()

    async def handler(ctx: aiq.Context) -> None:
        assert isinstance(ctx.route, RouteSpec)
        routes.append(ctx.route.name)
        async with ctx.call(GPT) as call:
            call.settle(USED)

    booked.answer(exceeded(OnExceeded.DEGRADE))
    made = task(handler)
    spec = made.job().spec(job_id="routed")
    await world.storage.enqueue([replace(spec, routes=(RouteSpec(name="dear"), RouteSpec(name="cheap")))])
    await world.drain(made)

    first, last = booked.outcomes
    assert isinstance(first, Deferred)
    assert (first.close_route, first.error.cause) == (True, Cause.BUDGET)
    assert isinstance(last, Succeeded)
    assert routes == ["dear", "cheap"]


@virtually
@pytest.mark.parametrize(
    ("kind", "error"),
    [("never_fits", "NeverFits"), ("price_unknown", "PriceUnknown"), ("unknown_limit", "UnknownLimit")],
)
async def test_a_call_that_can_never_be_admitted_is_not_tried_again(world: World, kind: str, error: str) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT):
            pass

    booked.answer(Refused(kind=kind, text="It cannot be."))
    job = await run(world, aiq.task(retry=aiq.Retry(attempts=5))(handler))

    record = await world.get(job)
    assert (record.state, record.errors[-1].type) == (State.DEAD, f"aiq.errors.{error}")
    assert record.errors[-1].message == "It cannot be."
    assert len(booked.asked) == 1


@virtually
async def test_a_budget_without_room_lets_the_steps_of_other_branches_be_saved_first(world: World) -> None:
    booked = Booked(world)

    async def slowly() -> int:
        await asyncio.sleep(5)
        return 1

    async def handler(ctx: aiq.Context) -> None:
        async def other() -> None:
            await asyncio.sleep(1)
            async with ctx.call(GPT):
                pass

        await asyncio.gather(ctx.step("slow", slowly), other())

    booked.answer(exceeded(OnExceeded.HOLD))
    job = await run(world, handler)

    assert [step.key for step in await world.storage.get_steps(job)] == ["slow"]


@virtually
async def test_a_run_that_lost_its_job_opens_no_call(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT):
            raise AssertionError("It was admitted.")

    booked.answer(LeaseLost("job-1", LostReason.TAKEN))
    worker = await world.start(task(handler))
    await world.enqueue(task(handler).job())
    await asyncio.sleep(1)

    assert (booked.outcomes, booked.told) == ([], [])
    assert worker.statistics.lost == 1
    await worker.stop()


@virtually
async def test_an_answer_to_a_report_may_ask_the_run_to_stop(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT) as call:
            call.report(USED)
            await asyncio.sleep(1_000)

    made = task(handler)
    [job] = await world.enqueue(made.job())
    booked.answer_report(Reported(cancel_requested=True))
    before_ms = world.clock()
    await world.drain(made)

    assert await world.state(job) is State.CANCELLED
    assert world.clock() - before_ms < 20_000


@virtually
async def test_an_answer_to_a_report_may_say_that_the_job_is_lost(world: World) -> None:
    booked, ended = Booked(world), list[bool]()

    async def handler(ctx: aiq.Context) -> None:
        try:
            async with ctx.call(GPT) as call:
                call.report(USED)
                await asyncio.sleep(1_000)
        finally:
            ended.append(True)

    booked.answer_report(LeaseLost("job-1", LostReason.TAKEN))
    made = task(handler)
    worker = await world.start(made)
    await world.enqueue(made.job())
    await asyncio.sleep(5)

    assert (ended, booked.outcomes) == ([True], [])
    # What it has used is told all the same.
    assert booked.closed() == [CallState.SETTLED]
    await worker.stop()


@virtually
async def test_a_run_ends_though_the_reports_of_another_cannot_be_sent(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT) as call:
            call.settle(USED)

    @aiq.task
    async def plain() -> None:
        pass

    gate = asyncio.Event()
    world.faults.plan(aiq.testing.Delay("report", gate))
    made = task(handler)
    worker = await world.start(made, plain)
    blocked, free = await world.enqueue(made.job(), plain.job())
    await world.until(free, State.SUCCEEDED)
    await asyncio.sleep(1)
    assert await world.state(blocked) is State.RUNNING

    gate.set()
    await world.until(blocked, State.SUCCEEDED)
    assert booked.trips[-2:] == ["report 1", "settle"]
    await worker.stop()


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
async def test_waiting_calls_and_their_places_are_bounded(world: World) -> None:
    booked = Booked(world)
    most, now = [0], [0]

    async def handler(ctx: aiq.Context) -> None:
        async def one() -> None:
            async with ctx.call(GPT) as call:
                now[0] += 1
                most[0] = max(most[0], now[0])
                await asyncio.sleep(1)
                call.settle(USED)
                now[0] -= 1

        await asyncio.gather(*[one() for _ in range(600)])

    job = await run(world, handler)

    assert await world.state(job) is State.SUCCEEDED
    assert most == [aiq.bounds.MAX_OPEN_CALLS]
    assert len(booked.asked) == len(booked.told) == 600


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
