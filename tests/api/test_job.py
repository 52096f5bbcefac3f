"""The handle of a job: result, stream, cancel, signal."""

import asyncio
from typing import Any

import pytest

import aiq
from aiq.model import Died, JobError, NewChunk, Released, Sleeping, Step, StepKind, Succeeded, Suspended
from aiq.storage import append, settle
from aiq.testing import Faulty, LoseReply
from aiq.testing.actions import chunks, claim_one, end, end_one, value

APPROVAL = aiq.Signal("approval", bool)


@aiq.task
async def work(ctx: aiq.Context, x: int) -> int:
    return x


async def collect(job: aiq.Job[int], after: int = 0) -> list[tuple[int, str]]:
    return [(chunk.number, chunk.kind) async for chunk in job.stream(after)]


async def test_a_result_is_typed(queue: aiq.Queue, storage: Faulty) -> None:
    job = await queue.enqueue(work.job(3))
    await end_one(storage, Succeeded(b"3"))

    assert await job.result() == 3


async def test_a_waiting_caller_is_woken_when_the_job_ends(queue: aiq.Queue, storage: Faulty) -> None:
    job = await queue.enqueue(work.job(3))

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        asked = group.create_task(job.result())
        await asyncio.sleep(0)
        await end_one(storage, Succeeded(b"3"))

    assert asked.result() == 3


async def test_a_dead_job_raises_with_its_last_error(queue: aiq.Queue, storage: Faulty) -> None:
    job = await queue.enqueue(work.job(3))
    await end_one(storage, Died(JobError(type="ValueError", message="too dark")))

    with pytest.raises(aiq.JobDead, match=r"is dead \(handler\): ValueError: too dark") as caught:
        await job.result()
    assert (caught.value.job_id, caught.value.cause) == (job.id, "handler")


async def test_a_cancelled_job_raises(queue: aiq.Queue) -> None:
    job = await queue.enqueue(work.job(3))
    await job.cancel()

    with pytest.raises(aiq.JobCancelled):
        await job.result()


async def test_a_result_that_is_not_there_in_time_says_where_the_job_stands(queue: aiq.Queue) -> None:
    job = await queue.enqueue(work.job(3))

    with pytest.raises(aiq.ResultTimeout, match=r"is still ready\. It goes on") as caught:
        await job.result(timeout=0.001)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.state == "ready"


async def test_a_job_that_is_not_stored_has_no_result(queue: aiq.Queue) -> None:
    with pytest.raises(aiq.ResultGone, match=r"^No job nobody is stored here\. Check the id, and the address of the"):
        await queue.job("nobody", work).result()


async def test_a_stored_result_that_no_longer_fits_the_annotation_is_refused(queue: aiq.Queue, storage: Faulty) -> None:
    job = await queue.enqueue(work.job(3))
    await end_one(storage, Succeeded(b'"three"'))

    with pytest.raises(aiq.ResultInvalid, match="Expected `int`, got `str`"):
        await job.result()


async def test_a_missing_job_is_not_found_by_whatever_needs_it(queue: aiq.Queue) -> None:
    job = queue.job("nobody")

    for call in (
        job.state,
        job.record,
        job.progress,
        job.cancel,
        lambda: job.send(APPROVAL, True),
        lambda: anext(job.stream()),
    ):
        with pytest.raises(aiq.NotFound):
            await call()


async def test_a_stream_is_followed_from_its_beginning_to_its_end(queue: aiq.Queue, storage: Faulty) -> None:
    job = await queue.enqueue(work.job(3))
    run = await claim_one(storage)
    await append(storage, run.lease, chunks("a", "b"))
    await end(storage, run, Succeeded(b"3"))

    assert [text async for text in job.text()] == ["a", "b"]
    assert await collect(job, after=1) == [(2, "data")]


