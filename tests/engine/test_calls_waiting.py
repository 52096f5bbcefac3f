"""Runs that wait for room on a limit: what wakes them, and how they give up."""

import asyncio

import pytest

import aiq
from aiq.bounds import MAX_OPEN_CALLS
from aiq.errors import LeaseLost, LostReason
from aiq.model import CallState, Released, State, Usage
from aiq.testing import Delay, LoseReply, Refuse
from tests.engine.booked import Booked, wait
from tests.engine.world import START_MS, World, virtually


@aiq.task(name="calls", retry=aiq.Retry(attempts=1))
async def calls(ctx: aiq.Context, seconds: float = 0.0) -> str:
    async with ctx.call("gpt", max_output=20) as call:
        await asyncio.sleep(seconds)
        call.settle(Usage(input=1))
    return "called"


def passed_s(world: World) -> float:
    return (world.clock() - START_MS) / 1000


@virtually
async def test_a_call_that_must_wait_asks_again_at_the_time_that_it_was_told(world: World) -> None:
    booked = Booked(world)
    booked.answer(wait(400), wait(400))
    [job] = await world.enqueue(calls.job())
    await world.drain(calls)

    # Twice at first: what changed before anybody listened must not be missed.
    assert [request.number for request in booked.asked] == [1, 1, 1]
    assert passed_s(world) == 0.4
    assert await world.state(job) is State.SUCCEEDED


@virtually
async def test_a_call_that_waits_asks_again_when_its_limit_changes(world: World) -> None:
    booked = Booked(world)
    booked.answer(wait(None), wait(None))
    [job] = await world.enqueue(calls.job())
    worker = await world.start(calls)
    await asyncio.sleep(0.3)
    assert len(booked.asked) == 2
    booked.wake("gpt")
    await world.until(job, State.SUCCEEDED)

    assert (len(booked.asked), passed_s(world)) == (3, 0.3)
    await worker.stop()


@virtually
async def test_a_change_between_the_refusal_and_the_wait_is_not_missed(world: World) -> None:
    booked = Booked(world)
    booked.answer(wait(None))
    [job] = await world.enqueue(calls.job())
    before_ms = world.clock()
    worker = await world.start(calls)
    await world.until(job, State.SUCCEEDED)

    assert world.clock() == before_ms
    await worker.stop()


@virtually
async def test_a_call_whose_wake_up_is_lost_asks_again_within_seconds(world: World) -> None:
    booked = Booked(world)
    booked.answer(*[wait(None)] * 2)
    [job] = await world.enqueue(calls.job())
    worker = await world.start(calls)
    await world.until(job, State.SUCCEEDED)

    assert 1 <= passed_s(world) <= 5
    await worker.stop()


@virtually
async def test_a_call_that_is_told_to_wait_for_hours_keeps_its_place_by_asking(world: World) -> None:
    booked = Booked(world)
    booked.answer(*[wait(7_200_000)] * 30)
    [job] = await world.enqueue(calls.job())
    worker = await world.start(calls)
    await asyncio.sleep(50)

    assert 10 <= len(booked.asked) <= 50
    await world.until(job, State.SUCCEEDED)
    await worker.stop()


@virtually
async def test_a_storage_that_cannot_be_listened_to_is_asked_all_the_same(world: World) -> None:
    booked = Booked(world)
    booked.answer(*[wait(300)] * 3)
    [job] = await world.enqueue(calls.job())
    worker = await world.start(calls)
    world.faults.plan(Refuse("wait"), Refuse("wait"), Refuse("wait"))
    await world.until(job, State.SUCCEEDED)

    assert passed_s(world) <= 1
    await worker.stop()


@virtually
async def test_an_answer_that_was_lost_is_asked_for_again_and_the_call_is_the_same(world: World) -> None:
    booked = Booked(world)
    world.faults.plan(LoseReply("acquire"))
    [job] = await world.enqueue(calls.job())
    await world.drain(calls)

    assert [request.number for request in booked.asked] == [1, 1]
    assert booked.closed() == [CallState.SETTLED]
    assert await world.state(job) is State.SUCCEEDED


