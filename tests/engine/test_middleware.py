"""Middleware around runs."""

import asyncio
import logging
from typing import Any

import pytest

import aiq
from aiq.context import Parked
from aiq.model import Cause, State
from tests.engine.handlers import APPROVAL, finished, last_error
from tests.engine.world import World, virtually


@aiq.task
async def double(number: int) -> int:
    return number * 2


def noting(name: str, notes: list[str]) -> aiq.RunMiddleware:
    async def note(call: aiq.RunCall, next: aiq.RunNext) -> object:
        notes.append(f"{name} begins")
        try:
            return await next(call)
        finally:
            notes.append(f"{name} ends")

    return note


@virtually
async def test_the_first_middleware_is_the_outermost(world: World) -> None:
    notes: list[str] = []
    [job] = await world.enqueue(double.job(2))

    await world.drain(double, run_middleware=[noting("outer", notes), noting("inner", notes)])

    assert notes == ["outer begins", "inner begins", "inner ends", "outer ends"]
    assert (await world.get(job)).result == b"4"


@virtually
async def test_a_middleware_sees_the_job_its_task_and_its_context_and_what_the_handler_returned(world: World) -> None:
    seen: list[Any] = []

    async def look(call: aiq.RunCall, next: aiq.RunNext) -> object:
        value = await next(call)
        seen.extend([call.job.id, call.job.attempt, call.task, call.context.job_id, value])
        return value

    [job] = await world.enqueue(double.job(2))
    await world.drain(double, run_middleware=[look])

    assert seen == [job, 1, double, job, 4]


@virtually
async def test_what_a_middleware_returns_is_the_result(world: World) -> None:
    async def negate(call: aiq.RunCall, next: aiq.RunNext) -> object:
        value = await next(call)
        assert isinstance(value, int)
        return -value

    [job] = await world.enqueue(double.job(2))
    await world.drain(double, run_middleware=[negate])

    assert (await world.get(job)).result == b"-4"


@virtually
async def test_a_middleware_may_answer_in_the_place_of_the_handler(world: World) -> None:
    async def cached(call: aiq.RunCall, next: aiq.RunNext) -> object:
        return 17

    [job] = await world.enqueue(double.job(2))
    await world.drain(double, run_middleware=[cached])

    assert (await world.get(job)).result == b"17"


@virtually
async def test_a_middleware_sees_what_the_handler_raises_and_may_make_something_else_of_it(world: World) -> None:
    @aiq.task(retry=aiq.Retry(attempts=5))
    async def fails() -> None:
        raise KeyError("secret")

    async def translate(call: aiq.RunCall, next: aiq.RunNext) -> object:
        try:
            return await next(call)
        except KeyError as error:
            raise aiq.Fatal("something is missing") from error

    [job] = await world.enqueue(fails.job())
    await world.drain(fails, run_middleware=[translate])

    assert await last_error(world, job) == "aiq.errors.Fatal: something is missing"


@virtually
async def test_an_exception_of_a_middleware_is_that_of_the_run(world: World) -> None:
    async def broken(call: aiq.RunCall, next: aiq.RunNext) -> object:
        await next(call)
        if call.job.attempt == 1:
            raise ConnectionError("no metrics today")
        return 0

    [job] = await world.enqueue(double.job(2))
    await world.drain(double, run_middleware=[broken])
    record = await finished(world, job, double, run_middleware=[broken])

    assert (record.state, record.errors[-1].message) == (State.SUCCEEDED, "no metrics today")


@virtually
async def test_a_cancellation_passes_through_a_middleware(world: World) -> None:
    notes: list[str] = []

    @aiq.task
    async def slow() -> None:
        await asyncio.sleep(3_600)

    [job] = await world.enqueue(slow.job())
    worker = await world.start(slow, run_middleware=[noting("it", notes)])
    await world.until(job, State.RUNNING)
    await world.storage.cancel([job], force=False)
    await world.until(job, State.CANCELLED)
    await worker.stop()

    assert notes == ["it begins", "it ends"]


@virtually
async def test_the_time_out_of_a_run_counts_what_its_middleware_takes(world: World) -> None:
    async def slow(call: aiq.RunCall, next: aiq.RunNext) -> object:
        await asyncio.sleep(3_600)
        return await next(call)

    [job] = await world.enqueue(double.job(1).using(timeout=10, attempts=1))
    await world.drain(double, run_middleware=[slow])

    assert (await world.get(job)).cause is Cause.TIMEOUT