async def test_items_reach_a_reader_while_the_job_runs(queue: aiq.Queue, storage: Faulty) -> None:
    job = await queue.enqueue(work.job(3))
    run = await claim_one(storage)
    stream = job.text()

    async with asyncio.timeout(5):
        for number, text in enumerate("abc", 1):
            coming = asyncio.ensure_future(anext(stream))
            await append(storage, run.lease, [NewChunk(number, text.encode())])
            assert await coming == text


async def test_a_stream_longer_than_a_page_is_read_whole(queue: aiq.Queue, storage: Faulty) -> None:
    job = await queue.enqueue(work.job(3))
    run = await claim_one(storage)
    for first in (1, 257, 513):
        await append(storage, run.lease, chunks(*"x" * 256, first=first))
    await end(storage, run, Succeeded(b"3"))

    assert len(await collect(job)) == 768


async def test_a_stream_that_is_not_followed_ends_with_what_is_there(queue: aiq.Queue, storage: Faulty) -> None:
    job = await queue.enqueue(work.job(3))
    run = await claim_one(storage)
    await append(storage, run.lease, chunks("a", "b"))

    async with asyncio.timeout(5):
        assert [chunk.text async for chunk in job.stream(follow=False)] == ["a", "b"]


async def test_a_step_is_read_from_outside_as_its_type(queue: aiq.Queue, storage: Faulty) -> None:
    job = await queue.enqueue(work.job(3))
    run = await claim_one(storage)
    await storage.save_step(run.lease, Step("draft", StepKind.VALUE, b'"text"'))
    await settle(storage, run.lease, Sleeping("nap", 1_000), settlement_id="1")

    assert await job.step("draft", str) == "text"
    assert await job.step("other", str) is None
    for key, kind in (("draft", int), ("nap", str)):
        with pytest.raises(aiq.ResultInvalid):
            await job.step(key, kind)


async def test_a_reset_names_what_a_lost_run_had_emitted(queue: aiq.Queue, storage: Faulty) -> None:
    job = await queue.enqueue(work.job(3))
    first = await claim_one(storage)
    await append(storage, first.lease, chunks("a", "b"))
    await end(storage, first, Released())
    second = await claim_one(storage)
    await append(storage, second.lease, chunks("c"))
    await end(storage, second, Succeeded(b"3"))

    items = [chunk async for chunk in job.stream()]

    assert [(chunk.text, chunk.void) for chunk in items if chunk.kind is aiq.ChunkKind.DATA] == [
        ("a", ()),
        ("b", ()),
        ("c", ()),
    ]
    assert [(chunk.number, chunk.void) for chunk in items if chunk.kind is aiq.ChunkKind.RESET] == [(3, ((1, 2),))]


async def test_what_a_saved_step_emitted_is_not_reset(queue: aiq.Queue, storage: Faulty) -> None:
    job = await queue.enqueue(work.job(3))
    first = await claim_one(storage)
    await append(storage, first.lease, chunks("a", step="draft"))
    await storage.save_step(first.lease, value("draft"))
    await end(storage, first, Released())
    second = await claim_one(storage)
    await append(storage, second.lease, chunks("b"))
    await end(storage, second, Succeeded(b"3"))

    assert await collect(job) == [(1, "data"), (2, "data")]


async def test_log_lines_and_progress_are_there_for_who_asks(queue: aiq.Queue, storage: Faulty) -> None:
    job = await queue.enqueue(work.job(3))
    run = await claim_one(storage)
    await append(storage, run.lease, [NewChunk(1, b"thinking", aiq.ChunkKind.LOG), NewChunk(2, b"answer")])
    await end(storage, run, Succeeded(b"3"))

    assert await collect(job) == [(2, "data")]
    everything = [chunk.kind async for chunk in job.stream(kinds=frozenset(aiq.ChunkKind))]
    assert everything == ["log", "data", "end"]


async def test_the_stream_of_a_job_that_did_not_succeed_ends_in_its_error(queue: aiq.Queue, storage: Faulty) -> None:
    job = await queue.enqueue(work.job(3))
    run = await claim_one(storage)
    await append(storage, run.lease, chunks("a"))
    await end(storage, run, Died(JobError(type="ValueError", message="no")))
    stream = job.text()

    assert await anext(stream) == "a"
    with pytest.raises(aiq.JobDead):
        await anext(stream)


