"""Those who enqueue at the same time travel together, and each has an answer of its own."""

import asyncio
import copy
from collections.abc import Sequence

import pytest

import aiq
from aiq.backends import open_storage
from aiq.bounds import MAX_BATCH, MAX_BATCH_BYTES, MAX_PAYLOAD_BYTES
from aiq.model import Enqueued, JobSpec, Lease, QueueSettings
from aiq.testing import Clock, Faulty


@aiq.task
def shout(text: str) -> str:
    return text.upper()


class Slow(Faulty):
    """A storage whose first step of enqueueing lasts until it is let go."""

    def __init__(self, storage: aiq.Storage) -> None:
        super().__init__(storage)
        self.batches: list[list[str]] = []
        self.goes = asyncio.Event()
        self.error: Exception | None = None

    async def enqueue(self, batch: Sequence[JobSpec], parent: Lease | None = None) -> list[Enqueued]:
        self.batches.append([spec.id for spec in batch])
        await self.goes.wait()
        if self.error is not None and len(self.batches) > 1:
            raise copy.copy(self.error) if isinstance(self.error, aiq.Unavailable) else self.error
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
    await turns()
    return callers


async def turns() -> None:
    """Let everybody go on who can."""
    for _ in range(8):
        await asyncio.sleep(0)


async def second_step(queue: aiq.Queue, slow: Slow, *ids: str) -> "list[asyncio.Task[aiq.Job[str]]]":
    """Callers whose step is under way, which a task makes for them."""
    first = await begun(queue, "before")
    callers = await begun(queue, *ids)
    # Whoever waits just now goes on, and nobody after.
    slow.goes.set()
    slow.goes.clear()
    await asyncio.wait(first)
    await turns()
    assert slow.batches[-1] == list(ids)
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
    slow.error = aiq.Unavailable("gone", outcome_unknown=True)
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
    await asyncio.wait([callers[1]])
    slow.goes.set()
    await asyncio.wait(callers)

    assert callers[1].cancelled()
    assert slow.batches == [["first"], ["last"]]


async def test_the_others_go_on_when_the_one_who_made_the_step_is_cancelled(queue: aiq.Queue, slow: Slow) -> None:
    callers = await begun(queue, "first", "second")
    callers[0].cancel()
    slow.goes.set()
    await asyncio.wait(callers)

    assert slow.batches == [["first"], ["second"]]
    assert (await callers[1]).id == "second"


async def test_the_cancellation_of_one_whose_step_has_begun_goes_on_when_that_is_over(
    queue: aiq.Queue, slow: Slow
) -> None:
    callers = await second_step(queue, slow, "gone", "last")
    callers[0].cancel()
    await turns()
    assert not callers[0].done()

    slow.goes.set()
    await asyncio.wait(callers)

    assert callers[0].cancelled()
    assert (await callers[1]).id == "last"
    assert sum((await queue.count()).values()) == 3


async def test_who_is_cancelled_is_left_out_when_a_step_that_was_refused_is_made_again(
    queue: aiq.Queue, slow: Slow
) -> None:
    slow.goes.set()
    await queue.enqueue(shout.job("first"), id="taken")
    slow.goes.clear()
    callers = await second_step(queue, slow, "taken", "gone")
    callers[1].cancel()
    await turns()
    slow.goes.set()
    await asyncio.wait(callers)

    assert isinstance(callers[0].exception(), aiq.Conflict)
    assert callers[1].cancelled()
    assert slow.batches[-2:] == [["taken", "gone"], ["taken"]]


async def test_a_full_queue_holds_up_nobody_who_enqueues_into_another(queue: aiq.Queue, slow: Slow) -> None:
    slow.goes.set()
    await slow.configure(queue.name, QueueSettings(max_ready=1))
    await queue.enqueue(shout.job("x"), id="full")
    slow.goes.clear()
    callers = [*await begun(queue["other"], "first"), *await begun(queue, "a", "b"), *await begun(queue["other"], "c")]
    slow.goes.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)

    assert [isinstance(answer, aiq.QueueFull) for answer in answers] == [False, True, True, False]
    assert slow.batches[-4:] == [["a", "b", "c"], ["c"], ["a"], ["b"]]


async def test_a_storage_that_has_moved_tells_each_where_to(queue: aiq.Queue, slow: Slow) -> None:
    callers = await begun(queue, "first", "second", "third")
    slow.error = aiq.Moved("sqlite:///new.db")
    slow.goes.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)

    assert [str(answer) for answer in answers[1:]] == [str(slow.error)] * 2


async def test_where_the_loop_is_told_to_end_nobody_is_left_waiting(queue: aiq.Queue, slow: Slow) -> None:
    callers = await second_step(queue, slow, "under way")
    callers += await begun(queue, "in line")
    driver = queue._door.gathering._driver
    assert driver is not None
    driver.cancel()
    await turns()
    slow.goes.set()
    under_way, in_line = await asyncio.gather(*callers, return_exceptions=True)

    # The first is not known, and so was made again.
    assert isinstance(under_way, aiq.Job)
    assert isinstance(in_line, aiq.Unavailable)
    assert not in_line.outcome_unknown


def test_a_loop_that_has_ended_holds_up_no_other(clock: Clock) -> None:
    queue = aiq.Queue("memory://")
    with asyncio.Runner() as first:
        first.run(queue.__aenter__())
        slow = Slow(queue.storage)
        queue._door._storage = slow
        first.run(given_up(queue))
    with asyncio.Runner() as second:
        slow.goes = asyncio.Event()
        slow.goes.set()
        assert second.run(queue.enqueue(shout.job("x"), id="later")).id == "later"
        second.run(queue.__aexit__(None, None, None))


async def given_up(queue: aiq.Queue) -> None:
    await begun(queue, "first", "second")


async def test_a_queue_that_is_left_stores_what_it_was_handed() -> None:
    storage = Slow(await open_storage("memory://"))
    async with aiq.Queue("memory://") as queue:
        queue._door._storage = storage
        callers = await begun(queue, *names(0, 3))
        leaving = asyncio.create_task(queue.__aexit__(None, None, None))
        await turns()
        assert not leaving.done()
        storage.goes.set()
        await leaving
        assert [job.id for job in await asyncio.gather(*callers)] == names(0, 3)
        await queue.__aenter__()
