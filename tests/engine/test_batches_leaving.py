"""Items that leave their batch, and handlers that are to end."""

import asyncio
import threading
from typing import Any

import pytest

import aiq
from aiq.model import Cause, State
from tests.engine.test_batches import ONCE, batches_of, passed_ms, records
from tests.engine.world import LoopKeeper, World, virtually


@virtually
async def test_an_item_that_is_cancelled_leaves_a_batch_that_has_not_begun(world: World) -> None:
    log: list[list[int]] = []
    double = batches_of(log, linger=60)
    first, second = await world.enqueue(double.job(1), double.job(2))
    worker = await world.start(double)
    await world.until(first, State.RUNNING)
    await world.storage.cancel([first], force=False)
    await world.until(first, State.CANCELLED)
    assert log == []

    await world.until(second, State.SUCCEEDED)
    await worker.stop()

    assert log == [[2]]
    await world.clean()


@virtually
async def test_a_batch_that_all_have_left_before_it_began_never_begins(world: World) -> None:
    log: list[list[int]] = []
    double = batches_of(log, linger=60)
    [job] = await world.enqueue(double.job(1))
    worker = await world.start(double)
    await world.until(job, State.RUNNING)
    await world.storage.cancel([job], force=False)
    await world.until(job, State.CANCELLED)
    await asyncio.sleep(120)
    await worker.stop()

    assert log == []


@virtually
async def test_an_item_that_is_cancelled_in_a_running_batch_is_settled_at_once_and_the_others_go_on(
    world: World,
) -> None:
    gone: list[list[bool]] = []

    @aiq.batch_task(linger=0)
    async def slow(ctx: aiq.BatchContext, numbers: list[int]) -> list[int]:
        await asyncio.sleep(100)
        gone.append([item.gone for item in ctx.items])
        return numbers

    first, second = await world.enqueue(slow.job(1), slow.job(2))
    worker = await world.start(slow, slots=2, cancel_grace_ms=1_000)
    await world.until(first, State.RUNNING)
    await world.storage.cancel([first], force=False)
    await world.until(first, State.CANCELLED)
    assert passed_ms(world) < 30_000
    assert worker.statistics.running == 1

    await world.until(second, State.SUCCEEDED)
    await worker.stop()

    assert gone == [[True, False]]
    assert (worker.statistics.stuck, worker.statistics.lost) == (0, 0)
    assert (await world.get(first)).result is None
    await world.clean()


@virtually
async def test_a_handler_is_cancelled_when_every_item_has_left(world: World) -> None:
    ended: list[str] = []

    @aiq.batch_task(linger=0)
    async def slow(numbers: list[int]) -> list[int]:
        try:
            await asyncio.sleep(3_600)
        finally:
            ended.append("unwound")
        return numbers

    jobs = await world.enqueue(slow.job(1), slow.job(2))
    worker = await world.start(slow)
    await world.until(jobs[0], State.RUNNING)
    await world.storage.cancel(jobs, force=False)
    for job in jobs:
        await world.until(job, State.CANCELLED)
    await worker.stop()

    assert ended == ["unwound"]
    assert passed_ms(world) < 60_000


@virtually
async def test_a_job_that_was_taken_away_leaves_the_batch_and_its_answer_is_dropped(world: World) -> None:
    @aiq.batch_task(linger=0, lease=30)
    async def slow(numbers: list[int]) -> list[int]:
        await asyncio.sleep(100)
        return numbers

    taken, kept = await world.enqueue(slow.job(1), slow.job(2))
    worker = await world.start(slow)
    await world.until(taken, State.RUNNING)
    await world.storage.cancel([taken], force=True)
    await world.until(kept, State.SUCCEEDED)
    await worker.stop()

    assert await world.state(taken) is State.CANCELLED
    assert worker.statistics.lost == 1
    await world.clean()


@virtually
async def test_an_item_whose_lease_has_run_out_while_it_lingered_does_not_begin(world: World) -> None:
    class Asleep(LoopKeeper):
        def hold(self, batch: Any) -> None:
            """It renews nothing."""

    log: list[list[int]] = []
    double = batches_of(log, linger=10, lease=5)
    [job] = await world.enqueue(double.job(1))
    worker = await world.start(double, keeper=Asleep)
    await world.until(job, State.RUNNING)
    await asyncio.sleep(9)
    assert log == []

    await asyncio.sleep(3)
    assert worker.statistics.released + worker.statistics.lost >= 1
    assert log == []
    await worker.stop()


