"""Following events, reading metrics, and saying how long what is over is kept."""

import asyncio
from datetime import timedelta

import pytest

import aiq
from aiq.backends import open_storage
from aiq.model import Keep, RetentionSpec
from aiq.testing.clock import Clock


@aiq.task(keep=timedelta(hours=1))
async def shout(text: str) -> str:
    return text.upper()


@aiq.task
async def parent(ctx: aiq.Context) -> list[str]:
    return await ctx.gather("parts", [shout.job("a")])


async def test_events_are_followed_from_where_one_left_off() -> None:
    async with aiq.Queue("memory://") as queue:
        await queue.enqueue(shout.job("a"))
        seen = [event async for event in queue.events(follow=False)]
        await queue.enqueue(shout.job("b"))
        later = [event async for event in queue.events(seen[-1].cursor, follow=False)]
    assert [event.transition for event in (*seen, *later)] == ["enqueue", "enqueue"]


async def test_a_follower_waits_for_what_happens_next() -> None:
    async with aiq.Queue("memory://") as queue:
        events = queue.events("now")
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        job = await queue.enqueue(shout.job("a"))
        assert (await waiting).job_id == job.id


async def test_a_follower_that_fell_behind_is_told_what_to_do() -> None:
    async with aiq.Queue("memory://") as queue:
        await queue.enqueue_many([shout.job("a"), shout.job("b"), shout.job("c")])
        first = await anext(queue.events())
        await queue.storage.put_retention(RetentionSpec(events=Keep(count=1)))
        await queue.storage.upkeep()
        with pytest.raises(aiq.EventsLost, match="after=None"):
            await anext(queue.events(first.cursor))


async def test_metrics_tell_what_jobs_of_a_task_did() -> None:
    async with aiq.Queue("memory://") as queue:
        await queue.enqueue(shout.job("a"))
        await aiq.Worker(queue, tasks=[shout]).run_until_idle()
        rows = await queue.admin.metrics(task="shout")
        assert sum(row.succeeded for row in rows) == 1
        assert await queue.admin.metrics(queue="other") == []


@pytest.mark.parametrize(("keep", "ms"), [(None, 3_600_000), (60, 60_000), (0, 0)])
async def test_a_job_is_kept_as_long_as_it_says_or_its_task(keep: float | None, ms: int) -> None:
    async with aiq.Queue("memory://") as queue:
        options: aiq.newjob.JobOptions = {} if keep is None else {"keep": keep}
        job = await queue.enqueue(shout.job("a"), **options)
        (record,) = await queue.storage.get([job.id])
        assert record is not None
        assert record.keep_ms == ms


async def test_a_child_is_kept_as_long_as_its_parent() -> None:
    async with aiq.Queue("memory://") as queue:
        job = await queue.enqueue(parent.job(), keep=30)
        await aiq.Worker(queue, tasks=[parent, shout]).run_until_idle()
        page = await queue.list(aiq.JobFilter(parent_id=job.id))
        assert [child.keep_ms for child in page.jobs] == [30_000]


async def test_retention_is_set_kind_by_kind() -> None:
    async with aiq.Queue("memory://") as queue:
        kept = await queue.admin.put_retention(succeeded=aiq.Kept(timedelta(days=1), count=5), ids=aiq.Kept(60))
        assert kept == await queue.admin.retention()
        assert (kept["succeeded"], kept["ids"]) == (aiq.Kept(86_400.0, 5), aiq.Kept(60.0))
        assert kept["dead"] == aiq.Kept(30 * 86_400.0)


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ({"jobs": aiq.Kept(1)}, "jobs"),
        ({"dead": aiq.Kept(-1)}, "-1"),
        ({"dead": aiq.Kept(count=-1)}, "-1"),
        ({"ids": aiq.Kept()}, "ids"),
        ({"dead": 5}, "aiq.Kept"),
    ],
)
async def test_retention_that_means_nothing_is_refused(kinds: dict[str, aiq.Kept], said: str) -> None:
    async with aiq.Queue("memory://") as queue:
        with pytest.raises(aiq.InvalidInput, match=said):
            await queue.admin.put_retention(**kinds)


@aiq.task
async def whisper(text: str) -> str:
    return text.lower()


async def test_a_result_that_is_kept_no_more_is_told_with_what_to_do() -> None:
    clock = Clock()
    storage = await open_storage("memory://", clock=clock)
    async with aiq.Queue(storage) as queue:
        await queue.admin.put_retention(results=aiq.Kept(timedelta(hours=1)))
        job = await queue.enqueue(whisper.job("HELLO"))
        await aiq.Worker(queue, tasks=[whisper]).run_until_idle()
        assert await job.result() == "hello"
        clock.advance_ms(3_600_000)
        await storage.upkeep()

        with pytest.raises(aiq.ResultGone, match="its result is kept no more") as told:
            await job.result()
        assert told.value.dropped
        assert await job.state() is aiq.State.SUCCEEDED
        again = await queue.admin.replay(job)
        await aiq.Worker(queue, tasks=[whisper]).run_until_idle()
        assert await queue.job(again.done[0], whisper).result() == "hello"
    await storage.close()
