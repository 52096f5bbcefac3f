"""Handlers that die, or do not end."""

import os
import signal

import pytest

import aiq
from aiq import State
from tests.chaos.fleet import Fleet, terminal
from tests.chaos.tasks import hold, hold_in_process, hold_in_thread, plain, stubborn

LEASE_S = 0.5


async def test_a_process_of_a_handler_that_is_killed_is_a_failure_of_its_job_and_of_nothing_else(
    fleet: Fleet, queue: aiq.Queue
) -> None:
    worker = await fleet.up(processes=2)
    job = await queue.enqueue(hold_in_process.job("gate"))
    beside = await queue.enqueue(hold.job("gate"))
    await fleet.noted("start", beside.id)
    child = await until_started_elsewhere(fleet, worker.pid)

    os.kill(child, signal.SIGKILL)
    await fleet.until(lambda: len(children(fleet, worker.pid)) == 2, "a second process")
    fleet.open("gate")

    assert await job.result(timeout=20) not in (child, worker.pid)
    record = await job.record()
    assert (record.failures, record.stalls) == (1, 0)
    assert record.errors[0].type == "aiq.engine.pools.ProcessDied"
    assert "signal 9" in record.errors[0].message
    assert await beside.result(timeout=10) == 1
    assert worker.process.poll() is None


def children(fleet: Fleet, worker: int) -> list[int]:
    """The processes in which handlers were started that are no worker."""
    return [note.pid for note in fleet.notes("start") if note.pid != worker]


async def until_started_elsewhere(fleet: Fleet, worker: int) -> int:
    await fleet.until(lambda: bool(children(fleet, worker)), "the handler's process")
    return children(fleet, worker)[0]


async def test_a_handler_that_swallows_its_cancellation_is_reported_fenced_and_left_behind(
    fleet: Fleet, queue: aiq.Queue
) -> None:
    worker = await fleet.up(slots=2, cancel_grace=0.2, grace=0.1)
    job = await queue.enqueue(stubborn.job("gate"))
    await fleet.noted("start", job.id)

    await job.cancel()
    await fleet.noted("swallowed", job.id)
    await fleet.until(lambda: "did not end within 0.2 s" in worker.log(), "the report")
    # Nobody renews it any more, and the wish to cancel it outlives the run that did not heed.
    with pytest.raises(aiq.JobCancelled):
        await job.result(timeout=10)

    assert await (await queue.enqueue(plain.job(1))).result(timeout=10) == 1
    fleet.open("gate")
    await fleet.noted("refused", job.id)
    worker.send(signal.SIGTERM)
    assert await worker.ended(10) == 0
    assert await job.state() is State.CANCELLED
    assert fleet.history(job.id)[-1].target == "cancelled"
    assert len(terminal(fleet.history(job.id))) == 1


@pytest.mark.faults
@pytest.mark.parametrize("task", [stubborn, hold_in_thread])
async def test_a_handler_that_does_not_end_does_not_keep_its_worker_from_ending(
    fleet: Fleet, queue: aiq.Queue, task: "aiq.Task[[str], str]"
) -> None:
    worker = await fleet.up(grace=0.1, cancel_grace=0.1)
    job = await queue.enqueue(task.job("never opened"))
    await fleet.noted("start")

    worker.send(signal.SIGTERM)

    assert await worker.ended(0.1 + 5) == 0
    assert "is left behind" in worker.log()
    # Its lease ends, and the job is another worker's.
    await fleet.up()
    await fleet.until(lambda: len(fleet.notes("start")) == 2, "the second run")
    assert (await job.record()).fence == 2


@pytest.mark.faults
async def test_a_cancel_from_another_process_reaches_a_handler_within_five_seconds_whatever_its_lease(
    fleet: Fleet, queue: aiq.Queue
) -> None:
    await fleet.up()
    job = await queue.enqueue(hold.job("gate"), lease=60)
    await fleet.noted("start", job.id)
    expiry = (await job.record()).expires_at_ms
    # Just after a renewal, so that the next one is as far away as it can be.

    async def renewed() -> bool:
        return (await job.record()).expires_at_ms != expiry

    await fleet.until(renewed, "a renewal")
    await job.cancel()

    heard = await fleet.noted("cancelled", job.id)
    asked_ms = (await job.record()).cancel_requested_at_ms
    assert asked_ms is not None
    assert heard.at_ms - asked_ms <= 5_000
    with pytest.raises(aiq.JobCancelled):
        await job.result(timeout=10)