async def test_the_stream_of_a_silent_job_ends_with_it(queue: aiq.Queue, storage: Faulty) -> None:
    job = await queue.enqueue(work.job(3))
    await end_one(storage, Succeeded(b"3"))

    assert await collect(job) == []


async def test_cancelling_a_running_job_asks_it_to_stop_and_force_stops_it(queue: aiq.Queue, storage: Faulty) -> None:
    job = await queue.enqueue(work.job(3))
    await claim_one(storage)

    asked = await job.cancel()
    forced = await job.cancel(force=True)

    assert (asked.state, asked.requested) == (aiq.State.RUNNING, True)
    assert forced.state is aiq.State.CANCELLED


async def test_a_signal_reaches_the_wait_for_it_as_its_type(queue: aiq.Queue, storage: Faulty) -> None:
    job = await queue.enqueue(work.job(3))
    run = await claim_one(storage)
    await settle(storage, run.lease, Suspended("approval", "approval"), settlement_id="1")

    sent = await job.send(APPROVAL, True)

    assert sent.bound
    (step,) = await storage.get_steps(job.id)
    assert step.value == b"true"


async def test_a_signal_sent_twice_with_one_id_is_sent_once(queue: aiq.Queue) -> None:
    job = await queue.enqueue(work.job(3))

    sent = [await job.send(APPROVAL, True, id="click 1") for _ in range(2)]

    assert [answer.existed for answer in sent] == [False, True]
    assert (await job.record()).kept_signals == 1


async def test_the_progress_of_a_job_is_the_newest_value_and_outlives_the_job(
    queue: aiq.Queue, storage: Faulty
) -> None:
    job = await queue.enqueue(work.job(3))
    assert await job.progress() is None
    running = await claim_one(storage)
    told = [NewChunk(seq, data, aiq.ChunkKind.PROGRESS) for seq, data in enumerate((b"0.5", b'{"pages":[3,4]}'), 1)]
    await append(storage, running.lease, told)
    assert await job.progress() == {"pages": [3, 4]}

    await settle(storage, running.lease, Succeeded(b"3"), settlement_id="1")

    assert await job.progress() == {"pages": [3, 4]}


async def test_a_signal_whose_reply_was_lost_is_sent_once(queue: aiq.Queue, storage: Faulty) -> None:
    job = await queue.enqueue(work.job(3))
    storage.plan(LoseReply("send"))

    await job.send(APPROVAL, True)

    assert (await job.record()).kept_signals == 1


async def test_a_signal_of_another_type_is_refused(queue: aiq.Queue) -> None:
    job = await queue.enqueue(work.job(3))

    with pytest.raises(aiq.PayloadInvalid, match=r'Signal "approval" does not carry this value\. Expected `bool`'):
        await job.send(APPROVAL, "yes")  # type: ignore[arg-type]


@pytest.mark.parametrize(("given", "name"), [("decision", "decision"), (bool, "approval")])
async def test_a_name_where_a_signal_is_meant_is_told(given: Any, name: str, queue: aiq.Queue) -> None:
    job = await queue.enqueue(work.job(3))

    with pytest.raises(aiq.InvalidInput) as caught:
        await job.send(given, True)

    made = f'APPROVAL = aiq.Signal("{name}", bool)'
    assert str(caught.value).endswith(f"the type of its values: {made}, then job.send(APPROVAL, value).")


async def test_a_signal_to_a_job_that_has_ended_is_a_conflict(queue: aiq.Queue, storage: Faulty) -> None:
    job = await queue.enqueue(work.job(3))
    await end_one(storage, Succeeded(b"3"))

    with pytest.raises(aiq.Conflict) as caught:
        await job.send(APPROVAL, True)
    assert caught.value.reason == "terminal"
