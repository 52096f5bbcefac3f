"""Runs that wait for room on a limit lend their slots to others."""

import asyncio
from random import Random
from typing import Any

import pytest

import aiq
from aiq.engine.calls import LEND_AFTER_MS
from aiq.engine.slots import LENT_AT_LEAST, Slots
from aiq.model import Admitted, CallState, State, Usage
from aiq.storage import claim
from aiq.testing.actions import wish
from tests.engine.booked import Booked, wait
from tests.engine.handlers import double
from tests.engine.world import START_MS, World, virtually


@aiq.task(name="calls", retry=aiq.Retry(attempts=1))
async def calls(ctx: aiq.Context, seconds: float = 0.0) -> str:
    async with ctx.call("gpt", max_output=20) as call:
        await asyncio.sleep(seconds)
        call.settle(Usage(input=1))
    return "called"


def passed_s(world: World) -> float:
    return (world.clock() - START_MS) / 1000


@virtually
async def test_a_run_that_waits_lends_its_slot_after_a_second_and_takes_it_back(world: World) -> None:
    booked = Booked(world)
    booked.answer(*[wait(None)] * 100)
    [waits] = await world.enqueue(calls.job(10))
    worker = await world.start(calls, double, slots=1)
    await asyncio.sleep(0.2)
    [other] = await world.enqueue(double.job(1))
    await world.until(other, State.SUCCEEDED)
    assert passed_s(world) == LEND_AFTER_MS / 1000

    booked._answers.clear()
    booked.wake("gpt")
    await asyncio.sleep(1)
    [late] = await world.enqueue(double.job(1))
    admitted_s = passed_s(world)
    await world.until(late, State.SUCCEEDED)

    # The slot is the run's own again, until it ends.
    assert passed_s(world) - admitted_s >= 9
    assert await world.state(waits) is State.SUCCEEDED
    await worker.stop()


@virtually
@pytest.mark.parametrize("refusals", [2, 5])
async def test_a_run_that_does_not_wait_any_more_lends_nothing(world: World, refusals: int) -> None:
    booked = Booked(world)

    @aiq.task
    async def works_on(ctx: aiq.Context) -> None:
        async with ctx.call("gpt") as call:
            call.settle(Usage(input=1))
        await asyncio.sleep(30)

    booked.answer(*[wait(900)] * refusals)
    await world.enqueue(works_on.job())
    worker = await world.start(works_on, double, slots=1)
    await asyncio.sleep(5)
    assert booked.closed() == [CallState.SETTLED]
    [other] = await world.enqueue(double.job(1))
    await world.until(other, State.SUCCEEDED)

    assert passed_s(world) >= 30
    await worker.stop()


@virtually
async def test_a_run_that_works_on_one_call_lends_nothing_though_another_waits(world: World) -> None:
    booked = Booked(world)

    @aiq.task
    async def both(ctx: aiq.Context) -> None:
        async with ctx.call("gpt") as outer:
            outer.settle(Usage(input=1))
            async with ctx.call("other") as inner:
                inner.settle(Usage(input=1))

    booked.answer(Admitted(max_output=1), *[wait(20_000)] * 100)
    await world.enqueue(both.job())
    worker = await world.start(both, double, slots=1, grace_ms=0)
    await asyncio.sleep(0.1)
    [other] = await world.enqueue(double.job(1))
    await asyncio.sleep(30)

    assert await world.state(other) is State.READY
    await worker.stop()


@virtually
@pytest.mark.parametrize(("slots", "lent"), [(1, LENT_AT_LEAST), (LENT_AT_LEAST + 1, LENT_AT_LEAST + 1)])
async def test_no_more_slots_are_lent_than_there_are_or_a_few(world: World, slots: int, lent: int) -> None:
    booked = Booked(world)
    booked.answer(*[wait(None)] * 100_000)
    await world.enqueue(*[calls.job() for _ in range(50)])
    worker = await world.start(calls, slots=slots)
    await asyncio.sleep(60)

    assert worker.statistics.running == slots + lent
    booked._answers.clear()
    booked.wake("gpt")
    await world.until("job-50", State.SUCCEEDED)
    await asyncio.sleep(1)
    assert worker.statistics.running == 0
    assert worker.engine._slots._free == {"default": slots}
    await worker.stop()


@virtually
async def test_a_worker_of_one_slot_does_other_work_while_several_of_its_calls_wait(world: World) -> None:
    booked = Booked(world)
    booked.answer(*[wait(None)] * 100_000)
    await world.enqueue(*[calls.job() for _ in range(LENT_AT_LEAST)])
    worker = await world.start(calls, double, slots=1)
    await asyncio.sleep(60)
    began_s = passed_s(world)
    [other] = await world.enqueue(double.job(1))
    await world.until(other, State.SUCCEEDED)

    assert passed_s(world) == began_s
    booked._answers.clear()
    booked.wake("gpt")
    await worker.stop()


async def some_run(world: World, queue: str) -> Any:
    await world.enqueue(double.job(1).using(queue=queue))
    sent_ms = world.clock()
    [record] = await claim(world.storage, wish(world._count, queue))
    return world.engine(double).begin(record, sent_ms)


@virtually
async def test_a_queue_with_more_runs_than_places_asks_for_none_however_many_may_come_ahead(world: World) -> None:
    slots = Slots({"a": 1})
    lender, other = await some_run(world, "a"), await some_run(world, "a")
    slots.take(lender)
    assert slots.lend(lender)
    slots.take(other)
    slots.take_back(lender)

    assert slots.wants(lambda _: 5) == ()


@virtually
@pytest.mark.parametrize("seed", range(20))
async def test_slots_add_up_whatever_is_lent_and_taken_back(world: World, seed: int) -> None:
    rng = Random(seed)
    sizes = {"a": LENT_AT_LEAST + 4, "b": 1}
    slots = Slots(sizes)
    waiting = {queue: [await some_run(world, queue) for _ in range(25)] for queue in sizes}
    running: list[Any] = []
    for _ in range(300):
        for want in slots.wants(lambda _: 0):
            if waiting[want.queue] and rng.random() < 0.5:
                running.append(waiting[want.queue].pop())
                slots.take(running[-1])
        if running:
            run = rng.choice(running)
            act = rng.choice([slots.lend, slots.lend, slots.take_back, slots.give_back])
            act(run)
            if act == slots.give_back:
                running.remove(run)
                waiting[run.record.queue].append(run)
        for idle in waiting.values():
            assert not (idle and slots.lend(idle[0])), "what does not run has nothing to lend"
        for queue, size in sizes.items():
            there = [run for run in running if run.record.queue == queue]
            lent = [run for run in there if run in slots._lent]
            assert slots._free[queue] == size - len(there) + len(lent)
            assert len(lent) <= max(size, LENT_AT_LEAST)
            assert len(there) <= size + max(size, LENT_AT_LEAST)
    for run in running:
        slots.give_back(run)
        slots.take_back(run)
    assert slots._free == sizes
    assert not slots._lent
    async with asyncio.timeout(1):
        await slots.empty()
