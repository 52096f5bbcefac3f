"""A worker that is killed, or that its job kills."""

import asyncio

import pytest

import aiq
from tests.chaos.fleet import Fleet, terminal
from tests.chaos.notes import now_ms
from tests.chaos.tasks import hold, nap, plain, poison

LEASE_S = 0.5
SWEEP_S = 1.0
"""How long after its lease has ended a job may wait to be found."""


async def test_a_job_whose_worker_is_killed_runs_again_once_within_its_lease_and_a_sweep(
    fleet: Fleet, queue: aiq.Queue
) -> None:
    await asyncio.gather(fleet.up(), fleet.up())
    job = await queue.enqueue(hold.job("gate"))
    first = await fleet.noted("start", job.id)

    await fleet.member(first.pid).kill()
    killed_ms = now_ms()
    second = await fleet.noted("start", job.id, fence=2)
    fleet.open("gate")

    assert await job.result(timeout=10) == 2
    assert second.at_ms - killed_ms <= (LEASE_S + SWEEP_S) * 1000
    record = await job.record()
    assert (record.stalls, record.failures, record.fence) == (1, 1, 2)
    assert [error.type for error in record.errors] == ["LeaseExpired"]
    assert len(fleet.notes("start", job.id)) == 2
    assert terminal(fleet.history(job.id)) == ["succeeded"]


@pytest.mark.faults
async def test_all_jobs_of_a_killed_worker_run_again_and_none_that_had_ended(fleet: Fleet, queue: aiq.Queue) -> None:
    victim = await fleet.up(slots=8)
    done = await queue.enqueue_many([plain.job(number) for number in range(20)])
    await asyncio.gather(*(job.result(timeout=10) for job in done))
    held = await queue.enqueue_many([hold.job("gate") for _ in range(8)])
    await asyncio.gather(*(fleet.noted("start", job.id) for job in held))

    await victim.kill()
    fleet.open("gate")
    await fleet.up(slots=8)

    assert await asyncio.gather(*(job.result(timeout=10) for job in held)) == [2] * 8
    assert [len(fleet.notes("start", job.id)) for job in (*done, *held)] == [1] * 20 + [2] * 8
    assert {terminal(fleet.history(job.id))[0] for job in held} == {"succeeded"}


@pytest.mark.faults
async def test_a_job_that_kills_each_worker_dies_of_it_and_harms_no_other(fleet: Fleet, queue: aiq.Queue) -> None:
    others = await queue.enqueue_many([plain.job(number) for number in range(50)])
    bad = await queue.enqueue(poison.job().using(max_stalls=3), band="high")
    more = await queue.enqueue_many([plain.job(number) for number in range(50)])

    async def over() -> bool:
        return (await bad.state()).terminal

    kills = await fleet.revive_until(over, slots=1)
    with pytest.raises(aiq.JobDead) as dead:
        await bad.result()
    await asyncio.gather(*(job.result(timeout=10) for job in (*others, *more)))
    assert (dead.value.cause, kills) == ("stalled", 3)
    assert terminal(fleet.history(bad.id)) == ["dead"]
    for job in (*others, *more):
        record = await job.record()
        assert (record.failures, record.stalls, record.fence) == (0, 0, 1)


@pytest.mark.faults
async def test_a_job_that_shared_a_worker_with_a_deadly_one_still_succeeds(fleet: Fleet, queue: aiq.Queue) -> None:
    neighbours = await queue.enqueue_many([nap.job(0.2) for _ in range(6)], attempts=10, max_stalls=10)
    bad = await queue.enqueue(poison.job().using(max_stalls=3))

    async def over() -> bool:
        return all([(await job.state()).terminal for job in (bad, *neighbours)])

    assert await fleet.revive_until(over, slots=4) == 3
    await asyncio.gather(*(job.result(timeout=10) for job in neighbours))
    with pytest.raises(aiq.JobDead):
        await bad.result(timeout=10)
    for job in neighbours:
        assert (await job.record()).stalls <= 3