@virtually
async def test_a_run_that_waits_goes_through_a_middleware_once_for_each_time_that_it_runs(world: World) -> None:
    notes: list[str] = []

    @aiq.task
    async def waits(ctx: aiq.Context) -> bool:
        return await ctx.wait_for(APPROVAL)

    [job] = await world.enqueue(waits.job())
    await world.drain(waits, run_middleware=[noting("it", notes)])
    assert await world.state(job) is State.SUSPENDED
    await world.storage.send(job, "approval", "1", b"true")
    await world.drain(waits, run_middleware=[noting("it", notes)])

    assert notes == ["it begins", "it ends"] * 2
    assert (await world.get(job)).result == b"true"


@virtually
async def test_the_context_of_a_middleware_is_that_of_the_handler(world: World) -> None:
    @aiq.task
    async def steps(ctx: aiq.Context) -> int:
        return await ctx.step("one", lambda: 2, returns=int)

    async def before(call: aiq.RunCall, next: aiq.RunNext) -> object:
        first = await call.context.step("one", lambda: 1, returns=int)
        value = await next(call)
        assert [first, value] == [1, 2]
        return value

    [job] = await world.enqueue(steps.job())
    await world.drain(steps, run_middleware=[before])

    assert sorted(step.key for step in await world.storage.get_steps(job)) == ["one", "one#2"]


@virtually
async def test_each_item_of_a_batch_goes_through_by_itself(world: World) -> None:
    seen: list[tuple[str, object]] = []

    @aiq.batch_task(retry=aiq.Retry(attempts=1))
    async def picky(numbers: list[int]) -> list[int | Exception]:
        return [number or ValueError("nothing") for number in numbers]

    async def look(call: aiq.RunCall, next: aiq.RunNext) -> object:
        try:
            value = await next(call)
        except ValueError as error:
            value = str(error)
        seen.append((call.job.id, value))
        return -1 if value == "nothing" else value

    jobs = await world.enqueue(picky.job(0), picky.job(5))
    await world.drain(picky, run_middleware=[look])

    assert seen == list(zip(jobs, ["nothing", 5], strict=True))
    assert [(await world.get(job)).result for job in jobs] == [b"-1", b"5"]


@virtually
async def test_a_payload_that_does_not_fit_never_comes_to_a_middleware(world: World) -> None:
    notes: list[str] = []

    @aiq.task(name="double")
    async def older(number: str) -> str:
        return number

    [job] = await world.enqueue(older.job("text"))
    await world.drain(double, run_middleware=[noting("it", notes)])

    assert (notes, (await world.get(job)).cause) == ([], Cause.PAYLOAD)


@virtually
async def test_a_middleware_that_swallows_a_wait_settles_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    @aiq.task
    async def waits(ctx: aiq.Context) -> bool:
        return await ctx.wait_for(APPROVAL)

    async def careless(call: aiq.RunCall, next: aiq.RunNext) -> object:
        try:
            return await next(call)
        except Parked:  # this is the mistake
            return True

    [job] = await world.enqueue(waits.job())
    with caplog.at_level(logging.WARNING):
        await world.drain(waits, run_middleware=[careless])

    assert await world.state(job) is State.SUSPENDED
    assert "after its run had left the worker" in caplog.text


@aiq.task(kind="process", retry=aiq.Retry(attempts=1))
def halve(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2


@aiq.task
def in_thread(number: int) -> int:
    return number + 1


async def test_handlers_in_threads_and_processes_have_a_middleware_too() -> None:
    seen: list[object] = []

    async def look(call: aiq.RunCall, next: aiq.RunNext) -> object:
        try:
            seen.append(await next(call))
        except aiq.ProcessFailed as error:
            seen.append(str(error))
            raise
        return seen[-1]

    async with aiq.Queue("memory://") as queue:
        jobs = [await queue.enqueue(job) for job in (in_thread.job(1), halve.job(4), halve.job(3))]
        await aiq.Worker(queue, tasks=[in_thread, halve], middleware=[look], slots=1).run_until_idle()

        assert seen == [2, 2, "ValueError: 3 is odd"]
        assert await jobs[1].result() == 2
        with pytest.raises(aiq.JobDead, match="ValueError: 3 is odd"):
            await jobs[2].result()
