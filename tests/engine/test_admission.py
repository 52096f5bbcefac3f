"""Runs and a storage with limits and budgets, together: what is taken, waited for, given back and counted."""

import asyncio
from collections.abc import Sequence
from typing import Any

import aiq
from aiq.model import BudgetSpec, HeldFor, LimitSpec, LimitStatus, OnExceeded, PriceRow, State, UsageFilter
from tests.engine.handlers import double
from tests.engine.world import START_MS, World, virtually

ENDED = (State.SUCCEEDED, State.DEAD, State.CANCELLED)


@aiq.task(name="asks")
async def asks(ctx: aiq.Context, input: int = 100, output: int = 100, seconds: float = 1.0, parts: int = 1) -> None:
    """Ask a provider so often, and use exactly what was declared."""
    for _ in range(parts):
        async with ctx.call("gpt", input=input, max_output=output, model="m") as call:
            await asyncio.sleep(seconds)
            call.settle(aiq.Usage(input=input, output=output))


class Refused(Exception):
    def __init__(self, after: str | None = None, text: str = "no room") -> None:
        super().__init__(text)
        self.status_code = 429
        self.headers = {} if after is None else {"retry-after": after}


def passed_s(world: World) -> float:
    return (world.clock() - START_MS) / 1000


async def put(world: World, **limit: Any) -> None:
    await world.storage.put_limits([LimitSpec(name="gpt", **limit)])


async def full(world: World, **limit: Any) -> None:
    """A limit that is full: one from which something was taken once, a while ago."""
    await put(world, **limit)
    await world.enqueue(double.job(1).using(limits=["gpt"], estimate=aiq.Estimate(input=0, max_output=0)))
    await world.drain(double)
    await asyncio.sleep(120)


async def standing(world: World, name: str = "gpt", key: str = "") -> LimitStatus:
    return next(status for status in await world.storage.get_limits([name]) if status.key == key)


async def all_ended(world: World, jobs: Sequence[str]) -> None:
    for job in jobs:
        await world.until(job, *ENDED)


@virtually
async def test_nothing_is_held_of_any_limit_when_all_is_done(world: World) -> None:
    await put(world, tokens=60_000, requests=600, concurrency=3)
    jobs = await world.enqueue(*[asks.job(parts=3).using(limits=["gpt"]) for _ in range(10)])
    worker = await world.start(asks)
    await all_ended(world, jobs)

    status = await standing(world)
    assert (status.tokens_held, status.running, status.waiting) == (0, 0, 0)
    assert worker.statistics.succeeded == 10
    await worker.stop()
    await world.clean()


@virtually
async def test_no_more_calls_are_open_than_a_concurrency_allows(world: World) -> None:
    await put(world, concurrency=2)
    now, most = [0], [0]

    @aiq.task
    async def spreads(ctx: aiq.Context) -> None:
        async def one() -> None:
            async with ctx.call("gpt", input=1, max_output=1) as call:
                now[0] += 1
                most[0] = max(most[0], now[0])
                await asyncio.sleep(1)
                now[0] -= 1
                call.settle(aiq.Usage(input=1))

        await asyncio.gather(*[one() for _ in range(4)])

    jobs = await world.enqueue(*[spreads.job() for _ in range(3)])
    worker = await world.start(spreads)
    await all_ended(world, jobs)

    assert most == [2]
    assert passed_s(world) < 12 / 2 + 1
    await worker.stop()
    await world.clean()


@virtually
async def test_calls_begin_at_the_rate_of_their_limit(world: World) -> None:
    await full(world, requests=60, burst_ms=1_000)
    before_s = passed_s(world)
    [job] = await world.enqueue(asks.job(seconds=0, parts=31))
    worker = await world.start(asks)
    await world.until(job, State.SUCCEEDED)

    assert 30 <= passed_s(world) - before_s <= 30.5
    await worker.stop()
    await world.clean()


