"""Workers that are asked to stop, with a backlog and in the middle of jobs."""

import asyncio
import signal

import pytest

import aiq
from aiq import State
from tests.chaos.fleet import Fleet
from tests.chaos.notes import now_ms
from tests.chaos.tasks import hold, nap

EXIT_S = 5.0
"""How long an orderly exit may take beyond its grace."""


async def records(jobs: "list[aiq.Job[int]]") -> list[aiq.JobRecord]:
    return [await job.record() for job in jobs]


async def test_a_worker_asked_to_stop_under_a_backlog_finishes_what_runs_and_leaves_the_rest_untouched(
    fleet: Fleet, queue: aiq.Queue
) -> None:
    jobs = await queue.enqueue_many([nap.job(0.1) for _ in range(200)])
    worker = await fleet.up(slots=8, grace=5)
    await fleet.until(lambda: len(fleet.notes("returned")) >= 10, "some are done")

    worker.send(signal.SIGTERM)

    assert await worker.ended(5 + EXIT_S) == 0
    started = {note.job for note in fleet.notes("start")}
    assert 10 <= len(started) < 200
    for record in await records(jobs):
        ran = record.id in started
        assert record.state is (State.SUCCEEDED if ran else State.READY)
        assert (record.failures, record.stalls, record.errors) == (0, 0, ())
        # One that was claimed and not begun has been given back.
        assert record.fence == 1 if ran else record.fence <= 1


async def test_what_does_not_end_within_the_grace_is_given_back_and_is_the_same_attempt_elsewhere(
    fleet: Fleet, queue: aiq.Queue
) -> None:
    jobs = await queue.enqueue_many([hold.job("gate") for _ in range(4)])
    worker = await fleet.up(slots=4, grace=0.3)
    await fleet.until(lambda: len(fleet.notes("start")) == 4, "all run")

    worker.send(signal.SIGTERM)

    assert await worker.ended(0.3 + EXIT_S) == 0
    assert await queue.count() == {State.READY: 4}
    assert {note.fence for note in fleet.notes("cancelled")} == {1}
    fleet.open("gate")
    await fleet.up(slots=4)
    assert await asyncio.gather(*(job.result(timeout=10) for job in jobs)) == [2] * 4
    assert {(record.failures, record.stalls) for record in await records(jobs)} == {(0, 0)}
    assert {note.detail for note in fleet.notes("start")} == {"1"}


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_gives_everything_back_at_once(
    fleet: Fleet, queue: aiq.Queue, second: signal.Signals
) -> None:
    await queue.enqueue_many([hold.job("gate") for _ in range(4)])
    worker = await fleet.up(slots=4, grace=60)
    await fleet.until(lambda: len(fleet.notes("start")) == 4, "all run")

    worker.send(signal.SIGTERM)
    await fleet.until(lambda: "claiming no more" in worker.log(), "the first is heard")
    assert fleet.notes("cancelled") == []
    worker.send(second)

    assert await worker.ended(2) == 0
    assert await queue.count() == {State.READY: 4}


@pytest.mark.faults
@pytest.mark.parametrize(
    ("how", "code"), [("returns", 0), ("raises", 1), ("exits", 3), ("breaks the loop", 3), ("is cancelled", 1)]
)
async def test_a_program_that_ends_without_care_ends_within_two_seconds_and_its_job_is_not_lost(
    fleet: Fleet, queue: aiq.Queue, how: str, code: int
) -> None:
    job = await queue.enqueue(hold.job("gate"))
    program = fleet.start("tests.chaos.careless", fleet.url, how)

    over = await fleet.noted("over")

    assert await program.ended() == code, program.log()
    assert now_ms() - over.at_ms <= 2_000
    fleet.open("gate")
    await fleet.up()
    assert await job.result(timeout=10) == 2


@pytest.mark.faults
async def test_ten_rolling_restarts_fail_no_job(fleet: Fleet, queue: aiq.Queue) -> None:
    jobs: list[aiq.Job[int]] = []
    worker = await fleet.up(slots=8, grace=0.1)
    for _ in range(10):
        # Before there is work, as long as that takes: jobs that have ended meanwhile could not be interrupted.
        successor = await fleet.up(slots=8, grace=0.1)
        # Some end within the grace, most do not.
        jobs += await queue.enqueue_many([nap.job(0.1 * number) for number in range(12)])
        await fleet.noted("start", jobs[-4].id)
        worker.send(signal.SIGTERM)
        assert await worker.ended(EXIT_S) == 0
        worker = successor

    await asyncio.gather(*(job.result(timeout=60) for job in jobs))
    assert {(record.failures, record.stalls) for record in await records(jobs)} == {(0, 0)}
    # Otherwise the restarts have interrupted nothing, and this has shown nothing.
    assert sum(record.fence > 1 for record in await records(jobs)) >= 10
