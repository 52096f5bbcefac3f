"""What a run asks for and says of its calls."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

import aiq
import aiq.testing
from aiq.bounds import MAX_LIMITS
from aiq.model import (
    Admitted,
    CallState,
    Remaining,
    State,
    Usage,
)
from tests.engine.booked import Booked
from tests.engine.calling import GPT, USED, run, task
from tests.engine.world import World, virtually


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
async def test_a_limit_that_is_named_twice_is_refused_before_anything_is_asked(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(GPT, "gpt"):
            raise AssertionError("admitted")

    job = await run(world, handler)

    assert "name one twice" in (await world.get(job)).errors[-1].message
    assert not [trip for trip in booked.trips if trip.startswith("acquire")]


@virtually
async def test_a_model_too_many_is_refused_to_the_handler_and_what_was_said_before_counts(world: World) -> None:
    booked, refused = Booked(world), list[str]()

    async def handler(ctx: aiq.Context) -> None:
        for n in range(MAX_LIMITS):
            ctx.report(aiq.Usage(model=f"m{n}", input=1))
        with pytest.raises(aiq.TooLarge) as caught:
            ctx.report(aiq.Usage(model="another", input=1))
        refused.append(str(caught.value))

    await run(world, handler)

    assert "list of models" in refused[0]
    assert len(booked.told[-1].used) == MAX_LIMITS