@virtually
async def test_a_worker_is_not_idle_while_jobs_stand_ready_behind_a_limit(world: World) -> None:
    await full(world, requests=60, burst_ms=1_000)
    before_s = passed_s(world)
    jobs = await world.enqueue(*[double.job(1).using(limits=["gpt"]) for _ in range(20)])
    await world.drain(double)

    assert {await world.state(job) for job in jobs} == {State.SUCCEEDED}
    assert 18 <= passed_s(world) - before_s <= 20


@virtually
async def test_a_worker_is_idle_when_all_that_is_ready_stands_in_a_paused_queue(world: World) -> None:
    await world.storage.pause("default")
    [job] = await world.enqueue(double.job(1))
    await world.drain(double)

    assert await world.state(job) is State.READY


@virtually
async def test_while_a_run_waits_for_its_rate_its_slot_serves_other_jobs(world: World) -> None:
    await full(world, requests=1, burst_ms=60_000)
    before_s = passed_s(world)
    [waits] = await world.enqueue(asks.job(seconds=0, parts=2))
    worker = await world.start(asks, double, slots=1)
    await asyncio.sleep(2)
    others = await world.enqueue(*[double.job(1) for _ in range(20)])
    await all_ended(world, others)

    assert passed_s(world) - before_s < 10
    assert await world.state(waits) is State.RUNNING
    await world.until(waits, State.SUCCEEDED)
    await worker.stop()
    await world.clean()


@virtually
async def test_a_429_pauses_its_limit_for_every_job(world: World) -> None:
    await full(world, requests=600)
    before_s = passed_s(world)

    @aiq.task
    async def refused(ctx: aiq.Context) -> None:
        async with ctx.call("gpt", input=1, max_output=1) as call:
            if passed_s(world) - before_s < 1:
                raise Refused("20")
            call.settle(aiq.Usage(input=1))

    [job] = await world.enqueue(refused.job())
    worker = await world.start(refused, asks)
    await asyncio.sleep(1)
    [other] = await world.enqueue(asks.job(seconds=0))
    await world.until(other, State.SUCCEEDED)
    assert passed_s(world) - before_s >= 20

    record = await world.until(job, *ENDED)
    assert (record.state, record.failures) == (State.SUCCEEDED, 0)
    assert 20 <= passed_s(world) - before_s <= 23
    await worker.stop()
    await world.clean()


@virtually
async def test_a_429_that_no_call_told_of_pauses_the_limits_of_the_job(world: World) -> None:
    await full(world, requests=600)

    @aiq.task
    async def refused() -> None:
        raise Refused("20")

    await world.enqueue(refused.job().using(limits=["gpt"]))
    worker = await world.start(refused)
    await asyncio.sleep(1)

    assert 18_000 <= (await standing(world)).frozen_ms <= 20_000
    await worker.stop()
    await world.clean()


@virtually
async def test_a_429_pauses_the_tenants_own_part_of_a_limit(world: World) -> None:
    await full(world, requests=600, by="tenant")

    @aiq.task
    async def refused() -> None:
        raise Refused("20")

    await world.enqueue(refused.job().using(limits=["gpt"], tenant="acme"))
    worker = await world.start(refused)
    await asyncio.sleep(1)

    assert (await standing(world, key="acme")).frozen_ms >= 18_000
    assert [status.key for status in await world.storage.get_limits(["gpt"]) if status.frozen_ms] == ["acme"]
    await worker.stop()
    await world.clean()


@virtually
async def test_a_job_that_is_refused_for_too_long_is_dead_of_it(world: World) -> None:
    @aiq.task
    async def refused() -> None:
        raise Refused

    [job] = await world.enqueue(refused.job())
    worker = await world.start(refused)
    record = await world.until(job, *ENDED)

    assert (record.state, record.cause) == (State.DEAD, aiq.model.Cause.RATE_LIMITED)
    assert 3_600 <= passed_s(world) <= 3_700
    await worker.stop()
    await world.clean()


