"""Durable points and workers, as mypy sees them. Nothing here is run; an ignore that is not needed is an error."""

from dataclasses import dataclass
from typing import assert_type

import aiq


@dataclass
class Note:
    text: str


@aiq.task
async def search(topic: str) -> Note:
    return Note(topic)


@aiq.task
def count(text: str) -> int:
    return len(text)


async def write(ctx: aiq.Context, notes: list[Note]) -> str:
    return ""


async def steps(ctx: aiq.Context) -> None:
    assert_type(await ctx.step("write", write, ctx, [Note("x")]), str)
    assert_type(await ctx.step("task", search, "x"), Note)
    assert_type(await ctx.step("typed", lambda: [1], returns=list[int]), list[int])
    await ctx.step("write", write, ctx)  # type: ignore[call-overload]


async def children(ctx: aiq.Context) -> None:
    jobs = [search.job("a"), search.job("b")]
    assert_type(await ctx.gather("all", jobs, rest="leave"), list[Note])
    assert_type(await ctx.gather("all", jobs, on_failure="fail"), list[Note])
    await ctx.gather("all", [search])  # type: ignore[arg-type]


async def workers(queue: aiq.Queue) -> None:
    worker = aiq.Worker(queue, tasks=[search, count], slots={"default": 4})
    assert_type(await worker.run_until_idle(), aiq.Statistics)
    async with aiq.Worker("sqlite:///jobs.db", [search], slots=8) as entered:
        assert_type(entered, aiq.Worker)
