"""Calls that may not be made, and runs that end or lose their jobs around them."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

import aiq
import aiq.testing
from aiq.errors import LeaseLost, LostReason
from aiq.model import (
    CallState,
    Cause,
    Deferred,
    Exceeded,
    Held,
    HeldFor,
    OnExceeded,
    Refused,
    Reported,
    RouteSpec,
    State,
    Succeeded,
)
from tests.engine.booked import Booked
from tests.engine.calling import GPT, USED, run, task
from tests.engine.world import World, virtually


def exceeded(what: OnExceeded) -> Exceeded:
    return Exceeded(budget="team", on_exceeded=what, need={"tokens": 30}, text="Budget team has 4 tokens left.")


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
@pytest.mark.parametrize("wrong", [7, None, "no such name!"])
async def test_what_is_no_limit_is_refused_before_anything_is_asked(world: World, wrong: Any) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call(wrong):
            pass

    job = await run(world, handler)

    assert await world.state(job) is State.DEAD
    assert booked.asked == []


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
