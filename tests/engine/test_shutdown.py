"""How a worker ends, and handlers that do not."""

import asyncio
import threading
from typing import Any

import pytest

import aiq
from aiq.model import State
from aiq.testing import Delay, LoseReply, Refuse
from tests.engine.world import START_MS, LoopKeeper, World, virtually


@aiq.task
async def work(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


def passed_s(world: World) -> float:
    return (world.clock() - START_MS) / 1000


@virtually
async def test_a_stopping_worker_claims_no_more_and_lets_running_jobs_finish(world: World) -> None:
    first, second = await world.enqueue(work.job(20), work.job(20))
    worker = await world.start(work, slots=1)
    await world.until(first, State.RUNNING)

    await worker.stop()

    assert (await world.state(first), await world.state(second)) == (State.SUCCEEDED, State.READY)
    assert passed_s(world) == 20


@virtually
async def test_what_runs_beyond_the_grace_is_given_back_and_not_counted_as_an_attempt(world: World) -> None:
    [job] = await world.enqueue(work.job(1_000))
    worker = await world.start(work, grace_ms=30_000)
    await world.until(job, State.RUNNING)

    await worker.stop()

    record = await world.get(job)
    assert (record.state, record.failures, record.stalls, record.errors) == (State.READY, 0, 0, ())
    assert 30 <= passed_s(world) <= 31
    await world.clean()


@virtually
async def test_ten_restarts_cost_a_job_no_attempt(world: World) -> None:
    [job] = await world.enqueue(work.job(50).using(attempts=1))
    for _ in range(10):
        worker = await world.start(work, grace_ms=10)
        await world.until(job, State.RUNNING)
        await worker.stop()
    await world.drain(work)

    record = await world.get(job)
    assert (record.state, record.fence, record.failures) == (State.SUCCEEDED, 11, 0)


@virtually
async def test_a_second_word_cuts_the_grace_short(world: World) -> None:
    [job] = await world.enqueue(work.job(1_000))
    worker = await world.start(work, grace_ms=600_000)
    await world.until(job, State.RUNNING)

    worker.engine.stop()
    await asyncio.sleep(5)
    worker.engine.hurry()
    await worker.stop()

    assert await world.state(job) is State.READY
    assert passed_s(world) <= 6


@virtually
async def test_leases_are_renewed_for_as_long_as_the_grace_lasts(world: World) -> None:
    [job] = await world.enqueue(work.job(100).using(lease=2))
    worker = await world.start(work, grace_ms=200_000)
    await world.until(job, State.RUNNING)

    await worker.stop()

    record = await world.get(job)
    assert (record.state, record.fence, record.stalls) == (State.SUCCEEDED, 1, 0)


@virtually
async def test_a_claim_under_way_when_the_worker_stops_is_given_back_unrun(world: World) -> None:
    ran: list[int] = []

    @aiq.task
    async def note() -> None:
        ran.append(1)

    gate = asyncio.Event()
    world.faults.plan(Delay("exchange", gate))
    worker = await world.start(note)
    [job] = await world.enqueue(note.job())
    await asyncio.sleep(0.5)
    worker.engine.stop()
    gate.set()
    await worker.stop()

    record = await world.get(job)
    assert (record.state, record.fence, ran) == (State.READY, 1, [])


@virtually
async def test_a_claim_whose_reply_was_lost_when_the_worker_stops_is_found_and_given_back(world: World) -> None:
    [job] = await world.enqueue(work.job(1))
    world.faults.plan(LoseReply("exchange"), LoseReply("exchange"))
    worker = await world.start(work)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    worker.engine.stop()
    await worker.stop()

    record = await world.get(job)
    assert (record.state, record.lease_id, record.fence) == (State.READY, None, 1)


@virtually
async def test_a_worker_whose_storage_is_away_stops_all_the_same(world: World) -> None:
    [job] = await world.enqueue(work.job(1))
    worker = await world.start(work)
    await world.until(job, State.RUNNING)
    world.faults.plan(*[Refuse(op) for op in ("exchange", "renew", "upkeep") for _ in range(1_000)])
    await asyncio.sleep(5)
    before_s = passed_s(world)

    await worker.stop()

    assert passed_s(world) - before_s <= 5
    assert await world.state(job) is State.RUNNING


@virtually
async def test_a_handler_that_takes_long_to_unwind_costs_its_job_no_attempt(world: World) -> None:
    @aiq.task
    async def slow() -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            await asyncio.sleep(8)

    [job] = await world.enqueue(slow.job().using(attempts=1))
    worker = await world.start(slow, grace_ms=1_000)
    await world.until(job, State.RUNNING)

    await worker.stop()

    record = await world.get(job)
    assert (record.state, record.failures, record.stalls) == (State.READY, 0, 0)
    assert passed_s(world) <= 1 + 5


@virtually
async def test_a_handler_that_never_ends_does_not_keep_the_worker_from_ending(world: World) -> None:
    ended = asyncio.Event()
    handlers: list[asyncio.Task[Any]] = []

    @aiq.task
    async def endless() -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.append(task)
        while not ended.is_set():
            try:
                await ended.wait()
            except asyncio.CancelledError:
                continue

    [job] = await world.enqueue(endless.job())
    worker = await world.start(endless, grace_ms=1_000)
    await world.until(job, State.RUNNING)

    await worker.stop()

    assert passed_s(world) <= 1 + 5
    assert not handlers[0].done()
    assert handlers[0] not in asyncio.all_tasks()
    ended.set()
    await asyncio.wait(handlers)


@virtually
async def test_a_cancelled_job_whose_handler_heeds_it_is_cancelled(world: World) -> None:
    [job] = await world.enqueue(work.job(1_000))
    worker = await world.start(work)
    await world.until(job, State.RUNNING)

    await world.storage.cancel([job])
    record = await world.until(job, State.CANCELLED)
    await worker.stop()

    assert (record.failures, worker.statistics.cancelled) == (0, 1)


@virtually
async def test_a_job_that_succeeds_before_it_hears_of_its_cancel_has_succeeded(world: World) -> None:
    [job] = await world.enqueue(work.job(1))
    worker = await world.start(work)
    await world.until(job, State.RUNNING)

    await world.storage.cancel([job])
    await world.until(job, State.SUCCEEDED, State.CANCELLED)
    await worker.stop()

    assert await world.state(job) is State.SUCCEEDED


@virtually
async def test_a_worker_whose_keeper_ends_stops_and_says_so(world: World) -> None:
    class Mortal(LoopKeeper):
        async def ended(self) -> None:
            await asyncio.sleep(60)

    [job] = await world.enqueue(work.job(1_000))
    engine = world.engine(work, keeper=Mortal, grace_ms=0)
    await engine.start()

    with pytest.raises(RuntimeError, match="renews leases"):
        await engine.run()

    assert await world.state(job) is State.READY


@virtually
async def test_a_run_that_was_told_to_stop_before_it_began_is_given_back(world: World) -> None:
    @aiq.task
    async def first() -> None:
        worker.engine.hurry()
        await asyncio.sleep(0)

    jobs = await world.enqueue(first.job(), *[work.job(1) for _ in range(3)])
    worker = await world.start(first, work)
    await asyncio.wait({worker.task})

    states = [await world.state(job) for job in jobs]
    assert set(states) <= {State.READY, State.SUCCEEDED}
    assert threading.active_count() >= 1
    await world.clean()