@virtually
async def test_a_handler_that_takes_longer_than_a_run_may_fails_all_of_its_items(world: World) -> None:
    ended: list[int] = []

    @aiq.batch_task(linger=30, timeout=60, retry=ONCE)
    async def slow(numbers: list[int]) -> list[int]:
        try:
            await asyncio.sleep(3_600)
        finally:
            ended.append(passed_ms(world) // 1_000)
        return numbers

    jobs = await world.enqueue(slow.job(1), slow.job(2))
    await world.drain(slow)

    # The time that it lingers does not count.
    assert ended == [90]
    assert [(one.state, one.cause) for one in await records(world, jobs)] == [(State.DEAD, Cause.TIMEOUT)] * 2


@virtually
async def test_no_item_is_settled_before_a_handler_that_was_told_to_end_has_ended(world: World) -> None:
    """Else the next run of a job would be beside the first one."""
    order: list[str] = []

    @aiq.batch_task(linger=0, timeout=10, retry=aiq.Retry(attempts=2, first_delay=0))
    async def slow(ctx: aiq.BatchContext, numbers: list[int]) -> list[int]:
        order.append("begins")
        if ctx.items[0].attempt == 2:
            return numbers
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError:
            await asyncio.sleep(5)
            order.append("has ended")
            raise
        return numbers

    jobs = await world.enqueue(slow.job(1), slow.job(2))
    await world.drain(slow)

    assert order == ["begins", "has ended", "begins"]
    assert [one.state for one in await records(world, jobs)] == [State.SUCCEEDED] * 2


@virtually
async def test_a_handler_that_returns_although_it_was_told_to_end_has_succeeded(world: World) -> None:
    @aiq.batch_task(linger=0, timeout=10)
    async def heedless(numbers: list[int]) -> list[int]:
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError:
            return numbers
        return []

    jobs = await world.enqueue(heedless.job(1), heedless.job(2))
    await world.drain(heedless)

    assert [one.result for one in await records(world, jobs)] == [b"1", b"2"]


@virtually
async def test_a_worker_that_stops_gives_the_items_back_and_counts_no_attempt(world: World) -> None:
    @aiq.batch_task(linger=0)
    async def slow(numbers: list[int]) -> list[int]:
        await asyncio.sleep(3_600)
        return numbers

    jobs = await world.enqueue(slow.job(1), slow.job(2))
    worker = await world.start(slow, grace_ms=1_000)
    await world.until(jobs[1], State.RUNNING)
    await worker.stop()

    assert [(one.state, one.failures) for one in await records(world, jobs)] == [(State.READY, 0)] * 2
    assert worker.statistics.released == 2


@virtually
async def test_a_handler_that_heeds_no_cancel_is_reported_and_keeps_its_slots(world: World) -> None:
    end = asyncio.Event()

    @aiq.batch_task(linger=0, timeout=10, retry=ONCE)
    async def deaf(numbers: list[int]) -> list[int]:
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue
        return numbers

    await world.enqueue(deaf.job(1), deaf.job(2))
    worker = await world.start(deaf, cancel_grace_ms=5_000, slots=2)
    await asyncio.sleep(20)

    assert (worker.statistics.stuck, worker.statistics.running) == (2, 2)
    end.set()
    await worker.stop()
    assert worker.statistics.running == 0


async def test_a_thread_that_cannot_be_ended_keeps_the_slots_of_those_for_whom_it_works() -> None:
    end = threading.Event()

    @aiq.batch_task(timeout=0.05, retry=ONCE)
    def deaf(numbers: list[int]) -> list[int]:
        end.wait(10)
        return numbers

    async with aiq.Queue("memory://") as queue:
        jobs = await queue.enqueue_many([deaf.job(1), deaf.job(2)])
        async with aiq.Worker(queue, tasks=[deaf], slots=2) as worker:
            for job in jobs:
                with pytest.raises(aiq.JobDead, match="timeout"):
                    await job.result(timeout=5)
            assert worker.statistics.running == 2
            end.set()
        assert worker.statistics.running == 0
