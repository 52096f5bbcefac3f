"""Children of a run: the parent parks, and wakes with what became of them."""

import asyncio
from typing import Any

import pytest

import aiq
from aiq.context import Parked
from aiq.model import Cause, QueueSettings, State
from aiq.rules.ids import child_id
from aiq.testing import LoseReply
from tests.engine.handlers import double, finished, last_error, picky, slow
from tests.engine.world import World, virtually


@virtually
async def test_a_parent_parks_while_its_children_run_and_wakes_with_their_results_in_order(world: World) -> None:
    @aiq.task
    async def parent(ctx: aiq.Context) -> list[int]:
        return await ctx.gather("kids", [double.job(n) for n in range(5)])

    [job] = await world.enqueue(parent.job())
    record = await finished(world, job, parent, double, slots=1)

    assert record.result == b"[0,2,4,6,8]"
    assert (record.fence, record.failures) == (2, 0)


@virtually
async def test_a_wide_fan_out_is_spawned_in_batches_and_comes_back_whole(world: World) -> None:
    @aiq.task
    async def parent(ctx: aiq.Context) -> int:
        return sum(await ctx.gather("kids", [double.job(n) for n in range(600)]))

    [job] = await world.enqueue(parent.job())
    record = await finished(world, job, parent, double, slots=100)

    assert record.result == str(sum(range(600)) * 2).encode()


@virtually
async def test_gathering_no_jobs_gives_no_results(world: World) -> None:
    @aiq.task
    async def parent(ctx: aiq.Context) -> list[int]:
        return await ctx.gather("kids", [double.job(n) for n in range(0)])

    [job] = await world.enqueue(parent.job())

    assert (await finished(world, job, parent)).result == b"[]"


@virtually
async def test_rounds_of_children_each_wake_the_parent_once(world: World) -> None:
    @aiq.task
    async def parent(ctx: aiq.Context) -> list[list[int]]:
        return [await ctx.gather("round", [double.job(n + i) for i in range(3)]) for n in range(3)]

    [job] = await world.enqueue(parent.job())
    record = await finished(world, job, parent, double)

    assert record.result == b"[[0,2,4],[2,4,6],[4,6,8]]"
    assert record.fence == 4


@virtually
async def test_a_child_that_fails_kills_a_parent_that_does_not_catch_it_without_a_retry(world: World) -> None:
    @aiq.task(retry=aiq.Retry(attempts=5))
    async def parent(ctx: aiq.Context) -> list[int]:
        return await ctx.gather("kids", [picky.job(n) for n in (1, -1, 2)])

    [job] = await world.enqueue(parent.job())
    record = await finished(world, job, parent, picky)

    assert (record.state, record.cause, record.failures) == (State.DEAD, Cause.CHILD, 1)
    assert "-1 is negative" in await last_error(world, job)


@virtually
async def test_a_parent_may_catch_the_failure_of_a_child_and_the_others_are_cancelled(world: World) -> None:
    @aiq.task
    async def parent(ctx: aiq.Context) -> str:
        try:
            await ctx.gather("kids", [picky.job(-1).using(id="bad"), slow.job(1_000).using(id="other")])
        except aiq.ChildFailed as error:
            return error.job_id
        return "none"

    [job] = await world.enqueue(parent.job())
    worker = await world.start(parent, picky, slow)
    record = await world.until(job, State.SUCCEEDED)
    other = await world.until("other", State.CANCELLED, State.SUCCEEDED)
    await worker.stop()

    assert record.result == b'"bad"'
    assert other.state is State.CANCELLED


@virtually
async def test_with_continue_failures_stand_in_the_places_of_results(world: World) -> None:
    @aiq.task
    async def parent(ctx: aiq.Context) -> list[str]:
        got = await ctx.gather("kids", [picky.job(n) for n in (1, -1, 2)], on_failure="continue")
        return [one.message if isinstance(one, aiq.Failure) else str(one) for one in got]

    [job] = await world.enqueue(parent.job())

    assert (await finished(world, job, parent, picky)).result == b'["1","-1 is negative","2"]'


