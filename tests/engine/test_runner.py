"""What becomes of one run."""

import asyncio

import pytest

import aiq
from aiq.model import Cause, State
from aiq.testing import Delay
from tests.engine.world import World, virtually


@aiq.task
async def double(number: int) -> int:
    return number * 2


@virtually
async def test_a_job_runs_and_its_result_is_stored(world: World) -> None:
    [job] = await world.enqueue(double.job(21))

    done = await world.drain(double)

    record = await world.get(job)
    assert (record.state, record.result) == (State.SUCCEEDED, b"42")
    assert (done.claimed, done.succeeded) == (1, 1)
    await world.clean()


@virtually
async def test_a_failed_run_is_tried_again_after_a_wait_until_its_attempts_are_used_up(world: World) -> None:
    @aiq.task(retry=aiq.Retry(attempts=3, first_delay=10))
    async def fails() -> None:
        raise ValueError("no luck")

    [job] = await world.enqueue(fails.job())
    worker = await world.start(fails)
    record = await world.until(job, State.DEAD)
    await worker.stop()

    assert [error.attempt for error in record.errors] == [1, 2, 3]
    assert (record.cause, record.errors[-1].type, record.errors[-1].message) == (Cause.HANDLER, "ValueError", "no luck")
    assert "no luck" in record.errors[-1].traceback
    assert (worker.statistics.failed, worker.statistics.died) == (2, 1)


@virtually
async def test_fatal_ends_a_job_whatever_attempts_are_left(world: World) -> None:
    @aiq.task(retry=aiq.Retry(attempts=5))
    async def refuses() -> None:
        raise aiq.Fatal("bad prompt")

    [job] = await world.enqueue(refuses.job())
    await world.drain(refuses)

    record = await world.get(job)
    assert (record.state, record.fence, len(record.errors)) == (State.DEAD, 1, 1)


@virtually
async def test_a_fatal_error_inside_a_group_is_fatal(world: World) -> None:
    @aiq.task(retry=aiq.Retry(attempts=5))
    async def branches() -> None:
        raise ExceptionGroup("two branches", [ValueError("one"), aiq.Fatal("other")])

    [job] = await world.enqueue(branches.job())
    await world.drain(branches)

    assert await world.state(job) is State.DEAD


@virtually
async def test_a_run_over_its_timeout_is_cancelled_and_tried_again(world: World) -> None:
    ended: list[str] = []

    @aiq.task(timeout=60, retry=aiq.Retry(attempts=2, first_delay=1))
    async def slow() -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            ended.append("unwound")

    [job] = await world.enqueue(slow.job())
    worker = await world.start(slow)
    record = await world.until(job, State.DEAD)
    await worker.stop()

    assert ended == ["unwound", "unwound"]
    assert [error.cause for error in record.errors] == [Cause.TIMEOUT, Cause.TIMEOUT]
    assert "60 s" in record.errors[0].message


@virtually
async def test_a_handler_that_returns_just_as_its_time_is_up_has_succeeded(world: World) -> None:
    @aiq.task(timeout=60)
    async def heedless() -> str:
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError:
            return "done all the same"
        return "never"

    [job] = await world.enqueue(heedless.job())
    await world.drain(heedless)

    assert (await world.get(job)).result == b'"done all the same"'


@virtually
async def test_a_time_out_that_the_handler_itself_sets_is_an_ordinary_failure(world: World) -> None:
    @aiq.task(timeout=60, retry=aiq.Retry(attempts=1))
    async def impatient() -> None:
        async with asyncio.timeout(1):
            await asyncio.sleep(10)

    [job] = await world.enqueue(impatient.job())
    await world.drain(impatient)

    assert (await world.get(job)).cause is Cause.HANDLER


@virtually
async def test_a_payload_that_does_not_fit_kills_the_job_and_keeps_its_bytes(world: World) -> None:
    @aiq.task(name="double")
    async def older(number: str) -> str:
        return number

    [job] = await world.enqueue(older.job("a text"))
    before = await world.get(job)
    await world.drain(double)

    record = await world.get(job)
    assert (record.state, record.cause, record.fence) == (State.DEAD, Cause.PAYLOAD, 1)
    assert record.payload == before.payload


@virtually
async def test_a_worker_goes_on_after_a_payload_that_is_no_json(world: World) -> None:
    [good] = await world.enqueue(double.job(1))
    [broken] = await world.storage.enqueue([aiq.model.JobSpec(id="broken", task="double", payload=b"\xff{")])

    await world.drain(double)

    assert await world.state(good) is State.SUCCEEDED
    assert (await world.get(broken.job_id)).cause is Cause.PAYLOAD


@virtually
async def test_a_result_that_does_not_fit_its_annotation_kills_the_job_at_once(world: World) -> None:
    @aiq.task(retry=aiq.Retry(attempts=5))
    async def lies() -> int:
        return "text"  # type: ignore[return-value]

    [job] = await world.enqueue(lies.job())
    await world.drain(lies)

    record = await world.get(job)
    assert (record.state, record.cause, record.fence) == (State.DEAD, Cause.RESULT, 1)