@virtually
async def test_calls_that_are_given_up_leave_room_for_others(world: World) -> None:
    booked = Booked(world)

    @aiq.task
    async def fickle(ctx: aiq.Context) -> None:
        async def ask() -> None:
            async with ctx.call("gpt") as call:
                call.settle(Usage(input=1))

        booked.answer(*[wait(None)] * 10_000)
        asking = [asyncio.create_task(ask()) for _ in range(2 * MAX_OPEN_CALLS)]
        await asyncio.sleep(2)
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
        booked._answers.clear()
        await asyncio.gather(*[ask() for _ in range(2 * MAX_OPEN_CALLS)])

    [job] = await world.enqueue(fickle.job())
    await world.drain(fickle)

    assert await world.state(job) is State.SUCCEEDED
    assert booked.closed().count(CallState.UNSENT) == MAX_OPEN_CALLS


@virtually
async def test_the_lease_of_a_run_that_waits_is_renewed(world: World) -> None:
    booked = Booked(world)
    booked.answer(*[wait(100_000)] * 20)
    [job] = await world.enqueue(calls.job().using(lease=2))
    worker = await world.start(calls)
    record = await world.until(job, State.SUCCEEDED)

    assert (record.fence, record.stalls) == (1, 0)
    assert passed_s(world) > 10
    await worker.stop()


@virtually
async def test_a_run_that_is_cancelled_while_it_waits_leaves_the_line(world: World) -> None:
    booked = Booked(world)
    booked.answer(*[wait(None)] * 100)
    [job] = await world.enqueue(calls.job())
    worker = await world.start(calls, slots=1)
    await asyncio.sleep(3)
    await world.storage.cancel([job])
    await world.until(job, State.CANCELLED)
    await asyncio.sleep(1)

    assert [(report.call, report.state) for report in booked.told] == [(1, CallState.UNSENT)]
    assert worker.engine._slots._free == {"default": 1}
    await worker.stop()


@virtually
async def test_a_worker_that_stops_gives_a_run_that_waits_back_without_an_attempt(world: World) -> None:
    booked = Booked(world)
    booked.answer(*[wait(None)] * 100)
    [job] = await world.enqueue(calls.job())
    worker = await world.start(calls, grace_ms=2_000)
    await asyncio.sleep(3)
    await worker.stop()

    record = await world.get(job)
    assert (record.state, record.failures) == (State.READY, 0)
    assert booked.outcomes == [Released()]
    assert booked.closed() == [CallState.UNSENT]
    assert booked.trips.index("report 1") < booked.trips.index("settle")


@virtually
async def test_a_handler_that_waits_no_longer_leaves_the_line_and_goes_on(world: World) -> None:
    booked = Booked(world)
    booked.answer(*[wait(None)] * 3)

    @aiq.task
    async def impatient(ctx: aiq.Context) -> str:
        try:
            async with asyncio.timeout(2), ctx.call("gpt"):
                raise AssertionError("It was admitted.")
        except TimeoutError:
            pass
        booked._answers.clear()
        async with ctx.call("gpt") as call:
            call.settle(Usage(input=1))
        return "the second time"

    [job] = await world.enqueue(impatient.job())
    await world.drain(impatient)

    assert await world.state(job) is State.SUCCEEDED
    assert [(report.call, report.state) for report in booked.told] == [
        (1, CallState.UNSENT),
        (2, CallState.SETTLED),
    ]


@virtually
async def test_a_call_that_is_admitted_for_a_run_that_was_stopped_is_given_back(world: World) -> None:
    booked = Booked(world)
    gate = asyncio.Event()
    world.faults.plan(Delay("acquire", gate))
    [job] = await world.enqueue(calls.job())
    worker = await world.start(calls, grace_ms=0)
    await asyncio.sleep(1)
    asyncio.get_running_loop().call_later(1, gate.set)
    await worker.stop()

    assert [request.number for request in booked.asked] == [1]
    assert [(report.call, report.state) for report in booked.told] == [(1, CallState.UNSENT)]
    assert booked.trips == ["acquire 1", "report 1", "settle"]
    assert (await world.get(job)).failures == 0


@virtually
async def test_a_call_that_is_admitted_in_the_moment_of_the_cancel_is_given_back(world: World) -> None:
    booked = Booked(world)
    seen: list[str] = []

    @aiq.task
    async def racing(ctx: aiq.Context) -> None:
        async def ask() -> None:
            async with ctx.call("gpt"):
                seen.append("inside")

        asked = asyncio.create_task(ask())
        for _ in range(turns):
            await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait({asked})

    ends: list[list[CallState]] = []
    for turns in range(1, 12):
        seen.clear()
        booked.told.clear()
        await world.enqueue(racing.job())
        await world.drain(racing)
        ends.append(booked.closed())
        assert ends[-1] == [CallState.SETTLED if seen else CallState.UNSENT], f"cancelled after {turns} turns"

    assert ends[0] == [CallState.UNSENT]
    assert ends[-1] == [CallState.SETTLED]


