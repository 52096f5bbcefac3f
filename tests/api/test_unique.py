"""Unique keys, edits and cancelled flows, as a producer meets them."""

from datetime import UTC, datetime, timedelta

import pytest

import aiq
from aiq.model import Cancelled
from aiq.testing import Clock, Faulty, LoseReply
from aiq.testing.actions import end_one


@aiq.task
def index(document: str) -> str:
    return document


@aiq.task
def merge(parts: list[str]) -> str:
    return "".join(parts)


async def test_a_handle_says_that_another_job_stands_for_it(storage: Faulty) -> None:
    queue = aiq.Queue(storage)

    first = await queue.enqueue(index.job("a"), unique="acme")
    again = await queue.enqueue(index.job("b"), unique="acme")
    same = await queue.enqueue(index.job("a"), id=first.id, unique="acme")

    assert (first.existed, first.found_by) == (False, None)
    assert (again.id, again.existed, again.found_by) == (first.id, True, "unique")
    assert (same.existed, same.found_by) == (True, "id")


async def test_of_many_each_handle_is_that_of_the_job_that_stands(storage: Faulty) -> None:
    handles = await aiq.Queue(storage).enqueue_many([index.job("a"), index.job("b")], unique="acme")

    assert [handle.found_by for handle in handles] == [None, "unique"]
    assert handles[0].id == handles[1].id


async def test_a_replacing_job_whose_reply_was_lost_has_replaced_once(storage: Faulty) -> None:
    queue = aiq.Queue(storage)
    first = await queue.enqueue(index.job("a"), unique="acme")
    storage.plan(LoseReply("enqueue"))

    newer = await queue.enqueue(index.job("b"), unique="acme", replace=True)

    record = await first.record()
    assert (newer.id, b"b" in record.payload, record.events) == (first.id, True, 2)


async def test_the_last_of_many_runs_after_the_quiet(storage: Faulty, clock: Clock) -> None:
    queue = aiq.Queue(storage)
    for text in ("a", "ab", "abc"):
        job = await queue.enqueue(index.job(text), unique="acme", debounce=timedelta(seconds=5))
        clock.advance_ms(3_000)
    assert await job.state() is aiq.State.SCHEDULED
    clock.advance_ms(2_000)

    run = await end_one(storage, Cancelled())

    assert b'"abc"' in run.payload


def test_no_node_waits_for_one_that_may_be_found_elsewhere() -> None:
    flow = aiq.Flow("digest")
    part = flow.add(index.job("a").using(unique="acme"))

    with pytest.raises(aiq.FlowInvalid, match="has a unique key"):
        flow.add(merge.job([part.output]))


async def test_a_job_that_waits_can_be_changed(storage: Faulty, clock: Clock) -> None:
    queue = aiq.Queue(storage)
    job = await queue.enqueue(index.job("a"), delay=60)

    record = await queue.update(job.id, index.job("b"), band="high", delay=5)

    assert (record.band, record.due_ms, b'"b"' in record.payload) == (aiq.Band.HIGH, clock() + 5_000, True)
    noon = datetime(2126, 1, 1, 12, tzinfo=UTC)
    assert (await queue.update(job.id, at=noon)).due_ms == round(noon.timestamp() * 1_000)
    assert (await queue.enqueue(index.job("a"), delay=60, id=job.id)).found_by is not None


async def test_what_cannot_be_changed_is_told(storage: Faulty) -> None:
    queue = aiq.Queue(storage)
    job = await queue.enqueue(index.job("a"))

    with pytest.raises(aiq.NotFound):
        await queue.update("nobody", band="high")
    with pytest.raises(aiq.InvalidInput, match="not both"):
        await queue.update(job.id, delay=1, at=datetime.now(UTC))
    with pytest.raises(aiq.Conflict, match="arguments of merge do not fit"):
        await queue.update(job.id, merge.job([]))
    await job.cancel()
    with pytest.raises(aiq.Conflict, match="is cancelled"):
        await queue.update(job.id, band="high")


async def test_a_flow_is_cancelled_as_a_whole(storage: Faulty) -> None:
    flow = aiq.Flow("digest")
    part = flow.add(index.job("a"))
    whole = flow.add(merge.job([part.output]))
    run = await aiq.Queue(storage).run(flow)

    answers = await run.cancel()

    assert [(answer.job_id, answer.state) for answer in answers] == [
        (run[node].id, aiq.State.CANCELLED) for node in (part, whole)
    ]


async def test_a_handle_of_a_job_that_is_gone_says_so(storage: Faulty) -> None:
    queue = aiq.Queue(storage)
    job = await queue.enqueue(index.job("a"), unique="acme", unique_for=timedelta(days=1), keep=0)
    named = await queue.enqueue(index.job("b"), id="b", keep=0)
    await aiq.Worker(queue, tasks=[index]).run_until_idle()
    while await storage.get([job.id, named.id]) != [None, None]:
        await storage.upkeep()

    again = await queue.enqueue(index.job("c"), unique="acme")
    same = await queue.enqueue(index.job("b"), id="b", keep=0)

    assert (job.gone, again.id, again.found_by, again.gone) == (None, job.id, "unique", aiq.State.SUCCEEDED)
    assert (same.found_by, same.gone) == ("id", aiq.State.SUCCEEDED)
    with pytest.raises(aiq.ResultGone, match=r"\(succeeded\) and is gone.*Its unique key is still taken") as gone:
        await again.result()
    assert gone.value.state is aiq.State.SUCCEEDED
    with pytest.raises(aiq.ResultGone, match="Its id is still remembered"):
        await same.result()
    with pytest.raises(aiq.ResultGone, match="Its unique key is still taken"):
        await queue.ask(index.job("d").using(unique="acme"))
    with pytest.raises(aiq.ResultGone, match="one that has ended goes when its time is over"):
        await job.result()