@virtually
async def test_a_spent_quota_holds_the_job_until_an_operator_lets_it_go(world: World) -> None:
    spent = [True]

    @aiq.task
    async def refused(ctx: aiq.Context) -> None:
        async with ctx.call(input=1, max_output=1) as call:
            if spent[0]:
                raise Refused(text="insufficient_quota")
            call.settle(aiq.Usage(input=1))

    [job] = await world.enqueue(refused.job())
    worker = await world.start(refused)
    record = await world.until(job, State.HELD)
    assert (record.held, record.failures) == (HeldFor.QUOTA, 0)

    spent[0] = False
    await world.storage.unhold([job])
    await world.until(job, State.SUCCEEDED)
    await worker.stop()
    await world.clean()


@virtually
async def test_a_call_that_a_budget_cannot_hold_holds_its_job_until_there_is_room(world: World) -> None:
    await world.storage.put_budgets([BudgetSpec(id="team", caps={"tokens": 500})])
    asked: list[str] = []

    @aiq.task
    async def spends(ctx: aiq.Context) -> None:
        async def once(name: str) -> int:
            asked.append(name)
            async with ctx.call(input=100, max_output=200, model="m") as call:
                call.settle(aiq.Usage(input=100, output=200))
            return 1

        for name in ("a", "b", "c"):
            await ctx.step(name, once, name)

    [job] = await world.enqueue(spends.job().using(estimate=aiq.Estimate(input=1, max_output=1), budget="team"))
    worker = await world.start(spends, slots=1)
    record = await world.until(job, State.HELD)
    assert (record.held, record.held_by, record.failures) == (HeldFor.BUDGET, "team", 0)
    [status] = await world.storage.get_budgets(["team"])
    assert (dict(status.state.spent)["tokens"], status.state.held.get("tokens", 0)) == (300, 0)

    await world.storage.grant("team", "g1", {"tokens": 1_000})
    await world.until(job, State.SUCCEEDED)
    assert asked == ["a", "b", "b", "c"]
    await worker.stop()
    await world.clean()


@virtually
async def test_a_call_is_lowered_to_what_a_budget_still_holds(world: World) -> None:
    await world.storage.put_budgets([BudgetSpec(id="team", caps={"tokens": 150})])
    offered: list[int] = []

    @aiq.task
    async def spends(ctx: aiq.Context) -> None:
        async with ctx.call(input=100, max_output=200, min_output=20, model="m") as call:
            offered.append(call.max_output)
            call.settle(aiq.Usage(input=100, output=call.max_output))

    [job] = await world.enqueue(spends.job().using(budget="team"))
    worker = await world.start(spends)
    await world.until(job, State.SUCCEEDED)

    assert offered == [50]
    await worker.stop()
    await world.clean()


@virtually
async def test_a_budget_that_says_fail_ends_the_job_in_its_call(world: World) -> None:
    budget = BudgetSpec(id="team", caps={"tokens": 50}, on_exceeded=OnExceeded.FAIL)
    await world.storage.put_budgets([budget])
    await put(world, requests=60)
    estimate = aiq.Estimate(input=1, max_output=1)
    [job] = await world.enqueue(asks.job().using(budget="team", estimate=estimate))
    worker = await world.start(asks)
    record = await world.until(job, *ENDED)

    assert (record.state, record.cause) == (State.DEAD, aiq.model.Cause.BUDGET)
    assert "team" in record.errors[-1].message
    await worker.stop()
    await world.clean()