@virtually
async def test_a_run_whose_job_is_lost_while_it_waits_asks_no_more(world: World) -> None:
    booked = Booked(world)
    booked.answer(*[wait(None)] * 100)
    [job] = await world.enqueue(calls.job())
    worker = await world.start(calls)
    await asyncio.sleep(3)
    await world.storage.cancel([job], force=True)
    await asyncio.sleep(20)
    asked = len(booked.asked)
    await asyncio.sleep(60)

    assert len(booked.asked) == asked
    assert worker.statistics.running == 0
    await worker.stop()


@virtually
async def test_a_run_that_is_told_of_its_loss_by_a_call_is_ended_even_if_it_swallows_that(world: World) -> None:
    booked = Booked(world)
    ended: list[float] = []

    @aiq.task
    async def deaf(ctx: aiq.Context) -> None:
        try:
            async with ctx.call("gpt"):
                pass
        except LeaseLost:
            pass
        try:
            await asyncio.sleep(1_000)
        finally:
            ended.append(passed_s(world))

    booked.answer(LeaseLost("job-1", LostReason.TAKEN))
    await world.enqueue(deaf.job())
    worker = await world.start(deaf)
    await asyncio.sleep(1)

    assert ended == [0]
    await worker.stop()


@virtually
@pytest.mark.parametrize("late", [False, True])
async def test_a_run_that_lost_its_job_ends_though_its_reports_cannot_be_sent(world: World, late: bool) -> None:
    Booked(world)
    gate = asyncio.Event()
    world.faults.plan(Delay("report", gate))

    @aiq.task
    async def spends(ctx: aiq.Context) -> None:
        async with ctx.call("gpt") as call:
            call.report(Usage(input=1))
            if not late:
                return
            try:
                await asyncio.sleep(1_000)
            except asyncio.CancelledError:
                call.settle(Usage(input=2))

    [job] = await world.enqueue(spends.job())
    worker = await world.start(spends)
    await asyncio.sleep(1)
    assert worker.statistics.running == 1
    await world.storage.cancel([job], force=True)
    await asyncio.sleep(20)

    assert worker.statistics.running == 0
    gate.set()
    await worker.stop()


@virtually
async def test_a_run_that_was_told_to_stop_and_then_lost_its_job_waits_for_no_report(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    Booked(world)
    gate = asyncio.Event()
    world.faults.plan(Delay("report", gate))

    @aiq.task(lease=1)
    async def spends(ctx: aiq.Context) -> None:
        async with ctx.call("gpt"):
            await asyncio.sleep(1_000)

    [job] = await world.enqueue(spends.job())
    worker = await world.start(spends, grace_ms=0)
    await world.until(job, State.RUNNING)
    asyncio.get_running_loop().call_later(5, gate.set)
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(1)
    await world.storage.cancel([job], force=True)
    await asyncio.wait({stopping})

    assert "left behind" not in caplog.text


@virtually
async def test_a_run_whose_lease_has_run_out_opens_no_call_but_settles_the_one_it_has(world: World) -> None:
    booked = Booked(world)
    told: list[BaseException] = []

    @aiq.task(lease=2)
    async def late(ctx: aiq.Context) -> None:
        async with ctx.call("gpt") as call:
            ctx._run.held.expired = True  # type: ignore[attr-defined]  # the storage has said so
            try:
                async with ctx.call("gpt"):
                    pass
            except LeaseLost as lost:
                told.append(lost)
            call.settle(Usage(input=1))

    await world.enqueue(late.job())
    await world.drain(late)

    [lost] = told
    assert isinstance(lost, LeaseLost)
    assert lost.reason is LostReason.EXPIRED
    assert len(booked.asked) == 1
    assert booked.closed() == [CallState.SETTLED]


@virtually
async def test_what_a_handler_leaves_waiting_ends_with_its_run(world: World) -> None:
    booked = Booked(world)
    booked.answer(*[wait(None)] * 1_000)
    left: list[asyncio.Task[None]] = []

    @aiq.task
    async def careless(ctx: aiq.Context) -> None:
        async def ask() -> None:
            async with ctx.call("gpt"):
                pass

        left.append(asyncio.create_task(ask()))
        await asyncio.sleep(2)

    await world.enqueue(careless.job())
    worker = await world.start(careless, slots=1)
    await asyncio.sleep(30)

    [task] = left
    assert isinstance(task.exception(), LeaseLost)
    assert worker.engine._slots._free == {"default": 1}
    await worker.stop()
