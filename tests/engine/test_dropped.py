"""What a handler comes to after its run has left the worker for a wait: nothing of it is lost without a word."""

import asyncio
from collections.abc import Callable

import pytest

import aiq
from aiq.context import Parked
from aiq.errors import LostReason
from aiq.model import State
from aiq.testing import Delay
from tests.engine.handlers import APPROVAL, double, last_error
from tests.engine.world import World, virtually


def limited(go: asyncio.Event) -> aiq.Task[[], str]:
    """A task that limits its wait by what knows nothing of it."""

    @aiq.task
    async def limits(ctx: aiq.Context) -> str:
        await go.wait()
        try:
            async with asyncio.timeout(0.05):
                return str(await ctx.wait_for(APPROVAL))
        except TimeoutError:
            return "timeout"

    return limits


def beside(other: Callable[[], None], waits: asyncio.Event) -> aiq.Task[[], None]:
    """A task that, once `waits` is set, waits in one branch and does something in another."""

    async def branch() -> None:
        other()

    @aiq.task(retry=aiq.Retry(attempts=1))
    async def branches(ctx: aiq.Context) -> None:
        await waits.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.wait_for(APPROVAL))
            group.create_task(branch())

    return branches


def fails() -> None:
    raise ValueError("what the job works on")


def warned(caplog: pytest.LogCaptureFixture, job: str) -> list[str]:
    """The beginnings of the warnings that name a job."""
    lines = [r.getMessage() for r in caplog.records if r.levelname == "WARNING" and getattr(r, "job_id", "") == job]
    assert not any("what the job works on" in line for line in lines)
    return [line.split(" after ")[0] for line in lines]


@virtually
async def test_a_wait_that_is_cancelled_before_it_has_gone_out_is_withdrawn_and_the_handler_goes_on(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    go, gate = asyncio.Event(), asyncio.Event()
    task = limited(go)
    [job] = await world.enqueue(task.job())
    worker = await world.start(task, double)
    await world.until(job, State.RUNNING)
    world.faults.plan(Delay("exchange", gate))
    await world.enqueue(double.job(1))
    await asyncio.sleep(1)
    go.set()
    await asyncio.sleep(1)
    gate.set()
    record = await world.until(job, State.SUCCEEDED, State.SUSPENDED)
    await worker.stop()

    assert (record.state, record.result, record.fence) == (State.SUCCEEDED, b'"timeout"', 1)
    assert warned(caplog, job) == []


@virtually
async def test_a_value_returned_while_its_wait_is_on_its_way_is_dropped_with_a_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    go, gate = asyncio.Event(), asyncio.Event()
    task = limited(go)
    [job] = await world.enqueue(task.job())
    worker = await world.start(task)
    await world.until(job, State.RUNNING)
    world.faults.plan(Delay("exchange", gate))
    go.set()
    await asyncio.sleep(1)
    gate.set()
    await world.until(job, State.SUSPENDED)
    await asyncio.sleep(1)
    await worker.stop()

    assert await world.state(job) is State.SUSPENDED
    assert warned(caplog, job) == ["The handler returned a value"]


@virtually
async def test_an_error_beside_a_wait_that_has_not_gone_out_fails_the_job(world: World) -> None:
    waits, gate = asyncio.Event(), asyncio.Event()
    task = beside(fails, waits)
    [job] = await world.enqueue(task.job())
    worker = await world.start(task, double)
    await world.until(job, State.RUNNING)
    world.faults.plan(Delay("exchange", gate))
    await world.enqueue(double.job(1))
    await asyncio.sleep(1)
    waits.set()
    await asyncio.sleep(1)
    gate.set()
    record = await world.until(job, State.DEAD, State.SUSPENDED)
    await worker.stop()

    assert record.state is State.DEAD
    assert await last_error(world, job) == "ValueError: what the job works on"


@virtually
@pytest.mark.parametrize(("answered", "told"), [(True, "raised"), (False, "ended with")])
async def test_an_error_beside_a_wait_that_has_gone_out_is_told_by_its_class(
    world: World, caplog: pytest.LogCaptureFixture, answered: bool, told: str
) -> None:
    waits, gate = asyncio.Event(), asyncio.Event()
    task = beside(fails, waits)
    [job] = await world.enqueue(task.job())
    worker = await world.start(task)
    await world.until(job, State.RUNNING)
    if not answered:
        world.faults.plan(Delay("exchange", gate))
    waits.set()
    await asyncio.sleep(1)
    gate.set()
    await world.until(job, State.SUSPENDED)
    await asyncio.sleep(1)
    await worker.stop()

    assert warned(caplog, job) == [f"The handler {told} ValueError"]


@virtually
@pytest.mark.parametrize(
    ("swallow", "told"), [(True, ["The handler returned a value"]), (False, ["The handler raised ValueError"])]
)
async def test_a_handler_that_does_not_let_pass_what_unwinds_it_is_told_of(
    world: World, caplog: pytest.LogCaptureFixture, swallow: bool, told: list[str]
) -> None:
    @aiq.task
    async def stubborn(ctx: aiq.Context) -> None:
        try:
            await ctx.wait_for(APPROVAL)
        except Parked:  # what no handler should do
            if not swallow:
                fails()

    [job] = await world.enqueue(stubborn.job())
    worker = await world.start(stubborn)
    await world.until(job, State.SUSPENDED)
    await asyncio.sleep(1)
    await worker.stop()

    assert await world.state(job) is State.SUSPENDED
    assert warned(caplog, job) == told


@virtually
async def test_branches_that_are_unwound_because_one_of_them_waits_are_nothing_to_tell(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    @aiq.task
    async def branches(ctx: aiq.Context) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.wait_for(APPROVAL))
            group.create_task(asyncio.sleep(1_000))

    [job] = await world.enqueue(branches.job())
    worker = await world.start(branches)
    await world.until(job, State.SUSPENDED)
    await asyncio.sleep(1)
    await worker.stop()

    assert warned(caplog, job) == []


@virtually
@pytest.mark.parametrize(
    ("raised", "state", "reason"),
    [
        (None, State.SUCCEEDED, LostReason.TERMINAL),
        (aiq.Fatal("no use"), State.DEAD, LostReason.TERMINAL),
        (OSError("again"), State.SCHEDULED, LostReason.TAKEN),
    ],
)
async def test_what_a_handler_leaves_running_hears_how_its_run_has_ended(
    world: World, raised: Exception | None, state: State, reason: LostReason
) -> None:
    heard: asyncio.Future[aiq.LeaseLost] = asyncio.get_running_loop().create_future()

    @aiq.task(retry=aiq.Retry(first_delay=10_000, max_delay=10_000))
    async def leaves(ctx: aiq.Context) -> None:
        async def late() -> None:
            await asyncio.sleep(1)
            try:
                await ctx.emit("late")
            except aiq.LeaseLost as lost:
                heard.set_result(lost)

        left.append(asyncio.create_task(late()))
        if raised is not None:
            raise raised

    left: list[asyncio.Task[None]] = []
    [job] = await world.enqueue(leaves.job())
    worker = await world.start(leaves)
    await world.until(job, state)
    lost = await heard
    await worker.stop()

    assert lost.reason is reason
