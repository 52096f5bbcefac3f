"""Batch tasks, as mypy sees them. Nothing here is run; an ignore that is not needed is an error."""

from dataclasses import dataclass
from typing import assert_type

import aiq


@dataclass
class Vector:
    numbers: list[float]


@aiq.batch_task
async def plain(ctx: aiq.BatchContext, texts: list[str]) -> list[Vector]:
    return [Vector([]) for _ in texts]


@aiq.batch_task(size=16, linger=0.5, queue="embeddings", retry=aiq.Retry(attempts=5))
async def embed(ctx: aiq.BatchContext, texts: list[str]) -> list[Vector | aiq.Failure]:
    assert_type(ctx.items[0].gone, bool)
    async with ctx.call(model="small") as call:
        call.settle(aiq.Usage(input=len(texts)))
    return [Vector([]) if text else ctx.items[n].failed("no text") for n, text in enumerate(texts)]


@aiq.batch_task
async def count(texts: list[str]) -> list[int | Exception]:
    return [len(text) or ValueError("no text") for text in texts]


@aiq.batch_task
def double(numbers: list[int]) -> list[int]:
    return [2 * number for number in numbers]


assert_type(plain.job("x"), aiq.NewJob[Vector])
assert_type(embed.job("x").using(tenant="acme"), aiq.NewJob[Vector])
assert_type(count.job("x"), aiq.NewJob[int])
assert_type(double.job(2), aiq.NewJob[int])
embed.job(["x"])  # type: ignore[arg-type]
embed.job("x", "y")  # type: ignore[call-arg]
aiq.batch_task(size="many")  # type: ignore[call-overload]


@embed.estimate
def _(text: str) -> aiq.Estimate:
    return aiq.Estimate(input=len(text) // 4)


# A batch task is a task of one item.
def queue_of(task: aiq.Task[[str], Vector]) -> str | None:
    return task.queue


def name_of(task: aiq.BatchTask[str, Vector]) -> str:
    return task.name


queue_of(embed)
name_of(plain)
name_of(count)  # type: ignore[arg-type]


async def called(ctx: aiq.BatchContext, queue: aiq.Queue) -> None:
    assert_type(list(double([1])), list[int | aiq.Failure | Exception])
    await embed(ctx, ["x"])
    await embed(["x"])  # type: ignore[call-arg, arg-type]
    aiq.Worker(queue, tasks=[plain, embed, count, double])
    assert_type(await queue.ask(embed.job("x")), Vector)
