"""The order in which a run writes, and what it makes of answers that come late."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

import aiq
from aiq.context import Parked
from aiq.engine.outbox import Outbox
from aiq.engine.run import Run, Stop
from aiq.engine.slots import Slots
from aiq.errors import LeaseLost, LostReason, TooLarge
from aiq.model import Cause, Released, State, Succeeded, Suspended
from aiq.storage import claim
from aiq.testing import Delay, Refuse
from aiq.testing.actions import wish
from tests.engine.handlers import APPROVAL, double, slow
from tests.engine.tapped import Tapped
from tests.engine.world import START_MS, World, virtually


async def claimed(world: World, *, queue: str = "default", lease: float = 30) -> Run:
    """A run of a job that was just claimed, by an engine that does nothing else."""
    [job] = await world.enqueue(double.job(1).using(queue=queue, lease=lease))
    sent_ms = world.clock()
    [record] = await claim(world.storage, wish(1, queue))
    assert record.id == job
    return world.engine(double).begin(record, sent_ms)


def slowly(world: World, operation: str) -> Delay:
    """The next call of an operation begins a second late."""
    gate = asyncio.Event()
    asyncio.get_running_loop().call_later(1, gate.set)
    return Delay(operation, gate)


@virtually
async def test_what_a_step_emitted_is_stored_before_the_step_is(world: World) -> None:
    async def talk(ctx: aiq.Context) -> int:
        await ctx.emit("hello")
        return 1

    @aiq.task
    async def talker(ctx: aiq.Context) -> None:
        await ctx.step("talk", talk, ctx)

    tapped = Tapped(world.faults)
    world.faults.plan(slowly(world, "append"))
    await world.enqueue(talker.job())
    await world.drain(talker, storage=tapped)

    assert tapped.names() == ["append", "save_step", "exchange"]


@virtually
async def test_what_was_emitted_is_stored_before_the_run_parks_and_before_it_ends(world: World) -> None:
    @aiq.task(retry=aiq.Retry(first_delay=0))
    async def talker(ctx: aiq.Context) -> None:
        await ctx.emit("before the wait")
        await ctx.wait_for(APPROVAL)
        await ctx.emit("before the end")
        raise ValueError("even of a failure")

    tapped = Tapped(world.faults)
    [job] = await world.enqueue(talker.job())
    world.faults.plan(slowly(world, "append"))
    await world.drain(talker, storage=tapped)
    await world.storage.send(job, "approval", "1", b"true")
    world.faults.plan(slowly(world, "append"))
    await world.drain(talker, storage=tapped)

    assert tapped.names()[:4] == ["append", "exchange", "append", "exchange"]


@virtually
async def test_a_wake_up_during_an_exchange_that_came_too_early_for_it_is_not_lost(world: World) -> None:
    tapped = Tapped(world.storage)
    worker = await world.start(double, storage=tapped)
    await asyncio.sleep(10)
    await world.enqueue(double.job(1))
    await world.until("job-1", State.SUCCEEDED)
    gate = tapped.hold_answer("exchange")
    await asyncio.sleep(10)
    [job] = await world.enqueue(double.job(2))
    await asyncio.sleep(1)
    opened_ms = world.clock()
    gate.set()
    await world.until(job, State.SUCCEEDED)

    assert world.clock() == opened_ms
    await worker.stop()


@virtually
async def test_a_renewal_counts_from_when_it_was_sent_however_late_it_is_answered(world: World) -> None:
    tapped = Tapped(world.storage)
    [job] = await world.enqueue(slow.job(60.0).using(lease=10))
    worker = await world.start(slow, storage=tapped)
    await world.until(job, State.RUNNING)
    gate = tapped.hold_answer("renew")
    await asyncio.sleep(6)
    [held] = worker.engine._leases.all()
    gate.set()
    await asyncio.sleep(0.1)

    # It went out after a third of the lease, and a tenth of it is the margin.
    assert START_MS + 9_000 < held.ends_ms <= START_MS + 3_334 + 9_000
    worker.engine.hurry()
    await worker.stop()


@virtually
async def test_a_renewal_that_learns_of_a_park_before_its_run_does_not_cut_it_short(world: World) -> None:
    unwound: list[str] = []

    @aiq.task
    async def asks(ctx: aiq.Context) -> bool:
        try:
            return await ctx.wait_for(APPROVAL)
        except asyncio.CancelledError:
            unwound.append("cancelled")
            raise

    tapped = Tapped(world.storage)
    [job] = await world.enqueue(asks.job().using(lease=3))
    gate = tapped.hold_answer("exchange")
    gate.set()
    worker = await world.start(asks, storage=tapped)
    await world.until(job, State.RUNNING)
    gate = tapped.hold_answer("exchange")
    await world.until(job, State.SUSPENDED)
    await asyncio.sleep(5)
    gate.set()
    await asyncio.sleep(1)
    done = worker.statistics
    await worker.stop()

    assert (unwound, done.parked, done.lost, done.running) == ([], 1, 0, 0)


@virtually
async def test_a_run_that_is_stopped_while_it_parks_is_parked_and_nothing_else(world: World) -> None:
    @aiq.task
    async def asks(ctx: aiq.Context) -> bool:
        return await ctx.wait_for(APPROVAL)

    tapped = Tapped(world.storage)
    [job] = await world.enqueue(asks.job())
    worker = await world.start(asks, storage=tapped)
    await world.until(job, State.RUNNING)
    gate = tapped.hold_answer("exchange")
    await world.until(job, State.SUSPENDED)
    worker.engine.hurry()
    await asyncio.sleep(1)
    gate.set()
    await worker.stop()

    assert await world.state(job) is State.SUSPENDED
    assert (worker.statistics.parked, worker.statistics.lost) == (1, 0)


@virtually
async def test_a_handler_is_cancelled_once_so_that_its_cleaning_up_is_not_cut_short(world: World) -> None:
    cleaned: list[str] = []
    cancelled = asyncio.Event()

    @aiq.task
    async def careful() -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            cancelled.set()
            await asyncio.sleep(2)
            cleaned.append("cleaned up")

    [job] = await world.enqueue(careful.job())
    worker = await world.start(careful)
    await world.until(job, State.RUNNING)
    await world.storage.cancel([job])
    await cancelled.wait()
    worker.engine.hurry()
    await worker.stop()

    assert cleaned == ["cleaned up"]
    assert await world.state(job) is State.CANCELLED


@virtually
async def test_a_cancel_that_reaches_a_handler_as_it_returns_costs_none_of_what_it_emitted(world: World) -> None:
    @aiq.task
    async def talker(ctx: aiq.Context) -> str:
        await ctx.step("double", double, 1)
        await ctx.emit("the last word")
        return "done"

    [job] = await world.enqueue(talker.job())
    world.faults.plan(slowly(world, "save_step"))
    worker = await world.start(talker)
    await world.until(job, State.RUNNING)
    await world.storage.cancel([job])
    record = await world.until(job, State.SUCCEEDED, State.CANCELLED)
    await worker.stop()

    assert (record.state, record.chunks) == (State.SUCCEEDED, 2)


@virtually
async def test_parking_is_no_failure_in_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    @aiq.task
    async def asks(ctx: aiq.Context) -> bool:
        return await ctx.wait_for(APPROVAL)

    caplog.set_level("INFO")
    await world.enqueue(asks.job())
    await world.drain(asks)

    assert [record.message for record in caplog.records if record.name.startswith("aiq")] == []


@virtually
async def test_a_run_that_is_stopped_before_it_began_gives_back_its_job_and_its_slot(world: World) -> None:
    worker = await world.start(double, slots=1)
    await asyncio.sleep(1)
    engine = worker.engine
    begin = engine.start_run

    def start_and_stop(run: Run) -> None:
        engine.start_run = begin  # type: ignore[method-assign]
        begin(run)
        run.stop(Stop.SHUTDOWN)

    engine.start_run = start_and_stop  # type: ignore[method-assign]
    [job] = await world.enqueue(double.job(1))
    record = await world.until(job, State.SUCCEEDED)
    await worker.stop()

    assert (record.fence, record.failures) == (2, 0)


@virtually
async def test_a_lease_that_may_have_run_out_starts_no_children_though_the_storage_would_take_them(
    world: World,
) -> None:
    seen: list[str] = []

    @aiq.task(lease=10)
    async def parent(ctx: aiq.Context) -> None:
        await asyncio.sleep(9.5)
        try:
            await ctx.gather("kids", [double.job(1)])
        except LeaseLost as lost:
            seen.append(lost.reason)

    [job] = await world.enqueue(parent.job())
    worker = await world.start(parent)
    world.faults.plan(*[Refuse("renew")] * 20)
    await world.until(job, State.SUCCEEDED)
    await worker.stop()

    assert seen == [LostReason.EXPIRED]
    assert sum((await world.storage.count())["default"].values()) == 1


@virtually
async def test_a_run_told_that_its_lease_has_expired_starts_nothing_new(world: World) -> None:
    run = await claimed(world)
    run.require_live()

    run.lost(LostReason.EXPIRED)

    run.require_owned()
    with pytest.raises(LeaseLost):
        run.require_live()


@virtually
async def test_a_run_whose_job_is_gone_owns_nothing(world: World) -> None:
    run = await claimed(world)

    run.lost(LostReason.TAKEN)

    with pytest.raises(LeaseLost):
        run.require_owned()


@virtually
async def test_a_handler_that_swallows_its_unwinding_settles_nothing(world: World) -> None:
    @aiq.task
    async def swallows(ctx: aiq.Context) -> str:
        try:
            await ctx.wait_for(APPROVAL)
        except Parked:
            return "swallowed"
        return "answered"

    tapped = Tapped(world.storage)
    await world.enqueue(swallows.job())
    done = await world.drain(swallows, storage=tapped)

    settled = [settlement.outcome for name, args in tapped.calls if name == "exchange" for settlement in args[0]]
    assert [type(outcome) for outcome in settled] == [Suspended]
    assert (done.parked, done.lost) == (1, 0)


@virtually
async def test_a_result_that_the_storage_finds_too_large_kills_the_job(world: World) -> None:
    # A storage whose bound is lower than ours: the job still runs there.
    tapped = Tapped(world.storage)
    exchange = world.storage.exchange
    refused: list[str] = []

    async def stingy(settlements: Any, request: Any = None) -> Any:
        large = [one for one in settlements if isinstance(one.outcome, Succeeded)]
        answer = await exchange([one for one in settlements if one not in large], request)
        refused.extend(one.id for one in large)
        answers = iter(answer.settled)
        mixed = tuple(TooLarge("result", 9, 8) if one in large else next(answers) for one in settlements)
        return replace(answer, settled=mixed)

    tapped._storage = _With(world.storage, exchange=stingy)  # type: ignore[assignment]
    [job] = await world.enqueue(double.job(1))
    await world.drain(double, storage=tapped)

    record = await world.get(job)
    assert (record.state, record.cause, refused) == (State.DEAD, Cause.RESULT, ["1"])


class _With:
    """A storage with one method of its own."""

    def __init__(self, storage: Any, **methods: Any) -> None:
        self.__dict__.update(methods)
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


@virtually
async def test_a_storage_that_always_has_something_due_is_not_asked_in_a_hot_loop(world: World) -> None:
    tapped = Tapped(world.storage)
    tapped.change_answer("exchange", lambda answer: replace(answer, next_due_ms=0))
    worker = await world.start(double, storage=tapped)
    await asyncio.sleep(10)

    assert worker.statistics.exchanges <= 10_000 // 20 + 10
    await worker.stop()


@virtually
async def test_what_upkeep_made_ready_is_looked_for_at_once(world: World) -> None:
    @aiq.task
    async def asks(ctx: aiq.Context) -> str:
        try:
            return str(await ctx.wait_for(APPROVAL, timeout=60))
        except aiq.WaitTimeout:
            return "nobody"

    [job] = await world.enqueue(asks.job())
    await world.drain(asks)
    await asyncio.sleep(60)
    before_ms = world.clock()
    world.faults.plan(*[Refuse("wait")] * 10)
    await world.drain(asks)

    assert await world.state(job) is State.SUCCEEDED
    assert world.clock() == before_ms


@virtually
async def test_one_exchange_carries_no_more_bytes_of_results_than_its_bound(world: World) -> None:
    outbox = Outbox()
    run = await claimed(world)
    for _ in range(6):
        outbox.put(run, Succeeded(b"x" * 1_000_000))
    outbox.put(run, Released())

    assert [len(outbox.take()) for _ in range(2)] == [4, 3]


@virtually
async def test_each_queue_is_asked_for_first_in_its_turn(world: World) -> None:
    slots = Slots({"a": 1, "b": 1, "c": 1})

    asked = ["".join(want.queue for want in slots.wants(lambda _: 0)) for _ in range(4)]

    assert asked == ["bca", "cab", "abc", "bca"]
