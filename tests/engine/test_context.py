"""What a handler emits, who it is, and what it may still do when it loses its job."""

import asyncio
from typing import Any

import aiq
from aiq.bounds import MAX_ERROR_BYTES
from aiq.model import Cause, ChunkKind, State
from aiq.storage import read
from aiq.testing import Refuse
from tests.engine.handlers import double, finished
from tests.engine.world import World, virtually


@virtually
async def test_what_a_saved_step_emitted_counts_and_what_a_lost_run_emitted_outside_is_void(world: World) -> None:
    async def write(ctx: aiq.Context) -> str:
        await ctx.emit("kept")
        return "kept"

    @aiq.task(retry=aiq.Retry(first_delay=0))
    async def author(ctx: aiq.Context) -> None:
        await ctx.step("write", write, ctx)
        await ctx.emit(f"attempt {ctx.attempt}")
        if ctx.attempt == 1:
            raise ValueError("again")

    [job] = await world.enqueue(author.job())
    await finished(world, job, author)

    items = [(chunk.kind, chunk.data) for chunk in (await read(world.storage, job)).chunks]
    assert items == [
        (ChunkKind.DATA, b"kept"),
        (ChunkKind.DATA, b"attempt 1"),
        (ChunkKind.RESET, b'{"void":[[2,2]]}'),
        (ChunkKind.DATA, b"attempt 2"),
        (ChunkKind.END, b""),
    ]


@virtually
async def test_progress_and_log_lines_are_items_and_the_newest_progress_is_the_jobs(world: World) -> None:
    @aiq.task
    async def worker(ctx: aiq.Context) -> None:
        await ctx.progress(0.5)
        await ctx.log("half of it is done")
        await ctx.progress({"done": 3, "of": 4})

    [job] = await world.enqueue(worker.job())
    record = await finished(world, job, worker)

    kinds = [chunk.kind for chunk in (await read(world.storage, job)).chunks]
    assert kinds == [ChunkKind.PROGRESS, ChunkKind.LOG, ChunkKind.PROGRESS, ChunkKind.END]
    assert record.progress == b'{"done":3,"of":4}'


@virtually
async def test_a_job_whose_stream_is_full_can_still_complete(world: World) -> None:
    @aiq.task
    async def talker(ctx: aiq.Context) -> str:
        try:
            while True:
                await ctx.emit(b"x" * 60_000)
        except aiq.TooLarge:
            return "full"

    [job] = await world.enqueue(talker.job())

    assert (await finished(world, job, talker)).result == b'"full"'


@virtually
async def test_a_handler_that_never_hears_that_its_stream_is_full_has_not_succeeded(world: World) -> None:
    @aiq.task(retry=aiq.Retry(attempts=5))
    async def talker(ctx: aiq.Context) -> None:
        for _ in range(aiq.bounds.MAX_STREAM_BYTES // 65_600):
            await ctx.emit(b"x" * 65_536)
        await ctx.step("flushed", double, 1)
        await ctx.emit(b"x" * 65_536)

    [job] = await world.enqueue(talker.job())
    record = await finished(world, job, talker)

    assert (record.state, record.cause, record.fence) == (State.DEAD, Cause.RESULT, 1)


@virtually
async def test_a_context_tells_whose_run_it_is(world: World) -> None:
    @aiq.task(queue="research", retry=aiq.Retry(first_delay=0))
    async def who(ctx: aiq.Context) -> list[Any]:
        if ctx.attempt == 1:
            raise ValueError("again")
        return [ctx.job_id, ctx.task, ctx.queue, ctx.tenant, ctx.attempt, ctx.fence, ctx.idempotency_key("pay")]

    [job] = await world.enqueue(who.job().using(tenant="acme"))
    record = await finished(world, job, who, slots={"research": 1})

    assert record.result == b'["job-1","who","research","acme",2,2,"job-1/pay"]'


@virtually
async def test_a_run_whose_lease_ran_out_starts_nothing_new_but_may_finish_what_it_has(world: World) -> None:
    seen: list[str] = []

    async def outlasts() -> int:
        await asyncio.sleep(15)
        return 1

    @aiq.task(lease=10, retry=aiq.Retry(attempts=1))
    async def unlucky(ctx: aiq.Context) -> str:
        await ctx.step("long", outlasts)
        seen.append("saved late")
        for start in (ctx.step("new", double, 1), ctx.gather("kids", [double.job(1)])):
            try:
                await start
            except aiq.LeaseLost as lost:
                seen.append(lost.reason)
        return "settled late"

    [job] = await world.enqueue(unlucky.job())
    engine = world.engine(unlucky, slots=1)
    await engine.start()
    world.faults.plan(*[Refuse("renew")] * 1_000)
    world.faults.plan(*[Refuse("upkeep")] * 1_000)
    task = asyncio.create_task(engine.run())
    record = await world.until(job, State.SUCCEEDED, State.DEAD)
    engine.stop()
    await task

    assert seen == ["saved late", "expired", "expired"], record.errors
    assert (record.result, record.late) == (b'"settled late"', True)


@virtually
async def test_a_handler_whose_job_was_taken_is_cancelled_and_changes_nothing(world: World) -> None:
    ended: list[str] = []

    @aiq.task
    async def unlucky(ctx: aiq.Context) -> str:
        try:
            await asyncio.sleep(1_000)
        finally:
            ended.append("cancelled")
        return "too late"

    [job] = await world.enqueue(unlucky.job())
    worker = await world.start(unlucky)
    await world.until(job, State.RUNNING)
    await world.storage.cancel([job], force=True)
    before = await world.get(job)
    await asyncio.sleep(60)
    await worker.stop()

    assert ended == ["cancelled"]
    assert await world.get(job) == before
    assert (worker.statistics.succeeded, worker.statistics.lost) == (0, 1)


@virtually
async def test_a_line_of_the_log_is_cut_and_harms_nobody(world: World) -> None:
    @aiq.task
    async def talks(ctx: aiq.Context) -> str:
        await ctx.log("x" * 100_000)
        await ctx.log("no text: \udcff")
        return "done"

    [job] = await world.enqueue(talks.job())
    await world.drain(talks)
    chunks = (await read(world.storage, job)).chunks

    assert await world.state(job) is State.SUCCEEDED
    assert [len(chunk.data) for chunk in chunks[:2]] == [MAX_ERROR_BYTES, 15]
    assert {chunk.kind for chunk in chunks[:2]} == {ChunkKind.LOG}
