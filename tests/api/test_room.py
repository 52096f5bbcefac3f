"""Producers and full queues: refused, or waiting for room, for as long as they like."""

import asyncio

import pytest

import aiq
from aiq.model import JobFilter, Succeeded
from aiq.testing import Faulty
from aiq.testing.actions import end_one
from tests.api.seen import Seen


@aiq.task
async def note(text: str) -> str:
    return text


async def stored(queue: aiq.Queue) -> int:
    return sum((await queue.count()).values())


async def until_waiting(seen: Seen) -> None:
    """Let a producer go on until it waits for room: its first call of `wait` only asks where to wait from."""
    await seen.until("wait", 2)


async def test_a_full_queue_refuses_a_job_at_once(queue: aiq.Queue) -> None:
    await queue.admin.configure("default", max_ready=1)
    await queue.enqueue(note.job("a"))

    with pytest.raises(aiq.QueueFull, match=r"holds 1 job that has not started, and at most 1 is allowed"):
        await queue.enqueue(note.job("b"))
    assert await stored(queue) == 1


async def test_a_producer_that_waits_is_stored_when_there_is_room(storage: Faulty) -> None:
    seen = Seen(storage, "wait")
    queue = aiq.Queue(seen)
    await queue.admin.configure("default", max_ready=1)
    await queue.enqueue(note.job("a"))

    waiting = asyncio.create_task(queue.enqueue(note.job("b"), wait=30))
    await until_waiting(seen)
    assert await stored(queue) == 1
    await end_one(storage, Succeeded(b'"a"'))

    assert await (await waiting).state() is aiq.State.READY


async def test_room_that_appears_without_a_word_is_found_by_looking(
    storage: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deaf(Seen):
        async def wait(self, topics: set[str], *, after: str | None, timeout_ms: int) -> str:
            self.called("wait")
            await asyncio.sleep(0)
            return "nothing was heard"

    deaf = Deaf(storage)
    queue = aiq.Queue(deaf)  # type: ignore[arg-type]
    await queue.admin.configure("default", max_ready=1)
    await queue.enqueue(note.job("a"))

    waiting = asyncio.create_task(queue.enqueue(note.job("b"), wait=30))
    await until_waiting(deaf)
    await queue.admin.configure("default", max_ready=2)

    assert (await waiting).id


async def test_a_producer_that_waits_in_vain_is_refused(queue: aiq.Queue) -> None:
    await queue.admin.configure("default", max_ready=1)
    await queue.enqueue(note.job("a"))

    with pytest.raises(aiq.QueueFull):
        await queue.enqueue(note.job("b"), wait=0.02)
    with pytest.raises(aiq.InvalidInput, match="wait is -1 s"):
        await queue.enqueue(note.job("b"), wait=-1)
    assert await stored(queue) == 1


async def test_many_jobs_that_do_not_fit_are_refused_whole(queue: aiq.Queue) -> None:
    await queue.admin.configure("default", max_ready=3)

    with pytest.raises(aiq.QueueFull):
        await queue.enqueue_many(note.job(str(n)) for n in range(4))
    assert await stored(queue) == 0


async def test_many_jobs_that_wait_go_in_as_there_is_room_in_their_order(storage: Faulty) -> None:
    seen = Seen(storage, "wait")
    queue = aiq.Queue(seen)
    await queue.admin.configure("default", max_ready=2)

    waiting = asyncio.create_task(queue.enqueue_many([note.job(str(n)) for n in range(5)], wait=30))
    for waits in (2, 4, 6):
        await seen.until("wait", waits)
        assert (await queue.admin.queue("default")).ready == 2
        await end_one(storage, Succeeded(b'""'))

    jobs = await waiting
    assert [record.id for record in await queue.list(JobFilter())] == [job.id for job in jobs]


async def test_many_jobs_that_wait_in_vain_tell_which_of_them_are_stored(queue: aiq.Queue) -> None:
    await queue.admin.configure("default", max_ready=2)

    with pytest.raises(aiq.PartlyEnqueued, match="2 of 5 jobs are stored") as caught:
        await queue.enqueue_many([note.job(str(n)) for n in range(5)], wait=0.02)

    assert isinstance(caught.value.__cause__, aiq.QueueFull)
    assert len(caught.value.stored) == await stored(queue) == 2


async def test_a_flow_larger_than_the_queue_is_refused_without_waiting(queue: aiq.Queue) -> None:
    await queue.admin.configure("default", max_ready=2)
    flow = aiq.Flow("wide")
    for n in range(3):
        flow.add(note.job(str(n)))

    with pytest.raises(aiq.QueueFull):
        await queue.run(flow, wait=600)


async def test_a_flow_waits_for_room_for_all_of_it(storage: Faulty) -> None:
    seen = Seen(storage, "wait")
    queue = aiq.Queue(seen)
    await queue.admin.configure("default", max_ready=2)
    await queue.enqueue(note.job("a"))
    flow = aiq.Flow("two")
    for n in range(2):
        flow.add(note.job(str(n)))

    waiting = asyncio.create_task(queue.run(flow, wait=30))
    await until_waiting(seen)
    await end_one(storage, Succeeded(b'"a"'))

    assert len((await waiting).job_ids) == 2


async def test_a_queue_without_a_bound_takes_any_number(queue: aiq.Queue) -> None:
    await queue.admin.configure("bulk", max_ready=1)

    await queue.enqueue_many(note.job(str(n)) for n in range(300))

    assert await stored(queue) == 300
    assert (await queue.admin.queue("default")).ready is None
