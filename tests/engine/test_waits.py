"""Waits for people and for time, which hold nothing."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import aiq
from aiq.model import ClaimRequest, Exchanged, Settlement, State
from tests.engine.handlers import APPROVAL, double, finished, last_error
from tests.engine.world import World, virtually

ANSWER = aiq.Signal("answer", int)


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

    await asyncio.sleep(7_200)
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


@virtually
async def test_a_step_that_begins_while_a_wait_is_on_its_way_is_paid_once(world: World) -> None:
    paid: list[float] = []
    exchange = world.faults.exchange

    async def slowly(settlements: Sequence[Settlement], claim: ClaimRequest | None = None) -> Exchanged:
        await asyncio.sleep(2)
        return await exchange(settlements, claim)

    async def pay() -> int:
        paid.append(asyncio.get_running_loop().time())
        await asyncio.sleep(30)
        return 1

    @aiq.task
    async def asks(ctx: aiq.Context) -> int:
        async def pays() -> int:
            await asyncio.sleep(1)
            return await ctx.step("pay", pay)

        answer, cost = await asyncio.gather(ctx.wait_for(ANSWER), pays())
        return answer + cost

    world.faults.exchange = slowly  # type: ignore[method-assign]
    [job] = await world.enqueue(asks.job())
    worker = await world.start(asks)
    await world.until(job, State.SUSPENDED)
    await world.storage.send(job, ANSWER.name, "one", b"41")
    record = await world.until(job, State.SUCCEEDED)
    await worker.stop()

    assert (record.result, len(paid)) == (b"42", 1)
