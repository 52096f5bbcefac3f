"""What is longer in the storage than in the program, and fills a call or an answer to the brim."""

import asyncio

import pytest

import aiq
from aiq.backends.memory.storage import open_memory
from aiq.bounds import MAX_BATCH, MAX_BATCH_BYTES, MAX_DECODED_BYTES, MAX_PAGE_BYTES
from aiq.errors import JobCancelled, JobDead
from aiq.model import Cause

A_SHARE = "x" * (MAX_BATCH_BYTES // MAX_BATCH - 10)
"""With quotes around it, and encrypted, a little more than its share of a call."""
GO = aiq.Signal("go", int)


def aes() -> aiq.AESGCM:
    return aiq.AESGCM(keys={"k1": b"1" * 32}, current="k1")


async def test_results_that_are_too_much_for_one_exchange_once_they_are_encrypted_are_settled() -> None:
    running = 0
    all_run = asyncio.Event()

    @aiq.task
    async def answers() -> str:
        nonlocal running
        running += 1
        if running == MAX_BATCH:
            all_run.set()
        await all_run.wait()
        return A_SHARE

    async with aiq.Queue("memory://", codecs=[aes()]) as queue:
        await queue.enqueue_many([answers.job() for _ in range(MAX_BATCH)])
        ended = await aiq.Worker(queue, tasks=[answers], slots=MAX_BATCH).run_until_idle()

    assert ended.succeeded == MAX_BATCH


async def test_children_that_are_too_much_for_one_call_once_they_are_encrypted_are_stored() -> None:
    @aiq.task
    async def child(text: str) -> int:
        return len(text)

    @aiq.task
    async def parent(ctx: aiq.Context) -> int:
        return sum(await ctx.gather("all", [child.job(A_SHARE) for _ in range(MAX_BATCH)]))

    async with aiq.Queue("memory://", codecs=[aes()]) as queue:
        one = await queue.enqueue(parent.job())
        await aiq.Worker(queue, tasks=[child, parent], slots=MAX_BATCH).run_until_idle()

        assert await one.result(0) == MAX_BATCH * len(A_SHARE)


async def test_every_step_is_remembered_where_a_page_of_them_is_shorter_here_than_it_is_stored() -> None:
    paid = 0
    text = "x" * (MAX_PAGE_BYTES // 128 - 10)

    async def pay() -> str:
        nonlocal paid
        paid += 1
        return text

    @aiq.task
    async def agent(ctx: aiq.Context) -> int:
        for number in range(140):
            await ctx.step(f"s{number:03}", pay)
        return await ctx.wait_for(GO)

    async with aiq.Queue("memory://", codecs=[aes()]) as queue:
        one = await queue.enqueue(agent.job())
        worker = aiq.Worker(queue, tasks=[agent])
        await worker.run_until_idle()
        await one.send(GO, 1)
        await worker.run_until_idle()

        assert await one.result(0) == 1
    assert paid == 140


class Bucket:
    """Takes nothing that is large, until it does."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.refused, self.takes_all = asyncio.Event(), False

    async def put(self, key: str, data: bytes) -> None:
        if len(data) > 200_000 and not self.takes_all:
            self.refused.set()
            raise PermissionError("403")
        self.held[key] = data

    async def get(self, key: str) -> bytes:
        return self.held[key]

    def offload(self) -> aiq.Offload:
        return aiq.Offload(self.put, self.get, over=1_000)


@aiq.task
async def large() -> str:
    return "x" * 300_000


@aiq.task
async def small(number: int) -> int:
    return number


async def test_a_result_that_nobody_keeps_yet_holds_up_no_other_and_is_stored_when_somebody_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bucket = Bucket()
    async with aiq.Queue("memory://", codecs=[bucket.offload()]) as queue, aiq.Worker(queue, tasks=[large, small]):
        waits = await queue.enqueue(large.job())
        await bucket.refused.wait()
        others = await queue.enqueue_many([small.job(number) for number in range(20)])
        assert [await one.result(20) for one in others] == list(range(20))

        bucket.takes_all = True
        assert await waits.result(20) == "x" * 300_000

    said = [one for one in caplog.messages if "What runs ask" in one]
    assert len(said) == 1
    assert "403" in said[0]


async def test_a_job_whose_result_nobody_keeps_can_be_cancelled() -> None:
    bucket = Bucket()
    async with aiq.Queue("memory://", codecs=[bucket.offload()]) as queue, aiq.Worker(queue, tasks=[large]):
        one = await queue.enqueue(large.job())
        await bucket.refused.wait()
        await one.cancel()

        with pytest.raises(JobCancelled):
            await one.result(20)


async def test_a_result_that_is_being_kept_when_its_worker_stops_counts() -> None:
    begun, kept = asyncio.Event(), dict[str, bytes]()

    async def put(key: str, data: bytes) -> None:
        begun.set()
        await asyncio.sleep(0.2)
        kept[key] = data

    async def get(key: str) -> bytes:
        return kept[key]

    async with aiq.Queue("memory://", codecs=[aiq.Offload(put, get, over=1_000)]) as queue:
        worker = aiq.Worker(queue, tasks=[large], grace=0)
        async with worker:
            one = await queue.enqueue(large.job())
            await begun.wait()

        assert await one.result(0) == "x" * 300_000


async def test_a_result_that_no_codec_may_take_kills_its_job_and_nothing_else() -> None:
    @aiq.task
    async def huge() -> str:
        return "x" * MAX_DECODED_BYTES

    storage = await open_memory("memory://")
    async with aiq.Queue(storage, codecs=[aiq.Zlib()]) as queue:
        one, other = await queue.enqueue(huge.job()), await queue.enqueue(small.job(1))
        await aiq.Worker(queue, tasks=[huge, small]).run_until_idle()

        assert await other.result(0) == 1
        with pytest.raises(JobDead):
            await one.result(0)
        assert (await one.record()).cause is Cause.RESULT
