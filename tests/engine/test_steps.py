"""Steps: what was done once is not done again."""

import asyncio

import aiq
from aiq.model import State
from aiq.testing import Delay, LoseReply, Refuse
from tests.engine.handlers import double, finished, last_error, slow
from tests.engine.world import World, virtually


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
async def test_names_of_steps_waits_and_sleeps_are_any_text(world: World) -> None:
    @aiq.task
    async def reader(ctx: aiq.Context) -> list[int]:
        pages = [await ctx.step("page 1: «Über»", double, n) for n in range(2)]
        await ctx.sleep("bis später …", 60)
        return [*pages, *await ctx.gather("kids/of {ctx}", [double.job(2)])]

    [job] = await world.enqueue(reader.job())
    record = await finished(world, job, reader, double)

    assert record.result == b"[0,2,4]"
    keys = {step.key for step in await world.storage.get_steps(job)}
    assert keys == {"page 1: «Über»", "page 1: «Über»#2", "bis später …", "kids/of {ctx}"}


@virtually
async def test_a_name_that_ends_like_an_ordinal_kills_the_job_at_once_and_says_why(world: World) -> None:
    @aiq.task(retry=aiq.Retry(attempts=5))
    async def reader(ctx: aiq.Context) -> None:
        await ctx.step("page #2", double, 1)

    [job] = await world.enqueue(reader.job())
    record = await finished(world, job, reader)

    assert (record.state, record.fence) == (State.DEAD, 1)
    assert "'page #2' is not a name for a step." in await last_error(world, job)


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
    world.faults.plan(Delay("save_step", gate))
    worker = await world.start(buyer)
    await world.until(job, State.RUNNING)
    await asyncio.sleep(1)
    worker.engine.hurry()
    await asyncio.sleep(0.5)
    gate.set()
    await worker.stop()

    assert [step.key for step in await world.storage.get_steps(job)] == ["pay"]
    assert await world.state(job) is State.READY