@virtually
async def test_the_first_result_wins_and_the_others_are_cancelled(world: World) -> None:
    @aiq.task
    async def parent(ctx: aiq.Context) -> float:
        return await ctx.first("race", [slow.job(100.0).using(id="tortoise"), slow.job(3.0)])

    [job] = await world.enqueue(parent.job())
    worker = await world.start(parent, slow)
    record = await world.until(job, State.SUCCEEDED)
    await world.until("tortoise", State.CANCELLED)
    await worker.stop()

    assert record.result == b"3.0"


@virtually
async def test_a_quorum_gives_the_first_results_in_the_order_they_came(world: World) -> None:
    @aiq.task
    async def parent(ctx: aiq.Context) -> list[float]:
        return await ctx.quorum("votes", [slow.job(s) for s in (9.0, 1.0, 50.0, 5.0)], 3)

    [job] = await world.enqueue(parent.job())

    assert (await finished(world, job, parent, slow)).result == b"[1.0,5.0,9.0]"


@virtually
async def test_a_quorum_that_cannot_be_reached_any_more_fails_at_once(world: World) -> None:
    @aiq.task
    async def parent(ctx: aiq.Context) -> list[int]:
        return await ctx.quorum("votes", [picky.job(n) for n in (-1, -2, 3)], 2)

    [job] = await world.enqueue(parent.job())

    assert (await finished(world, job, parent, picky)).cause is Cause.CHILD


@virtually
async def test_a_parent_run_again_spawns_no_child_twice(world: World) -> None:
    runs: list[int] = []

    @aiq.task
    async def child(n: int) -> int:
        runs.append(n)
        return n

    @aiq.task(retry=aiq.Retry(first_delay=0))
    async def parent(ctx: aiq.Context) -> list[int]:
        got = await ctx.gather("kids", [child.job(n) for n in range(3)])
        if ctx.attempt == 1:
            raise ValueError("after the wait")
        return got

    [job] = await world.enqueue(parent.job())
    world.faults.plan(LoseReply("enqueue"))
    record = await finished(world, job, parent, child)

    assert (record.result, sorted(runs)) == (b"[0,1,2]", [0, 1, 2])


@virtually
async def test_a_run_that_would_spawn_other_children_than_the_last_one_is_refused(world: World) -> None:
    @aiq.task(retry=aiq.Retry(first_delay=0))
    async def parent(ctx: aiq.Context) -> list[int]:
        got = await ctx.gather("kids", [double.job(n + ctx.attempt) for n in range(3)])
        if ctx.attempt == 1:
            raise ValueError("again")
        return got

    [job] = await world.enqueue(parent.job())
    await finished(world, job, parent, double)

    assert "StepChanged" in await last_error(world, job)


@virtually
async def test_children_inherit_tenant_and_band(world: World) -> None:
    @aiq.task
    async def parent(ctx: aiq.Context) -> list[int]:
        return await ctx.gather("kids", [double.job(1)])

    [job] = await world.enqueue(parent.job().using(tenant="acme", band="interactive"))
    await finished(world, job, parent, double)

    child = await world.get(child_id(job, "kids", 0))
    assert (child.tenant, child.band, child.parent_id) == ("acme", aiq.Band.INTERACTIVE, job)


@virtually
async def test_children_without_a_queue_go_where_the_worker_looks_for_such_jobs(world: World) -> None:
    @aiq.task(queue="research")
    async def parent(ctx: aiq.Context) -> list[int]:
        return await ctx.gather("kids", [double.job(1)])

    [job] = await world.enqueue(parent.job())
    record = await finished(world, job, parent, double, slots={"research": 1, "docs": 1}, default_queue="docs")

    assert record.state is State.SUCCEEDED
    assert (await world.get(child_id(job, "kids", 0))).queue == "docs"


@virtually
async def test_more_children_than_one_wait_can_count_are_refused_before_any_is_stored(world: World) -> None:
    @aiq.task
    async def parent(ctx: aiq.Context) -> list[int]:
        return await ctx.gather("kids", [double.job(1)] * 10_001)

    [job] = await world.enqueue(parent.job())
    await finished(world, job, parent)

    assert "at most 10,000" in await last_error(world, job)
    assert sum((await world.storage.count())["default"].values()) == 1


