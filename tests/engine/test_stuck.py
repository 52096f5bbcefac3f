"""Handlers that do not end when they are told to: what becomes of their jobs, and what they hold."""

import asyncio

import pytest

import aiq
from aiq.errors import LeaseLost
from aiq.model import Cause, DeadQuery, State
from aiq.storage import claim
from aiq.testing import Refuse
from aiq.testing.actions import wish
from tests.engine.handlers import slow
from tests.engine.world import START_MS, Working, World, virtually

AT_ONCE = aiq.Retry(attempts=3, first_delay=0)


async def deafly(seconds: float) -> None:
    """Sleep, and let no cancellation pass."""
    end = asyncio.get_running_loop().time() + seconds
    while (left := end - asyncio.get_running_loop().time()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue


@aiq.task(retry=AT_ONCE)
async def deaf(seconds: float) -> None:
    await deafly(seconds)


def passed_s(world: World) -> float:
    return (world.clock() - START_MS) / 1000


@virtually
async def test_a_stuck_run_has_failed_by_its_timeout_and_not_by_a_stall(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    [job] = await world.enqueue(deaf.job(100).using(lease=5, timeout=10))
    worker = await world.start(deaf, slots=1, cancel_grace_ms=10_000)
    await world.until(job, State.RUNNING)
    record = await world.until(job, State.READY)

    assert passed_s(world) == 20
    assert (record.failures, record.stalls, [error.cause for error in record.errors]) == (1, 0, [Cause.TIMEOUT])
    assert (worker.statistics.stuck, worker.statistics.running) == (1, 1)
    assert any("did not end within 10 s" in r.message and r.job_id == job for r in caplog.records)  # type: ignore[attr-defined]
    await asyncio.sleep(100)
    await worker.stop()
    await world.clean()


@virtually
async def test_a_job_whose_last_attempt_is_stuck_dies_of_its_timeout_with_a_sample(world: World) -> None:
    [job] = await world.enqueue(deaf.job(100).using(timeout=1, attempts=1))
    worker = await world.start(deaf, cancel_grace_ms=1_000)
    record = await world.until(job, State.DEAD)

    assert passed_s(world) == 2
    assert record.errors[-1].cause is Cause.TIMEOUT
    [group] = (await world.storage.dead_groups(DeadQuery())).groups
    assert [sample.job_id for sample in group.samples] == [job]
    await asyncio.sleep(100)
    await worker.stop()
    assert (worker.statistics.died, worker.statistics.lost) == (1, 0)
    await world.clean()


@virtually
async def test_a_worker_never_runs_a_job_beside_its_own_stuck_run_of_it(world: World) -> None:
    running, most = 0, 0

    @aiq.task(lease=2, timeout=1, retry=AT_ONCE)
    async def counted() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await deafly(60)
        running -= 1

    [job] = await world.enqueue(counted.job())
    worker = await world.start(counted, slots=4, cancel_grace_ms=1_000)
    await asyncio.sleep(59)
    held = await world.get(job)
    record = await world.until(job, State.DEAD)
    await asyncio.sleep(100)
    await worker.stop()

    assert most == 1
    assert (held.failures, held.stalls) == (1, 0), "to give it back costs no attempt"
    assert [error.cause for error in record.errors] == [Cause.TIMEOUT] * 3
    await world.clean()


@virtually
async def test_another_worker_runs_the_job_of_a_stuck_run(world: World) -> None:
    ran_by: list[str] = []

    @aiq.task(timeout=10, retry=AT_ONCE)
    async def once_deaf(ctx: aiq.Context) -> None:
        ran_by.append(f"attempt {ctx.attempt}")
        if len(ran_by) == 1:
            await deafly(1_000)

    [job] = await world.enqueue(once_deaf.job())
    worker = await world.start(once_deaf, slots=2, cancel_grace_ms=1_000)
    await world.until(job, State.RUNNING)
    other = await world.start(once_deaf, name="other")
    record = await world.until(job, State.SUCCEEDED)

    assert passed_s(world) <= 60
    assert (record.failures, ran_by) == (1, ["attempt 1", "attempt 2"])
    await asyncio.sleep(1_000)
    await other.stop()
    await worker.stop()


@virtually
async def test_a_stuck_handler_can_write_nothing_and_what_it_comes_to_is_dropped(world: World) -> None:
    refused: list[LeaseLost] = []

    @aiq.task(timeout=1, retry=aiq.Retry(attempts=1))
    async def late(ctx: aiq.Context) -> int:
        await deafly(60)
        try:
            await ctx.step("late", slow.function, 1.0)
        except LeaseLost as error:
            refused.append(error)
        return 1

    [job] = await world.enqueue(late.job())
    worker = await world.start(late, cancel_grace_ms=1_000)
    await world.until(job, State.DEAD)
    await asyncio.sleep(100)
    await worker.stop()

    assert len(refused) == 1
    assert await world.state(job) is State.DEAD
    assert (worker.statistics.succeeded, worker.statistics.lost, worker.statistics.running) == (0, 0, 0)
    await world.clean()


@virtually
async def test_a_cancelled_job_is_cancelled_although_its_handler_is_stuck(world: World) -> None:
    [job] = await world.enqueue(deaf.job(1_000).using(lease=3_600))
    worker = await world.start(deaf, cancel_grace_ms=1_000)
    await world.until(job, State.RUNNING)
    await world.storage.cancel([job])
    await world.until(job, State.CANCELLED)

    assert worker.statistics.running == 1
    await asyncio.sleep(1_000)
    await worker.stop()
    await world.clean()


@virtually
async def test_the_slot_of_a_stuck_handler_is_free_again_when_it_ends(world: World) -> None:
    stuck, after = await world.enqueue(deaf.job(100).using(lease=5, timeout=10, attempts=1), slow.job(1))
    worker = await world.start(deaf, slow, slots=1, cancel_grace_ms=10_000)

    await world.until(after, State.SUCCEEDED)

    assert 100 <= passed_s(world) <= 102
    assert worker.statistics.running == 0
    assert await world.state(stuck) is State.DEAD
    await worker.stop()


@virtually
async def test_a_worker_that_is_given_the_job_of_its_own_run_ends_that_run_first(world: World) -> None:
    begun: list[float] = []
    at_once = most = 0

    @aiq.task(lease=30, retry=aiq.Retry(attempts=5))
    async def long() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        begun.append(passed_s(world))
        try:
            await asyncio.sleep(200)
        finally:
            at_once -= 1

    # Renewals fail, exchanges do not: nobody tells the run that its lease has run out.
    world.faults.plan(*[Refuse("renew")] * 8)
    [job] = await world.enqueue(long.job())
    worker = await world.start(long, slots=4)
    await world.until(job, State.SUCCEEDED)
    await worker.stop()

    assert (len(begun), most) == (2, 1)
    await world.clean()


@virtually
async def test_a_job_that_comes_to_its_earlier_run_is_given_back_though_nothing_else_is_settled(world: World) -> None:
    first, second = await world.enqueue(deaf.job(100), deaf.job(0))
    engine = world.engine(deaf, slots=1)
    await engine.start()
    working = Working(engine, asyncio.create_task(engine.run()))
    await world.until(first, State.RUNNING)
    [record] = await claim(world.storage, wish())
    earlier, again = engine.begin(record, world.clock()), engine.begin(record, world.clock())
    engine._slots.take(earlier)
    engine._slots.tell(earlier)

    engine._intake._give_place(again)

    await world.until(second, State.SCHEDULED)
    assert passed_s(world) < 1
    engine._slots.give_back(earlier)
    await working.stop()
