"""Limits, budgets, routes and estimates, as mypy sees them. Nothing here is run; an ignore that is not needed is an
error."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import assert_type

import aiq

GPT = aiq.Limit("gpt", requests=600, tokens=450_000, per=timedelta(minutes=1), charge="reserve", weights={"output": 5})
KEYS = aiq.Limit("keys", concurrency=1, by="key")
ROUTES = [aiq.Route("gpt", model="gpt", limits=[GPT, "stored"]), aiq.Route("claude", patience=30)]


@aiq.task(limits=[GPT, "stored"], routes=ROUTES, max_deferral=timedelta(minutes=5))
async def chat(ctx: aiq.Context, prompt: str, *, depth: int = 1) -> list[str]:
    assert_type(ctx.route.model if ctx.route else "", str)
    return [prompt] * depth


# The estimate takes the arguments of the task, without the context, and stays what it is.
@chat.estimate
def cost(prompt: str, *, depth: int = 1) -> aiq.Estimate:
    return aiq.Estimate(input=len(prompt) * depth, max_output=2_000, model="gpt")


assert_type(cost("x", depth=3), aiq.Estimate)
assert_type(chat.job("x", depth=2), aiq.NewJob[list[str]])
chat.job(1)  # type: ignore[arg-type]


@aiq.task
def count(text: str) -> int:
    return len(text)


@count.estimate
def _(text: str) -> aiq.Estimate:
    return aiq.Estimate(input=len(text))


@chat.estimate
def _(prompt: str, depth: int = 1) -> aiq.Estimate:
    return aiq.Estimate(input=depth)


def other_arguments(text: int) -> aiq.Estimate:
    return aiq.Estimate(input=text)


def other_answer(text: str) -> int:
    return len(text)


async def later(text: str) -> aiq.Estimate:
    return aiq.Estimate()


wrong: list[Callable[..., object]] = [
    count.estimate(other_arguments),  # type: ignore[arg-type]
    count.estimate(other_answer),  # type: ignore[arg-type]
    count.estimate(later),  # type: ignore[arg-type]
]

job = chat.job("x").using(
    key="user 1",
    limits=[KEYS],
    routes=ROUTES[:1],
    estimate=aiq.Estimate(input=5),
    budget=aiq.Budget(usd="2.00", on_exceeded="approve"),
    max_deferral=60,
)
assert_type(job, aiq.NewJob[list[str]])
chat.job("x").using(budget="team", limits=["stored"])
chat.job("x").using(budget=2.0)  # type: ignore[arg-type]
chat.job("x").using(limits=GPT)  # type: ignore[arg-type]
chat.job("x").using(routes=["gpt"])  # type: ignore[list-item]
aiq.task(limits=GPT)  # type: ignore[call-overload]
aiq.Limit("x", requests=1, by="user")  # type: ignore[arg-type]
aiq.Limit("x", requests=1, charge="all")  # type: ignore[arg-type]
aiq.Budget("x", usd=[2])  # type: ignore[arg-type]
aiq.Budget("x", usd=1, window="week")  # type: ignore[arg-type]
aiq.Price("gpt", "input", Decimal("2.5"), from_=datetime(2027, 1, 1, tzinfo=UTC))


async def operate(queue: aiq.Queue, handle: aiq.Job[list[str]]) -> None:
    stored = await queue.enqueue(job, wait=30, budget="team", tenant="acme")
    assert_type(stored, aiq.Job[list[str]])
    assert_type(await queue.enqueue_many([job], wait=timedelta(seconds=30)), list[aiq.Job[list[str]]])
    flow = aiq.Flow("digest", budget=aiq.Budget(tokens=50_000))
    assert_type(await queue.run(flow, budget="team", wait=1), aiq.FlowRun)
    assert_type(await queue.explain(handle), aiq.Why)
    assert_type((await handle.explain()).opens_in, float | None)
    assert_type(await handle.hold(), aiq.JobRecord)
    assert_type(await queue.unhold([handle.id]), list[aiq.JobRecord | None])
    await queue.prepare([chat, count])

    admin = queue.admin
    assert_type(admin, aiq.Admin)
    assert_type(await admin.put_limit(GPT), aiq.Limit)
    assert_type(await admin.limits(), list[aiq.LimitReport])
    await admin.reset_limits([chat, GPT])
    await admin.reset_limits(["gpt"])  # type: ignore[list-item]
    assert_type((await admin.put_budget(aiq.Budget("team", usd=1))).left.usd, Decimal | None)
    assert_type(await admin.grant("team", usd="10", tokens=0, cache_write=5), aiq.BudgetReport)
    await admin.grant("team", output="5")  # type: ignore[arg-type]
    assert_type(await admin.prices("gpt"), list[aiq.Price])
    report = await admin.usage(job=handle, since=datetime.now(UTC))
    assert_type(report, aiq.UsageReport)
    assert_type(report.total.usd, Decimal)
    assert_type(await admin.configure("bulk", max_ready=10, rate=0.5), aiq.QueueReport)