@virtually
async def test_a_branch_does_not_park_the_run_while_another_does_paid_work(world: World) -> None:
    paid: list[str] = []

    async def pay() -> int:
        paid.append("begun")
        await asyncio.sleep(30)
        return 1

    @aiq.task
    async def parent(ctx: aiq.Context) -> list[Any]:
        one, two = await asyncio.gather(ctx.step("pay", pay), ctx.gather("kids", [double.job(4)]))
        return [one, *two]

    [job] = await world.enqueue(parent.job())
    record = await finished(world, job, parent, double)

    assert (record.result, paid) == (b"[1,8]", ["begun"])


@virtually
async def test_a_step_may_itself_wait_for_children(world: World) -> None:
    async def inner(ctx: aiq.Context) -> int:
        return sum(await ctx.gather("kids", [double.job(n) for n in range(3)]))

    @aiq.task
    async def parent(ctx: aiq.Context) -> int:
        return await ctx.step("outer", inner, ctx)

    [job] = await world.enqueue(parent.job())

    assert (await finished(world, job, parent, double)).result == b"6"


@virtually
async def test_waits_inside_a_task_group_park_the_run(world: World) -> None:
    @aiq.task
    async def parent(ctx: aiq.Context) -> int:
        async with asyncio.TaskGroup() as group:
            a = group.create_task(ctx.gather("a", [double.job(1)]))
            b = group.create_task(ctx.gather("b", [double.job(2)]))
        return a.result()[0] + b.result()[0]

    [job] = await world.enqueue(parent.job())
    record = await finished(world, job, parent, double)

    assert (record.result, record.failures) == (b"6", 0)


@virtually
async def test_a_handler_that_swallows_its_unwinding_cannot_settle_a_parked_job(world: World) -> None:
    @aiq.task
    async def parent(ctx: aiq.Context) -> str:
        try:
            await ctx.gather("kids", [slow.job(5)])
        except Parked:
            with pytest.raises(aiq.LeaseLost):
                await ctx.emit("still here")
            return "swallowed"
        return "resumed"

    [job] = await world.enqueue(parent.job())

    assert (await finished(world, job, parent, slow)).result == b'"resumed"'


@virtually
async def test_two_children_of_one_id_are_refused_for_there_would_be_one_where_two_are_waited_for(world: World) -> None:
    @aiq.task
    async def parent(ctx: aiq.Context) -> list[int]:
        return await ctx.gather("kids", [double.job(1).using(id="kid"), double.job(1).using(id="kid")])

    [job] = await world.enqueue(parent.job())
    record = await finished(world, job, parent, double)

    assert record.state is State.DEAD
    assert "InvalidInput: More than one child has the id 'kid'" in await last_error(world, job)


@virtually
async def test_a_job_that_stands_elsewhere_is_not_waited_for_as_a_child(world: World) -> None:
    @aiq.task(retry=aiq.Retry(attempts=1))
    async def parent(ctx: aiq.Context) -> list[int]:
        return await ctx.gather("kids", [double.job(1).using(id="kid")])

    await world.enqueue(double.job(1).using(id="kid"))
    [job] = await world.enqueue(parent.job())
    record = await finished(world, job, parent, double)

    assert record.state is State.DEAD
    assert "Conflict: Job 'kid' is stored already, and not as a child" in await last_error(world, job)


@virtually
async def test_a_child_that_will_be_refused_again_kills_its_parent_at_once_and_says_why(world: World) -> None:
    @aiq.task
    async def parent(ctx: aiq.Context) -> list[int]:
        return await ctx.gather("kids", [double.job(1).using(queue="news", key="talk")])

    await world.storage.configure("news", QueueSettings(lifo=True))
    [job] = await world.enqueue(parent.job())
    record = await finished(world, job, parent, double)

    assert (record.state, record.failures) == (State.DEAD, 1)
    assert "Queue 'news' gives the newest first" in await last_error(world, job)


@virtually
async def test_results_that_are_too_much_for_one_answer_are_read_to_the_last(world: World) -> None:
    @aiq.task
    async def large(number: int) -> str:
        return str(number) * 300_000

    @aiq.task
    async def parent(ctx: aiq.Context) -> int:
        return sum(map(len, await ctx.gather("kids", [large.job(number) for number in range(1, 9)] * 2)))

    [job] = await world.enqueue(parent.job())
    record = await finished(world, job, parent, large)

    assert record.result == b"4800000"
