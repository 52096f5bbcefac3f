"""Batch tasks, as a user makes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest

import aiq
from aiq.batching import AsyncBatchTask, ContextBatchTask, SyncBatchTask

if TYPE_CHECKING:
    from aiq import BatchContext


@dataclass
class Vector:
    numbers: list[float]


@aiq.batch_task(size=8, linger=0.5, queue="embeddings", retry=aiq.Retry(attempts=5), timeout=30)
async def embed(ctx: aiq.BatchContext, texts: list[str]) -> list[Vector | aiq.Failure | ValueError]:
    return [Vector([len(text)]) for text in texts]


@aiq.batch_task
async def hidden(ctx: "BatchContext", texts: Sequence[str]) -> Sequence[int]:
    return [len(text) for text in texts]


@aiq.batch_task
def untyped(items):  # type: ignore[no-untyped-def]  # no annotations: plain JSON
    return items


def test_a_batch_task_is_known_by_its_policy() -> None:
    assert (embed.name, embed.queue, embed.size, embed.linger_ms) == ("embed", "embeddings", 8, 500)
    assert (embed.retry.attempts, embed.timeout_ms, embed.kind, embed.takes_context) == (5, 30_000, "async", True)
    assert (hidden.size, hidden.linger_ms, hidden.takes_context) == (64, 20, True)
    assert (untyped.kind, untyped.takes_context) == ("thread", False)
    assert [type(one) for one in (embed, hidden, untyped)] == [ContextBatchTask, ContextBatchTask, SyncBatchTask]
    assert repr(embed) == "<batch task embed>"


async def test_calling_a_batch_task_runs_the_function() -> None:
    @aiq.batch_task
    async def double(numbers: list[int]) -> list[int]:
        return [2 * number for number in numbers]

    assert isinstance(double, AsyncBatchTask)
    assert await double([1, 2]) == [2, 4]
    assert untyped([1]) == [1]


def test_a_job_has_one_item_which_is_checked_against_what_the_list_holds() -> None:
    assert cast(Any, embed.job("text")).spec(job_id="x").queue == "embeddings"
    with pytest.raises(aiq.PayloadInvalid, match=r'Task "embed", argument item: Expected `str`, got `int`'):
        embed.job(7)  # type: ignore[arg-type]
    with pytest.raises(aiq.PayloadInvalid, match=r'Task "embed" takes \(item, /\)'):
        embed.job("a", "b")  # type: ignore[call-arg]
    assert embed.decode(embed.job("text").arguments.envelope(lambda _: "")) == (("text",), {})


def test_a_result_is_what_stands_in_the_place_of_one_item() -> None:
    assert embed.decode_result(embed.encode_result(Vector([1.0]))) == Vector([1.0])
    with pytest.raises(aiq.ResultInvalid):
        embed.encode_result([Vector([1.0])])
    assert hidden.encode_result(3) == b"3"
    assert untyped.encode_result({"any": "thing"}) == b'{"any":"thing"}'


def test_lists_that_are_none_are_refused_with_what_to_write() -> None:
    @aiq.batch_task
    def wrong(item: str) -> list[str]:
        return [item]

    with pytest.raises(aiq.PayloadInvalid, match=r"argument item: item is annotated .*takes and returns lists"):
        wrong.job("x")


async def test_an_estimate_is_made_for_one_item() -> None:
    @aiq.batch_task
    async def plain(texts: list[str]) -> list[int]:
        return [len(text) for text in texts]

    @plain.estimate
    def _(text: str) -> aiq.Estimate:
        return aiq.Estimate(input=len(text))

    assert plain.job("four").spec(job_id="x").estimate == aiq.Estimate(input=4)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"size": 0}, "size of a batch"),
        ({"size": 257}, "size of a batch"),
        ({"linger": -1}, "linger"),
        ({"linger": 61}, "linger"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(aiq.InvalidInput, match=told):

        @aiq.batch_task(**options)
        def task(items: list[int]) -> list[int]:
            return items


def test_an_option_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(aiq.InvalidInput, match=r"no option 'sise' of a batch task. There are: name, .*size, linger"):
        aiq.batch_task(sise=3)  # type: ignore[call-overload]


def halved(numbers: list[int]) -> list[int]:
    return [number // 2 for number in numbers]


def test_what_cannot_be_a_batch_task_is_refused() -> None:
    with pytest.raises(aiq.InvalidInput, match="cannot run in a process"):
        aiq.batch_task(kind="process")(halved)
    with pytest.raises(aiq.InvalidInput, match="decorate a function"):
        aiq.batch_task(len)
    with pytest.raises(aiq.InvalidInput, match="and nothing else"):

        @aiq.batch_task  # type: ignore[call-overload,untyped-decorator,unused-ignore]
        async def many(ctx: aiq.BatchContext, items: list[int], more: int) -> list[int]:
            return items

    with pytest.raises(aiq.InvalidInput, match="takes a BatchContext, which belongs to the event loop"):

        @aiq.batch_task  # type: ignore[call-overload,untyped-decorator,unused-ignore]
        def plain(ctx: aiq.BatchContext, items: list[int]) -> list[int]:
            return items


async def test_items_are_enqueued_one_by_one_and_each_has_its_own_result() -> None:
    async with aiq.Queue("memory://") as queue:
        jobs = await queue.enqueue_many(embed.job("x" * n) for n in range(3))
        stats = await aiq.Worker(queue, tasks=[embed]).run_until_idle()

        assert [await job.result() for job in jobs] == [Vector([0]), Vector([1]), Vector([2])]
        assert stats.succeeded == 3


async def test_items_may_be_children() -> None:
    @aiq.task
    async def index(ctx: aiq.Context, texts: list[str]) -> list[int]:
        return await ctx.gather("lengths", [hidden.job(text) for text in texts])

    async with aiq.Queue("memory://") as queue:
        job = await queue.enqueue(index.job(["a", "bc"]))
        await aiq.Worker(queue, tasks=[index, hidden]).run_until_idle()
        assert await job.result() == [1, 2]
