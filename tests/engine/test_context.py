"""Durable points: what a handler remembers, waits for and emits, over as many runs as it takes."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import aiq
from aiq.context import Parked
from aiq.model import Cause, ChunkKind, JobRecord, State
from aiq.rules.ids import child_id
from aiq.testing import LoseReply, Refuse
from tests.engine.world import World, virtually

APPROVAL = aiq.Signal("approval", bool)


@aiq.task
async def double(number: int) -> int:
    return number * 2


@aiq.task(retry=aiq.Retry(attempts=1))
async def picky(number: int) -> int:
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number


@aiq.task
async def slow(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


async def last_error(world: World, job: str) -> str:
    record = await world.get(job)
    return f"{record.errors[-1].type}: {record.errors[-1].message}"


async def finished(world: World, job: str, *tasks: Any, **settings: Any) -> JobRecord:
    """Run a worker until a job has ended."""
    worker = await world.start(*tasks, **settings)
    record = await world.until(job, State.SUCCEEDED, State.DEAD, State.CANCELLED)
    await worker.stop()
    await world.clean()
    return record


# Steps.


@virtually
async def test_a_step_is_done_once_though_the_run_after_it_fails(world: World) -> None:
    paid: list[str] = []

    async def pay(topic: str) -> list[str]:
        paid.append(topic)
        return [topic, topic.upper()]

    @aiq.task(retry=aiq.Retry(first_delay=1))
    async def research(ctx: aiq.Context, topic: str) -> list[str]:
        plan = await ctx.step("plan", pay, topic)
        if ctx.attempt < 3:
            raise ValueError("later")
        return plan

    [job] = await world.enqueue(research.job("x"))
    record = await finished(world, job, research)

    assert record.result == b'["x","X"]'
    assert paid == ["x"]


@virtually
async def test_a_step_gives_the_same_value_in_the_run_that_did_it_as_in_later_ones(world: World) -> None:
    seen: list[object] = []

    def pair() -> tuple[int, ...]:
        return (1, 2)

    @aiq.task(retry=aiq.Retry(first_delay=0))
    async def twice(ctx: aiq.Context) -> None:
        seen.append(await ctx.step("plain", pair, returns=list[int]))
        if ctx.attempt == 1:
            raise ValueError("again")

    [job] = await world.enqueue(twice.job())
    await finished(world, job, twice)

    assert seen == [[1, 2], [1, 2]]


@virtually
async def test_a_name_that_is_used_again_is_another_step(world: World) -> None:
    @aiq.task
    async def loop(ctx: aiq.Context) -> list[int]:
        return [await ctx.step("double", double, n) for n in range(3)]

    [job] = await world.enqueue(loop.job())
    record = await finished(world, job, loop)

    assert record.result == b"[0,2,4]"
    assert [step.key for step in await world.storage.get_steps(job)] == ["double", "double#2", "double#3"]


@virtually
async def test_a_name_in_use_twice_at_once_kills_the_job(world: World) -> None:
    @aiq.task
    async def both(ctx: aiq.Context) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.step("same", slow, 1.0))
            group.create_task(ctx.step("same", slow, 2.0))

    [job] = await world.enqueue(both.job())
    record = await finished(world, job, both)

    assert (record.state, record.fence) == (State.DEAD, 1)
    assert "DuplicateStep" in await last_error(world, job)


@virtually
async def test_a_step_that_is_remembered_with_other_arguments_kills_the_job(world: World) -> None:
    @aiq.task(retry=aiq.Retry(first_delay=0))
    async def fickle(ctx: aiq.Context) -> int:
        value = await ctx.step("double", double, ctx.attempt)
        if ctx.attempt == 1:
            raise ValueError("again")
        return value

    [job] = await world.enqueue(fickle.job())
    record = await finished(world, job, fickle)

    assert (record.state, record.failures) == (State.DEAD, 2)
    assert "StepChanged" in await last_error(world, job)


@virtually
async def test_the_context_itself_is_no_argument_that_could_change(world: World) -> None:
    async def write(ctx: aiq.Context, text: str) -> str:
        await ctx.emit(text)
        return text

    @aiq.task(retry=aiq.Retry(first_delay=0))
    async def author(ctx: aiq.Context) -> str:
        text = await ctx.step("write", write, ctx, "hello")
        if ctx.attempt == 1:
            raise ValueError("again")
        return text

    [job] = await world.enqueue(author.job())

    assert (await finished(world, job, author)).result == b'"hello"'


@virtually
async def test_a_step_without_an_annotation_says_what_to_do(world: World) -> None:
    @aiq.task(retry=aiq.Retry(attempts=1))
    async def vague(ctx: aiq.Context) -> None:
        await ctx.step("guess", lambda: 1)

    [job] = await world.enqueue(vague.job())
    await finished(world, job, vague)

    assert "returns=" in await last_error(world, job)


@virtually
async def test_a_step_saved_just_before_its_reply_was_lost_is_not_done_again(world: World) -> None:
    paid: list[int] = []

    async def pay() -> int:
        paid.append(1)
        return len(paid)

    @aiq.task
    async def buyer(ctx: aiq.Context) -> int:
        return await ctx.step("pay", pay)

    [job] = await world.enqueue(buyer.job())
    world.faults.plan(LoseReply("save_step"), Refuse("save_step"), LoseReply("save_step"))
    record = await finished(world, job, buyer)

    assert (record.result, paid) == (b"1", [1])


@virtually
async def test_a_cancel_that_comes_while_a_step_is_being_saved_does_not_lose_what_was_paid(world: World) -> None:
    async def pay() -> int:
        return 1

    @aiq.task
    async def buyer(ctx: aiq.Context) -> int:
        return await ctx.step("pay", pay)

    [job] = await world.enqueue(buyer.job())
    gate = asyncio.Event()
    world.faults.plan(aiq.testing.Delay("save_step", gate))
    worker = await world.start(buyer)
    await world.until(job, State.RUNNING)
    await asyncio.sleep(1)
    worker.engine.hurry()
    await asyncio.sleep(0.5)
    gate.set()
    await worker.stop()

    assert [step.key for step in await world.storage.get_steps(job)] == ["pay"]
    assert await world.state(job) is State.READY


# Children.


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

    child = await world.get(child_id(job, 1, "kids", 0))
    assert (child.tenant, child.band, child.parent_id) == ("acme", aiq.Band.INTERACTIVE, job)


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


# Signals and time.


@virtually
async def test_a_run_that_waits_for_a_person_holds_no_slot_and_goes_on_with_the_answer(world: World) -> None:
    @aiq.task
    async def asks(ctx: aiq.Context) -> bool:
        return await ctx.wait_for(APPROVAL, timeout=timedelta(days=2))

    [job, other] = await world.enqueue(asks.job(), double.job(1))
    worker = await world.start(asks, double, slots=1)
    await world.until(other, State.SUCCEEDED)
    assert await world.state(job) is State.SUSPENDED
    assert worker.statistics.running == 0

    await asyncio.sleep(86_400)
    await world.storage.send(job, "approval", "s1", b"true")
    record = await world.until(job, State.SUCCEEDED)
    await worker.stop()

    assert record.result == b"true"


@virtually
async def test_a_signal_sent_early_is_taken_without_leaving_the_worker(world: World) -> None:
    @aiq.task
    async def asks(ctx: aiq.Context) -> bool:
        return await ctx.wait_for(APPROVAL)

    [job] = await world.enqueue(asks.job())
    await world.storage.send(job, "approval", "s1", b"false")
    record = await finished(world, job, asks)

    assert (record.result, record.fence) == (b"false", 1)


@virtually
async def test_nobody_answering_in_time_raises_wait_timeout(world: World) -> None:
    @aiq.task
    async def asks(ctx: aiq.Context) -> str:
        try:
            return str(await ctx.wait_for(APPROVAL, timeout=3_600))
        except aiq.WaitTimeout:
            return "nobody"

    [job] = await world.enqueue(asks.job())
    before_ms = world.clock()
    record = await finished(world, job, asks)

    assert record.result == b'"nobody"'
    assert 3_600_000 <= world.clock() - before_ms <= 3_601_000


@virtually
async def test_each_wait_takes_one_signal_in_the_order_they_were_sent(world: World) -> None:
    name = aiq.Signal("name", str)

    @aiq.task
    async def asks(ctx: aiq.Context) -> list[str]:
        return [await ctx.wait_for(name) for _ in range(3)]

    [job] = await world.enqueue(asks.job())
    for number, text in enumerate(("a", "b", "c")):
        await world.storage.send(job, "name", str(number), f'"{text}"'.encode())

    assert (await finished(world, job, asks)).result == b'["a","b","c"]'


@virtually
async def test_a_signal_that_does_not_fit_its_type_says_so(world: World) -> None:
    @aiq.task(retry=aiq.Retry(attempts=1))
    async def asks(ctx: aiq.Context) -> bool:
        return await ctx.wait_for(APPROVAL)

    [job] = await world.enqueue(asks.job())
    await world.storage.send(job, "approval", "s1", b'"perhaps"')
    await finished(world, job, asks)

    assert 'signal "approval" does not fit' in await last_error(world, job)


@virtually
async def test_a_sleep_holds_no_slot_and_is_not_slept_twice(world: World) -> None:
    @aiq.task(retry=aiq.Retry(first_delay=0))
    async def sleeper(ctx: aiq.Context) -> None:
        await ctx.sleep("nap", 3_600)
        if ctx.attempt == 1:
            raise ValueError("after the nap")

    [job] = await world.enqueue(sleeper.job())
    before_ms = world.clock()
    await finished(world, job, sleeper, slots=1)

    assert 3_600_000 <= world.clock() - before_ms <= 3_602_000


@virtually
async def test_a_cancelled_job_that_waits_is_over_at_once(world: World) -> None:
    @aiq.task
    async def asks(ctx: aiq.Context) -> bool:
        return await ctx.wait_for(APPROVAL)

    [job] = await world.enqueue(asks.job())
    worker = await world.start(asks)
    await world.until(job, State.SUSPENDED)

    await world.storage.cancel([job])

    assert await world.state(job) is State.CANCELLED
    await worker.stop()


# The stream, and who it is.


@virtually
async def test_what_a_saved_step_emitted_counts_and_what_a_lost_run_emitted_outside_is_void(world: World) -> None:
    async def write(ctx: aiq.Context) -> str:
        await ctx.emit("kept")
        return "kept"

    @aiq.task(retry=aiq.Retry(first_delay=0))
    async def author(ctx: aiq.Context) -> None:
        await ctx.step("write", write, ctx)
        await ctx.emit(f"attempt {ctx.attempt}")
        if ctx.attempt == 1:
            raise ValueError("again")

    [job] = await world.enqueue(author.job())
    await finished(world, job, author)

    items = [(chunk.kind, chunk.data) for chunk in (await world.storage.read(job)).chunks]
    assert items == [
        (ChunkKind.DATA, b"kept"),
        (ChunkKind.DATA, b"attempt 1"),
        (ChunkKind.RESET, b'{"void":[[2,2]]}'),
        (ChunkKind.DATA, b"attempt 2"),
        (ChunkKind.END, b""),
    ]


@virtually
async def test_progress_and_log_lines_are_items_and_the_newest_progress_is_the_jobs(world: World) -> None:
    @aiq.task
    async def worker(ctx: aiq.Context) -> None:
        await ctx.log("begins")
        await ctx.progress(0.5)
        await ctx.progress({"done": 3, "of": 4})

    [job] = await world.enqueue(worker.job())
    record = await finished(world, job, worker)

    kinds = [chunk.kind for chunk in (await world.storage.read(job)).chunks]
    assert kinds == [ChunkKind.LOG, ChunkKind.PROGRESS, ChunkKind.PROGRESS, ChunkKind.END]
    assert record.progress == b'{"done":3,"of":4}'


@virtually
async def test_a_job_whose_stream_is_full_can_still_complete(world: World) -> None:
    @aiq.task
    async def talker(ctx: aiq.Context) -> str:
        try:
            while True:
                await ctx.emit(b"x" * 60_000)
        except aiq.TooLarge:
            return "full"

    [job] = await world.enqueue(talker.job())

    assert (await finished(world, job, talker)).result == b'"full"'


@virtually
async def test_a_handler_that_never_hears_that_its_stream_is_full_has_not_succeeded(world: World) -> None:
    @aiq.task(retry=aiq.Retry(attempts=5))
    async def talker(ctx: aiq.Context) -> None:
        for _ in range(aiq.bounds.MAX_STREAM_BYTES // 65_536):
            await ctx.emit(b"x" * 65_536)
        await ctx.step("flushed", double, 1)
        await ctx.emit("the end")

    [job] = await world.enqueue(talker.job())
    record = await finished(world, job, talker)

    assert (record.state, record.cause, record.fence) == (State.DEAD, Cause.RESULT, 1)


@virtually
async def test_a_context_tells_whose_run_it_is(world: World) -> None:
    @aiq.task(queue="research", retry=aiq.Retry(first_delay=0))
    async def who(ctx: aiq.Context) -> list[Any]:
        if ctx.attempt == 1:
            raise ValueError("again")
        return [ctx.job_id, ctx.task, ctx.queue, ctx.tenant, ctx.attempt, ctx.fence, ctx.idempotency_key("pay")]

    [job] = await world.enqueue(who.job().using(tenant="acme"))
    record = await finished(world, job, who, slots={"research": 1})

    assert record.result == b'["job-1","who","research","acme",2,2,"job-1/pay"]'


# Losing the job.


@virtually
async def test_a_run_whose_lease_ran_out_starts_nothing_new_but_may_finish_what_it_has(world: World) -> None:
    seen: list[str] = []

    async def outlasts() -> int:
        await asyncio.sleep(15)
        return 1

    @aiq.task(lease=10, retry=aiq.Retry(attempts=1))
    async def unlucky(ctx: aiq.Context) -> str:
        await ctx.step("long", outlasts)
        seen.append("saved late")
        for start in (ctx.step("new", double, 1), ctx.gather("kids", [double.job(1)])):
            try:
                await start
            except aiq.LeaseLost as lost:
                seen.append(lost.reason)
        return "settled late"

    [job] = await world.enqueue(unlucky.job())
    engine = world.engine(unlucky, slots=1)
    await engine.start()
    world.faults.plan(*[Refuse("renew")] * 1_000)
    world.faults.plan(*[Refuse("upkeep")] * 1_000)
    task = asyncio.create_task(engine.run())
    record = await world.until(job, State.SUCCEEDED, State.DEAD)
    engine.stop()
    await task

    assert seen == ["saved late", "expired", "expired"], record.errors
    assert (record.result, record.late) == (b'"settled late"', True)


@virtually
async def test_a_handler_whose_job_was_taken_is_cancelled_and_changes_nothing(world: World) -> None:
    ended: list[str] = []

    @aiq.task
    async def unlucky(ctx: aiq.Context) -> str:
        try:
            await asyncio.sleep(1_000)
        finally:
            ended.append("cancelled")
        return "too late"

    [job] = await world.enqueue(unlucky.job())
    worker = await world.start(unlucky)
    await world.until(job, State.RUNNING)
    await world.storage.cancel([job], force=True)
    before = await world.get(job)
    await asyncio.sleep(60)
    await worker.stop()

    assert ended == ["cancelled"]
    assert await world.get(job) == before
    assert worker.statistics.succeeded == 0
