"""A cancel from one process, and a handler that runs in another."""

import pytest

import aiq
from aiq import State
from tests.chaos.fleet import Fleet
from tests.chaos.notes import now_ms
from tests.chaos.tasks import hold

HEARD_MS = 5_000
"""Within so long a handler hears of a cancel, whatever its lease."""


@pytest.mark.faults
async def test_a_handler_in_another_process_hears_of_a_cancel_within_seconds_whatever_its_lease(
    fleet: Fleet, queue: aiq.Queue
) -> None:
    jobs = [await queue.enqueue(hold.job("never"), lease=lease) for lease in (0.5, 3_600)]
    await fleet.up(slots=2)
    for job in jobs:
        await fleet.noted("start", job.id)

    asked_ms = now_ms()
    answers = [await job.cancel() for job in jobs]

    assert [answer.requested for answer in answers] == [True, True]
    for job in jobs:
        assert (await fleet.noted("cancelled", job.id)).at_ms - asked_ms <= HEARD_MS
        with pytest.raises(aiq.JobCancelled):
            await job.result(timeout=10)
        assert await job.state() is State.CANCELLED
