"""Ours: the same four classes as tasks whose calls are admitted by the store before they are sent."""

import asyncio
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final, TypeAlias

import aiq
from aiq.rules import limits
from benchmarks.ratelimit.client import MODEL, Client
from benchmarks.ratelimit.plan import Clock, Plan
from benchmarks.ratelimit.scenarios import KINDS, PER_S, REQUESTS, TOKENS
from benchmarks.ratelimit.traces import Call, Job, Trace

PREPARED_S: Final = 10.0
"""Real seconds within which the workers, which are up, must have run a job that does nothing."""
TRANSIT_S: Final = 0.1
"""Real seconds that a call may take from its admission to the provider; docs/limits.md says what a burst has to do with
that. Nothing in the machine is compressed, so in simulated seconds this is `compress` times as much."""
RULES_MS: Final = {
    name: getattr(limits, name) for name in ("OPENING_MS", "PACE_STEP_MS", "LEAST_PAUSE_MS", "LONGEST_PAUSE_MS")
}
"""What the rules of a limit say in milliseconds: no option of a limit, and yet to be scaled like everything else."""
BAND: Final = {True: aiq.Band.INTERACTIVE, False: aiq.Band.NORMAL}


Work: TypeAlias = aiq.Task[[str, list[Call]], int]
"""The name of a job and its calls; what it answers is the output in all."""


@dataclass(frozen=True, slots=True)
class Tasks:
    """The task of each class, and one that only takes a token of the limit that they share."""

    by_kind: dict[str, Work]
    first: aiq.Task[[], None]

    @property
    def all(self) -> list[Work | aiq.Task[[], None]]:
        """What a worker serves."""
        return [*self.by_kind.values(), self.first]


def tasks(plan: Plan, client: Client) -> Tasks:
    """Declare the provider's limit as a user knows it, and one task for each class, so that each learns its output."""
    _compress_rules(plan.compress)
    scenario = plan.scenario
    limit = aiq.Limit(
        "provider",
        requests=REQUESTS,
        tokens=TOKENS,
        per=PER_S / plan.compress,
        burst=scenario.assumed_burst_s / plan.compress - TRANSIT_S,
        charge=scenario.charge,
        refund=scenario.refund,
    )
    return Tasks({kind: _task(kind, limit, client) for kind in KINDS}, _first(limit))


def _compress_rules(compress: float) -> None:
    """Scale the constants of the rules in this process: a store on Redis writes them into its scripts, which are made
    later, and all others apply them here.

    Else a new limit would begin with nearly a minute of its rate instead of five seconds, and would take five minutes
    instead of thirty seconds for each step back to its full pace.
    """
    for name, value_ms in RULES_MS.items():
        setattr(limits, name, max(1, round(value_ms / compress)))


def _first(limit: aiq.Limit) -> aiq.Task[[], None]:
    @aiq.task(name="first", limits=[limit])
    async def first(ctx: aiq.Context) -> None:
        async with ctx.call(input=1, max_output=1, model="nothing") as call:
            call.settle(aiq.Usage(model="nothing", input=1))

    return first


def _task(kind: str, limit: aiq.Limit, client: Client) -> Work:
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


async def prepare(plan: Plan) -> None:
    """Let the limit be no new one when the trace begins: it starts with little, and is full after one burst.

    The provider's bucket is full then, and so is the model's. Else all of a saturated run would be late by what a new
    limit holds back, and that would be measured instead of the order in which work goes.
    """
    async with aiq.Queue(plan.store_url) as queue:
        job = await queue.enqueue(tasks(plan, Client(plan.base_url)).first.job())
        await job.result(timeout=PREPARED_S)
    await asyncio.sleep(plan.scenario.assumed_burst_s / plan.compress)


async def produce(plan: Plan, clock: Clock, trace: Trace) -> None:
    """Enqueue each job when it comes; those that came while others were being stored go together."""
    by_kind = tasks(plan, Client(plan.base_url)).by_kind
    async with aiq.Queue(plan.store_url) as queue:
        done = 0
        while done < len(trace):
            await clock.until(trace[done].arrival_s)
            due = trace[done : bisect_right(trace, clock.now_s, lo=done + 1, key=lambda job: job.arrival_s)]
            await queue.enqueue_many([_new(by_kind, job) for job in due])
            done += len(due)


def _new(by_kind: dict[str, Work], job: Job) -> aiq.NewJob[int]:
    return by_kind[job.kind].job(job.id, list(job.calls)).using(id=job.id, band=BAND[job.urgent])


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
