"""Those who enqueue at the same time travel together, and each has an answer of its own."""

import asyncio
from collections.abc import Sequence

import pytest

import aiq
from aiq.bounds import MAX_BATCH, MAX_BATCH_BYTES, MAX_PAYLOAD_BYTES
from aiq.model import Enqueued, JobSpec, Lease, QueueSettings
from aiq.testing import Faulty


@aiq.task
def shout(text: str) -> str:
    return text.upper()


class Slow(Faulty):
    """A storage whose first step of enqueueing lasts until it is let go."""

    def __init__(self, storage: aiq.Storage) -> None:
        super().__init__(storage)
        self.batches: list[list[str]] = []
        self.goes = asyncio.Event()
        self.fails = False

    async def enqueue(self, batch: Sequence[JobSpec], parent: Lease | None = None) -> list[Enqueued]:
        self.batches.append([spec.id for spec in batch])
        await self.goes.wait()
        if self.fails and len(self.batches) > 1:
            raise aiq.Unavailable("gone", outcome_unknown=True)
        return await super().enqueue(batch, parent)


@pytest.fixture
def slow(storage: Faulty) -> Slow:
    return Slow(storage)


@pytest.fixture
def queue(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> aiq.Queue:
    # A call of unknown outcome is repeated at once, so that no test waits.
    monkeypatch.setattr("aiq.job.PAUSES_S", (0, 0))
    return aiq.Queue(slow)


async def begun(queue: aiq.Queue, *ids: str, text: str = "x") -> "list[asyncio.Task[aiq.Job[str]]]":
    """Callers who enqueue at the same time, each of whom waits for an answer."""
    callers = [asyncio.create_task(queue.enqueue(shout.job(text), id=job_id)) for job_id in ids]
    for _ in range(5):
        await asyncio.sleep(0)
    return callers


def names(first: int, last: int) -> list[str]:
    return [f"job-{n}" for n in range(first, last)]


async def test_what_is_enqueued_while_a_step_is_under_way_goes_in_the_next_one(queue: aiq.Queue, slow: Slow) -> None:
    callers = await begun(queue, *names(0, 100))
    slow.goes.set()
    jobs = await asyncio.gather(*callers)

    assert slow.batches == [["job-0"], names(1, 100)]
    assert [job.id for job in jobs] == names(0, 100)
    assert {await job.state() for job in jobs} == {aiq.State.READY}


async def test_who_is_alone_travels_alone(queue: aiq.Queue, slow: Slow) -> None:
    slow.goes.set()
    for job_id in names(0, 3):
        await queue.enqueue(shout.job("x"), id=job_id)

    assert slow.batches == [["job-0"], ["job-1"], ["job-2"]]


async def test_lines_of_one_storage_travel_together(queue: aiq.Queue, slow: Slow) -> None:
    callers = [*await begun(queue, "a"), *await begun(queue["slow"], "b"), *await begun(queue["fast"], "c")]
    slow.goes.set()
    await asyncio.gather(*callers)

    assert slow.batches == [["a"], ["b", "c"]]


async def test_no_more_travel_together_than_one_step_takes(queue: aiq.Queue, slow: Slow) -> None:
    callers = await begun(queue, *names(0, MAX_BATCH + 10))
    slow.goes.set()
    await asyncio.gather(*callers)

    assert [len(batch) for batch in slow.batches] == [1, MAX_BATCH, 9]


async def test_no_more_bytes_travel_together_than_one_step_takes(queue: aiq.Queue, slow: Slow) -> None:
    callers = await begun(queue, *names(0, 25), text="x" * (MAX_PAYLOAD_BYTES - 100))
    slow.goes.set()
    await asyncio.gather(*callers)

    most = MAX_BATCH_BYTES // (MAX_PAYLOAD_BYTES - 50)
    assert [len(batch) for batch in slow.batches] == [1, most, 24 - most]


async def test_the_same_id_twice_at_once_is_stored_once(queue: aiq.Queue, slow: Slow) -> None:
    callers = await begun(queue, "other", "same", "same", "same")
    slow.goes.set()
    jobs = await asyncio.gather(*callers)

    assert slow.batches == [["other"], ["same"], ["same"], ["same"]]
    assert [job.id for job in jobs] == ["other", "same", "same", "same"]
    assert sum((await queue.count()).values()) == 2


async def test_one_who_is_refused_does_not_hold_up_the_others(queue: aiq.Queue, slow: Slow) -> None:
    slow.goes.set()
    await queue.enqueue(shout.job("first"), id="job-7")
    slow.goes.clear()
    callers = await begun(queue, *names(0, 16), text="another")
    slow.goes.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)

    assert [n for n, answer in enumerate(answers) if isinstance(answer, aiq.Conflict)] == [7]
    assert sum((await queue.count()).values()) == 16


async def test_the_last_place_of_a_full_queue_goes_to_who_came_first(queue: aiq.Queue, slow: Slow) -> None:
    slow.goes.set()
    await slow.configure(queue.name, QueueSettings(max_ready=3))
    slow.goes.clear()
    callers = await begun(queue, *names(0, 8))
    slow.goes.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)

    assert [isinstance(answer, aiq.QueueFull) for answer in answers] == [n >= 3 for n in range(8)]


async def test_where_the_storage_fails_each_is_told_under_which_id_to_repeat(queue: aiq.Queue, slow: Slow) -> None:
    callers = await begun(queue, *names(0, 4))
    slow.fails = True
    slow.goes.set()
    first, *answers = await asyncio.gather(*callers, return_exceptions=True)

    assert isinstance(first, aiq.Job)
    for n, answer in enumerate(answers, start=1):
        assert isinstance(answer, aiq.Unavailable)
        assert answer.outcome_unknown
        assert answer.__notes__ == [f"To repeat it without storing the job twice: enqueue(job, id='job-{n}')."]


async def test_who_is_cancelled_before_its_step_has_begun_has_stored_nothing(queue: aiq.Queue, slow: Slow) -> None:
    callers = await begun(queue, "first", "gone", "last")
    callers[1].cancel()
    slow.goes.set()
    await asyncio.wait(callers)

    assert slow.batches == [["first"], ["last"]]


async def test_the_others_go_on_when_the_one_who_made_the_step_is_cancelled(queue: aiq.Queue, slow: Slow) -> None:
    callers = await begun(queue, "first", "second")
    callers[0].cancel()
    slow.goes.set()
    await asyncio.wait(callers)

    assert slow.batches == [["first"], ["second"]]
    assert (await callers[1]).id == "second"


async def test_a_caller_who_is_cancelled_within_a_step_leaves_it_to_the_others(queue: aiq.Queue, slow: Slow) -> None:
    slow.goes.set()
    await queue.enqueue(shout.job("x"), id="before")
    slow.goes.clear()
    callers = await begun(queue, "first", "second", "third")
    callers[0].cancel()
    await begun(queue)
    callers[1].cancel()
    slow.goes.set()
    await asyncio.wait(callers)

    assert (await callers[2]).id == "third"


async def test_a_queue_that_is_left_answers_all_who_enqueue() -> None:
    async with aiq.Queue("memory://") as queue:
        callers = [asyncio.create_task(queue.enqueue(shout.job("x"), id=job_id)) for job_id in names(0, 50)]
        await asyncio.sleep(0)

    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(answer, aiq.Job | aiq.InvalidInput | aiq.Unavailable) for answer in answers)
