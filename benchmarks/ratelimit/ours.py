"""Ours: the same four classes as tasks whose calls are admitted by the store before they are sent."""

from dataclasses import dataclass
from typing import Final

import aiq
from benchmarks.ratelimit.client import MODEL, Client
from benchmarks.ratelimit.plan import Clock, Plan
from benchmarks.ratelimit.scenarios import KINDS, PER_S, REQUESTS, TOKENS
from benchmarks.ratelimit.traces import Call, Job, Trace

BAND: Final = {True: aiq.Band.INTERACTIVE, False: aiq.Band.NORMAL}


@dataclass(frozen=True, slots=True)
class Tasks:
    """The task of each class, and the limit that they share."""

    limit: aiq.Limit
    by_kind: dict[str, aiq.Task[[str, list[Call]], int]]


def tasks(plan: Plan, client: Client) -> Tasks:
    """Declare the provider's limit as a user knows it, and one task for each class, so that each learns its output."""
    scenario = plan.scenario
    limit = aiq.Limit(
        "provider",
        requests=REQUESTS,
        tokens=TOKENS,
        per=PER_S / plan.compress,
        burst=scenario.assumed_burst_s / plan.compress,
        charge=scenario.charge,
        refund=scenario.refund,
    )
    return Tasks(limit, {kind: _task(kind, limit, client) for kind in KINDS})


def _task(kind: str, limit: aiq.Limit, client: Client) -> aiq.Task[[str, list[Call]], int]:
    @aiq.task(name=kind, limits=[limit])
    async def work(ctx: aiq.Context, job: str, calls: list[Call]) -> int:
        if len(calls) == 1:
            return await _complete(ctx, client, job, 0, calls[0])
        # Each call of an agent is a step: a later one that has to wait never pays for those before it again.
        return sum([await ctx.step("call", _complete, ctx, client, job, n, call) for n, call in enumerate(calls)])

    @work.estimate
    def _(job: str, calls: list[Call]) -> aiq.Estimate:
        del job
        return aiq.Estimate(input=calls[0].input, max_output=calls[0].max_output, model=MODEL)

    return work


async def _complete(ctx: aiq.Context, client: Client, job: str, number: int, call: Call) -> int:
    async with ctx.call(input=call.input, max_output=call.max_output, model=MODEL) as admitted:
        answer = await client.complete(job, number, call)
        if answer.throttled:
            raise admitted.throttled(retry_after=answer.retry_after_s)
        usage = answer.usage
        admitted.settle(aiq.Usage(model=MODEL, input=usage.prompt_tokens, output=usage.completion_tokens))
        return usage.completion_tokens


async def produce(plan: Plan, clock: Clock, trace: Trace) -> None:
    """Enqueue each job when it comes."""
    by_kind = tasks(plan, Client(plan.base_url)).by_kind
    async with aiq.Queue(plan.store_url) as queue:
        for job in trace:
            await clock.until(job.arrival_s)
            await queue.enqueue(_new(by_kind, job), id=job.id, band=BAND[job.urgent])


def _new(by_kind: dict[str, aiq.Task[[str, list[Call]], int]], job: Job) -> aiq.NewJob[int]:
    return by_kind[job.kind].job(job.id, list(job.calls))


async def dead(plan: Plan) -> list[str]:
    """The ids of the jobs that ended without a result."""
    found: list[str] = []
    async with aiq.Queue(plan.store_url) as queue:
        cursor: str | None = None
        while True:
            page = await queue.list(aiq.JobFilter(states=frozenset({aiq.State.DEAD})), cursor=cursor)
            found += [record.id for record in page.jobs]
            cursor = page.cursor
            if cursor is None:
                return found