@virtually
async def test_every_unit_is_counted_once_over_retries_and_waits(world: World) -> None:
    await world.storage.put_prices(
        [PriceRow(model="m", category=name, usd_micros_per_million=1_000_000) for name in ("input", "output")]
    )

    @aiq.task(retry=aiq.Retry(first_delay=0))
    async def spends(ctx: aiq.Context) -> None:
        async with ctx.call(input=100, max_output=200, model="m") as call:
            call.report(aiq.Usage(input=100, output=20))
            await asyncio.sleep(1)
            call.report(aiq.Usage(input=100, output=40))
            if ctx.attempt == 1:
                raise ValueError("half way")
            call.settle(aiq.Usage(input=100, output=50))
        await ctx.sleep("nap", 60)
        ctx.report(aiq.Usage(model="m", input=7))

    [job] = await world.enqueue(spends.job())
    worker = await world.start(spends)
    await world.until(job, State.SUCCEEDED)

    rows = (await world.storage.usage(UsageFilter(job_id=job))).rows
    used: dict[str, int] = {}
    for row in rows:
        used[row.category] = used.get(row.category, 0) + row.tokens
    # The second run of the second attempt calls again: it stood in no step.
    assert used == {"input": 307, "output": 140}
    assert sum(row.usd_micros for row in rows) == 447
    await worker.stop()
    await world.clean()


@virtually
async def test_a_run_that_vanishes_is_charged_until_it_says_what_it_used(world: World) -> None:
    await full(world, tokens=6_000, burst_ms=60_000)

    @aiq.task(lease=2)
    async def vanishes(ctx: aiq.Context) -> None:
        async with ctx.call("gpt", input=1_000, max_output=2_000) as call:
            try:
                await asyncio.sleep(3_600)
            finally:
                call.settle(aiq.Usage(input=1_000))

    [job] = await world.enqueue(vanishes.job())
    worker = await world.start(vanishes)
    await world.until(job, State.RUNNING)
    await asyncio.sleep(0.5)
    assert (await standing(world)).tokens_held == 2_000
    await world.storage.cancel([job], force=True)
    status = await standing(world)
    assert (status.tokens_held, status.tokens_left) == (0, 3_050)

    await asyncio.sleep(5)
    # Told of the loss, the handler has said what it used: what was charged over that has come back.
    assert (await standing(world)).tokens_left == min(6_000, 5_000 + 50 + 500)
    assert worker.statistics.running == 0
    await worker.stop()
    await world.clean()


@virtually
async def test_a_job_that_a_worker_gives_back_has_used_nothing_of_its_limits(world: World) -> None:
    await full(world, tokens=6_000, requests=60, burst_ms=60_000)

    @aiq.task
    async def idles() -> None:
        await asyncio.sleep(1_000)

    estimate = aiq.Estimate(input=1_000, max_output=2_000)
    [job] = await world.enqueue(idles.job().using(limits=["gpt"], estimate=estimate))
    worker = await world.start(idles, grace_ms=0)
    await world.until(job, State.RUNNING)
    await worker.stop()

    status = await standing(world)
    assert (status.tokens_left, status.requests_left, status.tokens_held) == (6_000, 60, 0)
    assert (await world.get(job)).failures == 0
    await world.clean()


@virtually
async def test_what_was_refused_for_what_it_asked_teaches_nothing(world: World) -> None:
    await full(world, tokens=1_000_000, burst_ms=60_000)

    class BadRequest(Exception):
        status_code = 400

    @aiq.task(retry=aiq.Retry(attempts=1))
    async def wrong(ctx: aiq.Context) -> None:
        async with ctx.call("gpt", model="m"):
            raise BadRequest("no such parameter")

    @aiq.task(name=wrong.name)
    async def right(ctx: aiq.Context) -> None:
        async with ctx.call("gpt", model="m") as call:
            await asyncio.sleep(1)
            call.settle(aiq.Usage(input=1))

    jobs = await world.enqueue(*[wrong.job() for _ in range(30)])
    worker = await world.start(wrong)
    await all_ended(world, jobs)
    await worker.stop()

    await world.enqueue(right.job())
    worker = await world.start(right)
    await asyncio.sleep(0.5)
    # As much as of a call of which nobody knows anything.
    assert (await standing(world)).tokens_held == 1_000
    await worker.stop()
    await world.clean()
