"""One call to a provider for all items of a batch."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import aiq
from aiq.errors import LeaseLost, LostReason
from aiq.model import (
    FIRST,
    Admitted,
    CallState,
    Cause,
    Exceeded,
    HeldFor,
    OnExceeded,
    Refused,
    Remaining,
    State,
    Usage,
)
from tests.engine.booked import Booked
from tests.engine.calling import Answered
from tests.engine.world import World, virtually

ONCE = aiq.Retry(attempts=1)
GPT = aiq.Limit("gpt", concurrency=4)


def calling(use: Callable[[aiq.BatchCall, aiq.BatchContext], object] = lambda call, ctx: None, **options: Any) -> Any:
    """A batch task that makes one call, and does something in it."""

    @aiq.batch_task(retry=ONCE, **options)
    async def embed(ctx: aiq.BatchContext, texts: list[str]) -> list[str]:
        async with ctx.call() as call:
            use(call, ctx)
        await asyncio.sleep(1)
        return texts

    return embed


def declared(*tokens: int | None) -> list[aiq.Estimate]:
    return [aiq.Estimate(input=count, model="m") for count in tokens]


async def run(world: World, task: Any, estimates: list[aiq.Estimate]) -> list[str]:
    jobs = [task.job("x").using(estimate=estimate) for estimate in estimates]
    ids = await world.enqueue(*jobs)
    await world.drain(task)
    return ids


@virtually
async def test_a_call_is_opened_for_each_item_and_all_of_them_go_in_one_round_trip(world: World) -> None:
    booked = Booked(world)
    task = calling(lambda call, ctx: call.settle(Usage(input=30)))

    jobs = await run(world, task, declared(10, 10, 10))

    assert [request.lease.job_id for request in booked.asked] == jobs
    assert [(request.number, request.limits, request.estimate.model) for request in booked.asked] == [(1, (), "m")] * 3
    assert [trip for trip in booked.trips if trip != "settle"] == ["acquire 3", "report 3"]


@virtually
async def test_what_was_used_is_shared_out_in_proportion_to_what_was_declared(world: World) -> None:
    booked = Booked(world)
    task = calling(lambda call, ctx: call.settle({"model": "m-2", "usage": {"prompt_tokens": 100}}))

    await run(world, task, declared(10, 30))

    assert [report.used for report in booked.told] == [(Usage("m", input=25),), (Usage("m", input=75),)]
    assert booked.closed() == [CallState.SETTLED] * 2


@virtually
async def test_what_was_used_is_shared_out_evenly_where_one_item_did_not_declare_its_need(world: World) -> None:
    booked = Booked(world)

    await run(world, calling(lambda call, ctx: call.settle(Usage(input=9, output=3))), declared(10, None))

    assert [report.used for report in booked.told] == [
        (Usage("m", input=4, output=1),),
        (Usage("m", input=5, output=2),),
    ]


@virtually
async def test_what_one_item_has_used_can_be_told_by_itself(world: World) -> None:
    booked = Booked(world)

    def use(call: aiq.BatchCall, ctx: aiq.BatchContext) -> None:
        for n in call.items:
            call.settle(Usage(input=n + 1), item=n)
        with pytest.raises(aiq.InvalidInput, match=r"not made for item 2, but for \[0, 1\]"):
            call.settle(Usage(input=1), item=2)

    await run(world, calling(use), declared(1, 1))

    assert [report.used for report in booked.told] == [(Usage("m", input=1),), (Usage("m", input=2),)]


@virtually
async def test_what_the_headers_say_is_left_is_told_once(world: World) -> None:
    booked = Booked(world)
    headers = {"X-RateLimit-Remaining-Tokens": "700"}
    task = calling(lambda call, ctx: call.settle(Usage(input=2), headers))
    await world.storage.put_limits([GPT.spec()])
    jobs = [task.job("x").using(limits=["gpt"], estimate=one) for one in declared(1, 1)]
    await world.enqueue(*jobs)
    await world.drain(task)

    assert [report.remaining for report in booked.told] == [(Remaining(limit="gpt", tokens=700),), ()]


@virtually
async def test_what_an_item_may_put_out_is_the_least_that_any_was_admitted_for(world: World) -> None:
    booked, seen = Booked(world), list[int | None]()
    booked.answer(Admitted(max_output=12), Admitted(max_output=7))

    await run(world, calling(lambda call, ctx: seen.append(call.max_output)), declared(1, 1))

    assert seen == [7]


@virtually
async def test_a_429_pauses_the_limits_once_and_gives_all_items_back_without_an_attempt(world: World) -> None:
    booked = Booked(world)

    def use(call: aiq.BatchCall, ctx: aiq.BatchContext) -> None:
        if len(booked.told) == 0:
            raise Answered(429, {"retry-after": "7"})
        call.settle(Usage(input=2))

    task = calling(use)
    ids = await world.enqueue(*(task.job("x").using(estimate=one) for one in declared(1, 1, 1)))
    worker = await world.start(task)
    for job in ids:
        await world.until(job, State.SUCCEEDED)
    await worker.stop()

    assert booked.closed()[:3] == [CallState.THROTTLED, CallState.UNSENT, CallState.UNSENT]
    assert [report.retry_after_ms for report in booked.told[:3]] == [7_000, None, None]
    assert worker.statistics.deferred == 3
    assert [(await world.get(job)).failures for job in ids] == [0] * 3


@virtually
async def test_a_handler_may_say_itself_that_the_provider_has_no_room(world: World) -> None:
    booked = Booked(world)

    def use(call: aiq.BatchCall, ctx: aiq.BatchContext) -> None:
        if not booked.told:
            raise call.throttled(retry_after=3)
        call.settle(Usage(input=2))

    task = calling(use)
    ids = await world.enqueue(task.job("x"), task.job("y"))
    worker = await world.start(task)
    for job in ids:
        await world.until(job, State.SUCCEEDED)
    await worker.stop()

    assert booked.closed()[:2] == [CallState.THROTTLED, CallState.UNSENT]


@virtually
async def test_another_error_settles_every_call_by_its_estimate(world: World) -> None:
    booked = Booked(world)

    def use(call: aiq.BatchCall, ctx: aiq.BatchContext) -> None:
        raise ConnectionError("gone")

    jobs = await run(world, calling(use), declared(1, 1))

    assert [(report.state, report.used) for report in booked.told] == [(CallState.SETTLED, ())] * 2
    assert [await world.state(job) for job in jobs] == [State.DEAD] * 2


@virtually
async def test_an_item_whose_budget_has_no_room_leaves_the_batch_and_the_others_go_on(world: World) -> None:
    booked, seen = Booked(world), list[Any]()

    @aiq.batch_task(retry=ONCE)
    async def embed(ctx: aiq.BatchContext, texts: list[str]) -> list[str]:
        async with ctx.call() as call:
            seen.extend([call.items, [item.gone for item in ctx.items]])
            call.settle(Usage(input=8))
        await asyncio.sleep(1)
        seen.append(worker.statistics.running)
        return texts

    held = Exceeded(budget="team", on_exceeded=OnExceeded.HOLD, text="no room", need={"tokens": 30})
    failed = Exceeded(budget="team", on_exceeded=OnExceeded.FAIL, text="no room", need={})
    booked.answer(Admitted(max_output=1), held, failed, Admitted(max_output=1))
    jobs = await world.enqueue(*(embed.job("x").using(estimate=one) for one in declared(1, 1, 1, 1)))
    first, second, third, last = jobs
    worker = await world.start(embed)
    await world.until(last, State.SUCCEEDED)
    await worker.stop()

    assert seen == [(0, 3), [False, True, True, False], 2]
    assert [await world.state(job) for job in (first, last)] == [State.SUCCEEDED] * 2
    waiting, dead = await world.get(second), await world.get(third)
    assert (waiting.state, waiting.held) == (State.HELD, HeldFor.BUDGET)
    assert (dead.state, dead.cause) == (State.DEAD, Cause.BUDGET)
    assert [report.used for report in booked.told] == [(Usage("m", input=4),)] * 2


@virtually
async def test_a_handler_ends_when_no_item_is_admitted(world: World) -> None:
    booked, seen = Booked(world), list[int]()

    @aiq.batch_task(retry=ONCE)
    async def embed(ctx: aiq.BatchContext, texts: list[str]) -> list[str]:
        async with ctx.call() as call:
            seen.append(len(call.items))
        return texts

    refused = Refused(kind="never_fits", text="too much")
    booked.answer(refused, refused)
    jobs = await run(world, embed, declared(1, 1))

    assert seen == []
    assert [(await world.get(job)).errors[-1].type for job in jobs] == ["aiq.errors.NeverFits"] * 2
    assert booked.told == []


@virtually
async def test_an_item_whose_lease_is_lost_as_it_asks_leaves_the_batch(world: World) -> None:
    booked, seen = Booked(world), list[Any]()
    booked.answer(LeaseLost("job-1", LostReason.TAKEN), Admitted(max_output=1))
    task = calling(lambda call, ctx: seen.append(call.items))
    await world.enqueue(task.job("x"), task.job("y"))
    worker = await world.start(task)
    await world.until("job-2", State.SUCCEEDED)
    await worker.stop()

    assert seen == [(1,)]
    assert worker.statistics.lost == 1


@virtually
async def test_a_second_call_can_be_made_after_the_first_and_not_inside_of_it(world: World) -> None:
    booked = Booked(world)

    @aiq.batch_task(retry=ONCE)
    async def embed(ctx: aiq.BatchContext, texts: list[str]) -> list[str]:
        async with ctx.call() as call:
            call.settle(Usage(input=1))
            with pytest.raises(aiq.InvalidInput, match="before the next"):
                async with ctx.call():
                    raise AssertionError
        async with ctx.call(model="other") as call:
            assert call.model == "other"
            call.settle(Usage(input=1))
        return texts

    [job] = await run(world, embed, declared(1))

    assert await world.state(job) is State.SUCCEEDED
    assert [(request.number, request.estimate.model) for request in booked.asked] == [(1, "m"), (2, "other")]


@virtually
async def test_of_two_calls_at_once_the_second_is_refused_and_ends_nothing_of_the_first(world: World) -> None:
    booked, refused = Booked(world), list[bool]()

    @aiq.batch_task(retry=ONCE)
    async def embed(ctx: aiq.BatchContext, texts: list[str]) -> list[str]:
        async def ask(model: str) -> None:
            async with ctx.call(model=model) as call:
                await asyncio.sleep(1)
                call.settle(Usage(model, input=1))

        answers = await asyncio.gather(ask("first"), ask("second"), return_exceptions=True)
        refused.extend(isinstance(answer, aiq.InvalidInput) for answer in answers)
        return texts

    await run(world, embed, declared(1))

    assert refused == [False, True]
    assert [(report.call, [use.model for use in report.used]) for report in booked.told] == [(1, ["first"])]


@virtually
async def test_a_call_that_could_not_be_opened_is_in_the_way_of_no_other(world: World) -> None:
    booked = Booked(world)

    @aiq.batch_task(retry=ONCE)
    async def embed(ctx: aiq.BatchContext, texts: list[str]) -> list[str]:
        with pytest.raises(ExceptionGroup):
            async with ctx.call():
                raise AssertionError
        booked.acquire = acquire  # type: ignore[method-assign]
        async with ctx.call() as call:
            call.settle(Usage(input=1))
        return texts

    acquire = booked.acquire
    booked.acquire = _broken_for("job-1", acquire)  # type: ignore[method-assign]
    [job] = await run(world, embed, declared(1))

    assert await world.state(job) is State.SUCCEEDED


@virtually
async def test_an_error_of_the_storage_gives_back_what_was_admitted(world: World) -> None:
    booked = Booked(world)

    @aiq.batch_task(retry=ONCE)
    async def embed(ctx: aiq.BatchContext, texts: list[str]) -> list[str]:
        async with ctx.call():
            raise AssertionError
        return texts

    booked.answer(Admitted(max_output=1))
    booked.acquire = _broken_for("job-2", booked.acquire)  # type: ignore[method-assign]
    jobs = await run(world, embed, declared(1, 1))

    assert {report.state for report in booked.told} == {CallState.UNSENT}
    assert [await world.state(job) for job in jobs] == [State.DEAD] * 2


def _broken_for(job: str, acquire: Any) -> Any:
    async def broken(requests: Any) -> Any:
        if any(request.lease.job_id == job for request in requests):
            raise aiq.Corrupt("a page is torn")
        return await acquire(requests)

    return broken


@virtually
async def test_what_was_used_outside_of_calls_is_told_for_an_item(world: World) -> None:
    booked = Booked(world)

    @aiq.batch_task(retry=ONCE)
    async def embed(ctx: aiq.BatchContext, texts: list[str]) -> list[str]:
        ctx.report(1, Usage("m", input=3))
        with pytest.raises(aiq.InvalidInput, match="does not say what was used"):
            ctx.report(0, "nothing")
        return texts

    first, second = await world.enqueue(embed.job("x"), embed.job("y"))
    await world.drain(embed)

    [report] = booked.told
    assert (report.lease.job_id, report.call, report.used) == (second, FIRST, (Usage("m", input=3),))
    assert await world.state(first) is State.SUCCEEDED


@virtually
async def test_the_first_call_of_a_batch_adopts_what_its_items_were_admitted_for(world: World) -> None:
    """Four items hold all that the limit has: a second reservation of any of them would wait for ever."""
    seen: list[tuple[int, ...]] = []
    await world.storage.put_limits([GPT.spec()])
    await world.storage.put_budgets([aiq.Budget("team", tokens=100_000).spec("team")])
    task = calling(lambda call, ctx: (seen.append(call.items), call.settle(Usage(input=50))), limits=["gpt"])
    jobs = (task.job("x").using(estimate=one, budget="team") for one in declared(10, 20, 30, 40))
    ids = await world.enqueue(*jobs)

    await world.drain(task)

    assert seen == [(0, 1, 2, 3)]
    assert [await world.state(job) for job in ids] == [State.SUCCEEDED] * 4
    [team] = await world.storage.get_budgets(["team"])
    assert (dict(team.state.spent), dict(team.state.held)) == ({"tokens": 50, "tokens.input": 50}, {})
    await world.clean()
