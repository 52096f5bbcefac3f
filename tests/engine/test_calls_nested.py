"""Calls that are asked for inside of other ones: they hold and wait, so they give up, or are refused."""

import asyncio

import pytest

import aiq
from aiq.context.calls import NESTED_WAIT_S
from aiq.engine.calls import JITTER
from aiq.model import CallState, Cause, Deferred, LimitSpec, State
from tests.engine.booked import Booked, wait
from tests.engine.calling import USED, run, task
from tests.engine.world import START_MS, World, virtually


def passed_s(world: World) -> float:
    return (world.clock() - START_MS) / 1000


async def all_succeed(world: World, jobs: list[str]) -> None:
    for job in jobs:
        await world.until(job, State.SUCCEEDED, State.DEAD)
    assert {await world.state(job) for job in jobs} == {State.SUCCEEDED}
    assert {(await world.get(job)).failures for job in jobs} == {0}


@virtually
async def test_runs_whose_calls_hold_and_wait_for_each_other_get_out_of_it(world: World) -> None:
    await world.storage.put_limits([LimitSpec(name="pair", concurrency=2)])

    @aiq.task(limits=["pair"])
    async def nests(ctx: aiq.Context) -> None:
        async with ctx.call() as outer:
            await asyncio.sleep(0.3)
            async with ctx.call() as inner:
                inner.settle(USED)
            outer.settle(USED)

    jobs = await world.enqueue(nests.job(), nests.job())
    worker = await world.start(nests)
    await all_succeed(world, jobs)

    assert passed_s(world) < 2 * NESTED_WAIT_S
    await worker.stop()
    assert (await world.storage.get_limits(["pair"]))[0].running == 0
    await world.clean()


@virtually
async def test_runs_that_take_two_limits_crosswise_get_out_of_it(world: World) -> None:
    await world.storage.put_limits([LimitSpec(name="a", concurrency=1), LimitSpec(name="b", concurrency=1)])

    @aiq.task
    async def crosses(ctx: aiq.Context, first: str, second: str) -> None:
        async with ctx.call(first) as outer:
            await asyncio.sleep(0.3)
            async with ctx.call(second) as inner:
                inner.settle(USED)
            outer.settle(USED)

    jobs = await world.enqueue(crosses.job("a", "b"), crosses.job("b", "a"))
    worker = await world.start(crosses)
    await all_succeed(world, jobs)

    assert passed_s(world) < 2 * NESTED_WAIT_S
    await worker.stop()
    await world.clean()


@virtually
@pytest.mark.parametrize("patience_s", [None, 5, NESTED_WAIT_S])
async def test_a_nested_call_that_has_waited_long_enough_gives_its_job_back(
    world: World, patience_s: float | None
) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        if booked.outcomes:
            return
        async with ctx.call("outer") as outer:
            outer.report(USED)
            booked.answer(*[wait(300_000, "inner")] * 80)
            async with ctx.call("inner", wait=patience_s):
                booked._answers.clear()

    if patience_s is None:
        await run(world, handler)
        assert passed_s(world) > 2 * NESTED_WAIT_S
        assert booked.closed() == [CallState.SETTLED] * 2
        return
    job = await run(world, handler)

    [outcome] = booked.outcomes
    assert isinstance(outcome, Deferred)
    assert (outcome.error.cause, outcome.throttles) == (Cause.RATE_LIMITED, ())
    assert '"inner"' in outcome.error.message
    last = {report.call: report for report in booked.told}
    assert (last[1].state, last[1].used, last[2].state) == (CallState.SETTLED, (USED,), CallState.UNSENT)
    assert patience_s <= passed_s(world) <= patience_s * (1 + 1 / JITTER) + 0.01
    assert (await world.get(job)).failures == 0


@virtually
async def test_a_call_beside_another_one_waits_for_as_long_as_it_takes(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async def long() -> None:
            async with ctx.call("outer") as call:
                await asyncio.sleep(500)
                call.settle(USED)

        async def waits() -> None:
            await asyncio.sleep(1)
            booked.answer(*[wait(300_000)] * 40)
            async with ctx.call("inner", wait=1) as call:
                call.settle(USED)

        await asyncio.gather(long(), waits())

    job = await run(world, handler)

    assert await world.state(job) is State.SUCCEEDED
    assert passed_s(world) > 2 * NESTED_WAIT_S


@virtually
async def test_a_call_in_a_task_started_inside_of_another_is_inside_of_it_until_that_ends(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async def ask() -> None:
            async with ctx.call("inner") as call:
                call.settle(USED)

        async with ctx.call("outer") as outer:
            await asyncio.create_task(ask())
            later = asyncio.create_task(ask())
            outer.settle(USED)
        await later
        await ask()

    await run(world, handler)

    assert [(asked.number, asked.inside) for asked in booked.asked] == [(1, ()), (2, (1,)), (3, ()), (4, ())]


@virtually
async def test_a_call_whose_outer_one_ends_while_it_waits_gives_up_no_more(world: World) -> None:
    booked = Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async def ask() -> None:
            async with ctx.call("inner", wait=10) as call:
                call.settle(USED)

        async with ctx.call("outer") as outer:
            booked.answer(*[wait(300_000)] * 40)
            asking = asyncio.create_task(ask())
            await asyncio.sleep(5)
            outer.settle(USED)
        await asking

    job = await run(world, handler)

    assert await world.state(job) is State.SUCCEEDED
    assert passed_s(world) > 60


@virtually
async def test_a_call_that_wants_the_unit_of_the_one_around_it_is_refused_at_once(world: World) -> None:
    await world.storage.put_limits([LimitSpec(name="single", concurrency=1)])

    @aiq.task(limits=["single"], retry=aiq.Retry(attempts=5))
    async def nests(ctx: aiq.Context) -> None:
        async with ctx.call(), ctx.call():
            pass

    [job] = await world.enqueue(nests.job())
    await world.drain(nests)

    record = await world.get(job)
    assert (record.state, record.fence, passed_s(world)) == (State.DEAD, 1, 0)
    assert "would wait for itself" in record.errors[-1].message


@virtually
async def test_calls_beside_each_other_share_the_units_of_a_limit(world: World) -> None:
    await world.storage.put_limits([LimitSpec(name="pair", concurrency=2)])

    @aiq.task
    async def fans_out(ctx: aiq.Context) -> None:
        async def ask() -> None:
            async with ctx.call("pair") as call:
                await asyncio.sleep(100)
                call.settle(USED)

        await asyncio.gather(*[ask() for _ in range(6)])

    [job] = await world.enqueue(fans_out.job())
    await world.drain(fans_out)

    record = await world.get(job)
    assert (record.state, record.fence) == (State.SUCCEEDED, 1)
    assert 300 <= passed_s(world) < 400


@virtually
async def test_a_time_to_wait_that_cannot_be_is_refused(world: World) -> None:
    Booked(world)

    async def handler(ctx: aiq.Context) -> None:
        async with ctx.call("gpt", wait=float("nan")):
            pass

    job = await run(world, task(handler))

    assert "wait is nan" in (await world.get(job)).errors[-1].message