@virtually
async def test_a_result_over_its_bound_kills_the_job_and_says_so(world: World) -> None:
    @aiq.task
    async def talkative() -> str:
        return "x" * (aiq.bounds.MAX_RESULT_BYTES + 1)

    [job] = await world.enqueue(talkative.job())
    await world.drain(talkative)

    record = await world.get(job)
    assert (record.state, record.cause) == (State.DEAD, Cause.RESULT)
    assert "at most 1,048,576" in record.errors[0].message


@virtually
async def test_sys_exit_in_a_handler_ends_its_run_and_not_the_worker(world: World) -> None:
    @aiq.task(retry=aiq.Retry(attempts=1))
    async def leaves() -> None:
        raise SystemExit(3)

    [job, other] = await world.enqueue(leaves.job(), double.job(1))
    await world.drain(leaves, double)

    assert "sys.exit(3)" in (await world.get(job)).errors[0].message
    assert await world.state(other) is State.SUCCEEDED


@virtually
async def test_a_cancellation_from_within_a_handler_is_its_failure(world: World) -> None:
    @aiq.task(retry=aiq.Retry(attempts=1))
    async def confused() -> None:
        inner = asyncio.create_task(asyncio.sleep(10))
        asyncio.get_running_loop().call_soon(inner.cancel)
        await inner

    [job] = await world.enqueue(confused.job())
    await world.drain(confused)

    record = await world.get(job)
    assert (record.state, record.cause) == (State.DEAD, Cause.HANDLER)


@virtually
async def test_a_job_of_a_task_that_is_not_here_is_given_back_and_in_the_end_dies(world: World) -> None:
    [job] = await world.enqueue(double.job(1))

    @aiq.task
    async def doubles() -> None:
        pass

    worker = await world.start(doubles, unknown_grace_ms=60_000)
    record = await world.until(job, State.DEAD)
    await worker.stop()

    assert record.cause is Cause.UNROUTABLE
    assert 'Did you mean "doubles"?' in record.errors[0].message
    assert (record.failures, len(record.errors)) == (1, 1)
    assert worker.statistics.released >= 10


@virtually
async def test_a_job_given_back_by_a_worker_without_its_task_is_run_by_one_that_has_it(world: World) -> None:
    @aiq.task
    async def other() -> None:
        pass

    [job] = await world.enqueue(double.job(4))
    old = await world.start(other)
    await world.until(job, State.SCHEDULED)
    new = await world.start(double)
    record = await world.until(job, State.SUCCEEDED)
    await old.stop()
    await new.stop()

    assert (record.failures, record.errors) == (0, ())


@virtually
async def test_handlers_inherit_no_context_from_the_worker_or_from_each_other(world: World) -> None:
    from contextvars import ContextVar

    who: ContextVar[str] = ContextVar("who", default="nobody")

    @aiq.task
    async def look(name: str) -> str:
        seen = who.get()
        who.set(name)
        return seen

    who.set("the worker")
    jobs = await world.enqueue(look.job("a"), look.job("b"))
    await world.drain(look, slots=1)

    assert [(await world.get(job)).result for job in jobs] == [b'"nobody"', b'"nobody"']


class Unsure(type):
    """Whether something is one of its classes cannot be asked."""

    def __instancecheck__(cls, instance: object) -> bool:
        raise RuntimeError("nobody knows")


class Odd(Exception, metaclass=Unsure):
    pass


@virtually
async def test_an_error_that_cannot_be_judged_fails_its_run_like_any_other(world: World) -> None:
    @aiq.task(retry=aiq.Retry(attempts=2, never=Odd))
    async def fails() -> None:
        raise ValueError("no luck")

    [job] = await world.enqueue(fails.job())
    await world.drain(fails)
    worker = await world.start(fails)
    record = await world.until(job, State.DEAD)
    await worker.stop()

    assert [(error.type, error.message) for error in record.errors] == [
        ("ValueError", "(It cannot be told: RuntimeError.)")
    ] * 2


@virtually
async def test_a_run_that_comes_to_no_outcome_lets_go_of_its_lease(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[asyncio.Task[object] | None] = []

    @aiq.task
    async def talks(ctx: aiq.Context) -> None:
        runs.append(asyncio.current_task())
        await ctx.emit("a")

    gate = asyncio.Event()
    world.faults.plan(Delay("append", gate))
    [job] = await world.enqueue(talks.job())
    worker = await world.start(talks)
    await asyncio.sleep(1)
    for _ in range(2):
        # What no stop does: a run that is stopped is cancelled once.
        assert runs[0] is not None
        runs[0].cancel()
        await asyncio.sleep(1)
    gate.set()
    record = await world.until(job, State.SUCCEEDED)
    await worker.stop()

    assert (len(runs), record.stalls) == (2, 1)
    assert "no outcome" in caplog.text
