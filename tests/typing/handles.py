"""Queues, flows and handles, as mypy sees them. Nothing here is run; an ignore that is not needed is an error."""

from dataclasses import dataclass
from datetime import timedelta
from typing import assert_type

import aiq

APPROVAL = aiq.Signal("approval", bool)


@dataclass
class Verdict:
    approved: bool
    reason: str


VERDICT = aiq.Signal("verdict", Verdict)


@aiq.task
async def summarize(ctx: aiq.Context, text: str) -> str:
    return text


@aiq.task
def merge(parts: list[str]) -> str:
    return "".join(parts)


@aiq.task
def merge_what_came(parts: list[str | aiq.Failure]) -> int:
    return len(parts)


async def handles(queue: aiq.Queue) -> None:
    job = await queue.enqueue(summarize.job("x"), band="interactive", delay=timedelta(seconds=3), tenant="acme")
    assert_type(job, aiq.Job[str])
    assert_type(await job.result(timeout=60), str)
    assert_type(await queue.ask(summarize.job("x"), timeout=5, on_timeout="cancel"), str)
    await queue.ask(summarize.job("x"), on_timeout="stop")  # type: ignore[arg-type]
    assert_type(await queue.enqueue_many(summarize.job(text) for text in "ab"), list[aiq.Job[str]])
    assert_type(queue.job("id", summarize), aiq.Job[str])
    assert_type(await queue.job("id").result(), object)
    assert_type(queue["bulk"], aiq.Queue)
    assert_type(await job.state(), aiq.State)
    assert_type(await job.progress(), object)
    async for chunk in job.stream(after=3):
        assert_type(chunk, aiq.Chunk)
    async for text in job.text():
        assert_type(text, str)
    await queue.enqueue(summarize.job("x"), unique="x")
    await queue.enqueue(summarize.job("x"), unique=1)  # type: ignore[arg-type]
    await queue.enqueue(summarize)  # type: ignore[arg-type]


async def signals(job: aiq.Job[str]) -> None:
    await job.send(APPROVAL, True)
    await job.send(VERDICT, Verdict(True, "fine"), id="click 1")
    await job.send(APPROVAL, "yes")  # type: ignore[misc]
    await job.send(VERDICT, True)  # type: ignore[misc]


async def flows(queue: aiq.Queue) -> None:
    flow = aiq.Flow("digest")
    parts = [flow.add(summarize.job(text)) for text in "ab"]
    assert_type(parts[0], aiq.Node[str])
    assert_type(parts[0].output, str)
    whole = flow.add(merge.job([part.output for part in parts]))
    counted = flow.add(merge_what_came.job([part.output for part in parts]), on_upstream="continue")
    flow.add(merge.job([counted.output]))  # type: ignore[list-item]
    flow.add(merge.job([]), on_upstream="stop")  # type: ignore[arg-type]
    run = await queue.run(flow, band="high")
    assert_type(await run[whole].result(), str)
    assert_type(await run[counted].result(), int)


async def in_a_handler(ctx: aiq.Context) -> None:
    jobs = [summarize.job(text) for text in "ab"]
    assert_type(await ctx.gather("parts", jobs), list[str])
    assert_type(await ctx.gather("parts", jobs, on_failure="continue"), list[str | aiq.Failure])
    assert_type(await ctx.first("first", jobs), str)
    assert_type(await ctx.quorum("some", jobs, 2), list[str])
    assert_type(await ctx.wait_for(APPROVAL, timeout=timedelta(days=2)), bool)
    assert_type(await ctx.wait_for(VERDICT), Verdict)
    assert_type(await ctx.step("merge", merge, ["a", "b"]), str)
    assert_type(await ctx.step("summarize", summarize, ctx, "a"), str)
    assert_type(await ctx.step("join", "".join, ["a"]), str)
    await ctx.step("merge", merge, [1])  # type: ignore[call-overload]
