"""A storage that is away, full or read-only for a while: it ends no worker, and nobody pays twice."""

import asyncio

import pytest

import aiq
from aiq.engine.tasks import PATIENCE_S
from aiq.errors import ReadOnly, StorageError, StorageFull, Unavailable
from aiq.model import JobRecord, Settlement, State, Succeeded
from aiq.storage import read
from aiq.testing import LoseReply, Refuse
from aiq.testing.actions import claim_one
from aiq.testing.marks import clause
from tests.engine.booked import Booked
from tests.engine.handlers import double, finished, slow
from tests.engine.shut import Shut
from tests.engine.world import World, virtually

OUTAGES = [Unavailable("It is away."), StorageFull("Free some space."), ReadOnly("Name the primary.")]
outages = pytest.mark.parametrize("error", OUTAGES, ids=["away", "full", "read-only"])


async def reached(world: World, job: str, state: State) -> JobRecord:
    """Let time pass until a job is in a state, and an hour at most: a worker that has ended takes it nowhere."""
    async with asyncio.timeout(3_600):
        return await world.until(job, state)


@clause("OUTAGE-1")
@virtually
@outages
async def test_an_outage_ends_no_worker_and_a_run_that_lasts_longer_ends_once(
    world: World, error: StorageError
) -> None:
    storage = Shut(world)
    runs: list[int] = []

    @aiq.task(lease=20)
    async def long(ctx: aiq.Context) -> None:
        runs.append(ctx.attempt)
        await asyncio.sleep(10)

    worker = await world.start(long, double)
    [job] = await world.enqueue(long.job())
    await asyncio.sleep(1)
    storage.shut(error)
    quick = await world.enqueue(*[double.job(n) for n in range(3)])
    await asyncio.sleep(12)
    storage.open()
    records = [await reached(world, name, State.SUCCEEDED) for name in (job, *quick)]
    await worker.stop()

    assert runs == [1]
    assert [(record.fence, record.stalls) for record in records] == [(1, 0)] * 4
    assert {"exchange", "renew", "upkeep"} <= set(storage.refused)
    await world.clean()


@clause("OUTAGE-1")
@virtually
@outages
async def test_jobs_that_come_due_in_an_outage_of_minutes_run_within_seconds_of_its_end(
    world: World, error: StorageError
) -> None:
    storage = Shut(world)
    worker = await world.start(double)
    [job] = await world.enqueue(double.job(2).using(delay=30))
    storage.shut(error)
    await asyncio.sleep(600)
    storage.open()
    back_ms = world.clock()
    await reached(world, job, State.SUCCEEDED)

    assert world.clock() - back_ms <= 6_000
    await worker.stop()


@clause("OUTAGE-1")
@virtually
async def test_a_storage_that_fires_no_schedule_says_so_once_and_its_end(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "aiq.upkeep")
    storage = Shut(world)
    worker = await world.start(double)
    storage.shut(StorageFull("Free some space."), "upkeep")
    await asyncio.sleep(30)
    storage.open()
    await asyncio.sleep(6)
    await worker.stop()

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "Free some space." in caplog.messages[0]


@clause("OUTAGE-1")
@virtually
@outages
async def test_a_worker_that_works_until_it_is_idle_is_not_idle_in_an_outage(world: World, error: StorageError) -> None:
    world.faults.plan(*[Refuse("upkeep", error)] * 2)

    statistics = await world.drain(double)

    assert statistics.succeeded == 0
    assert world.faults.planned == ()


@clause("OUTAGE-2")
@virtually
@outages
async def test_a_step_that_cannot_be_saved_for_a_while_is_paid_once(world: World, error: StorageError) -> None:
    paid: list[int] = []
    world.faults.plan(*[Refuse("save_step", error)] * 12)

    @aiq.task(lease=20)
    async def research(ctx: aiq.Context) -> int:
        return await ctx.step("pay", lambda: paid.append(1) or len(paid), returns=int)  # type: ignore[func-returns-value]

    [job] = await world.enqueue(research.job())
    record = await finished(world, job, research)

    assert world.faults.planned == ()
    assert (paid, record.result, record.attempt, record.fence, record.errors) == ([1], b"1", 1, 1, ())


@clause("OUTAGE-2")
@virtually
@outages
async def test_steps_that_cannot_be_read_for_a_while_are_read_in_the_end(world: World, error: StorageError) -> None:
    runs: list[int] = []

    @aiq.task(retry=aiq.Retry(first_delay=0))
    async def research(ctx: aiq.Context) -> None:
        await ctx.step("plan", double, 1)
        runs.append(ctx.fence)
        if ctx.attempt == 1:
            raise ValueError("again")

    world.faults.plan(*[Refuse("get_steps", error)] * 3)
    [job] = await world.enqueue(research.job())
    await finished(world, job, research)

    assert world.faults.planned == ()
    assert runs == [1, 2]


@clause("OUTAGE-2")
@virtually
@outages
async def test_what_a_run_emits_in_an_outage_is_in_its_stream_in_the_end(world: World, error: StorageError) -> None:
    world.faults.plan(*[Refuse("append", error)] * 6)

    @aiq.task
    async def talk(ctx: aiq.Context) -> None:
        for word in "abc":
            await ctx.emit(word)

    [job] = await world.enqueue(talk.job())
    record = await finished(world, job, talk)

    assert world.faults.planned == ()
    assert (record.fence, record.errors) == (1, ())
    assert [chunk.data for chunk in (await read(world.storage, job)).chunks][:3] == [b"a", b"b", b"c"]


@clause("OUTAGE-2")
@virtually
@outages
async def test_children_that_cannot_be_stored_for_a_while_are_stored_once(world: World, error: StorageError) -> None:
    @aiq.task
    async def parent(ctx: aiq.Context) -> list[int]:
        return await ctx.gather("all", [double.job(n) for n in range(3)])

    [job] = await world.enqueue(parent.job())
    world.faults.plan(LoseReply("enqueue"), *[Refuse("enqueue", error)] * 4)
    record = await finished(world, job, parent, double)

    assert (record.result, record.errors) == (b"[0,2,4]", ())
    assert (await world.storage.count())["default"] == {State.SUCCEEDED: 4}


@clause("OUTAGE-2")
@virtually
@outages
async def test_a_call_that_cannot_be_asked_for_or_reported_for_a_while_is_made_once(
    world: World, error: StorageError
) -> None:
    booked = Booked(world)
    world.faults.plan(*[Refuse("acquire", error)] * 3, *[Refuse("report", error)] * 3)
    made: list[int] = []

    @aiq.task
    async def ask(ctx: aiq.Context) -> None:
        async with ctx.call("gpt") as call:
            made.append(1)
            call.settle(aiq.Usage(model="gpt", input=1, output=1))

    [job] = await world.enqueue(ask.job())
    record = await finished(world, job, ask)

    assert world.faults.planned == ()
    assert (made, record.errors, len(booked.asked)) == ([1], (), 1)


@clause("OUTAGE-2")
@virtually
async def test_of_many_runs_that_wait_is_told_once_and_of_the_end_when_the_last_goes_on(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "aiq.worker")
    storage = Shut(world)
    storage.shut(StorageFull("Free some space."), "save_step")

    @aiq.task(lease=60)
    async def pays(ctx: aiq.Context, number: int) -> None:
        await ctx.step("pay", double, number)

    @aiq.task
    async def emits(ctx: aiq.Context) -> None:
        await ctx.emit("a storage that is full for one thing takes another")

    worker = await world.start(pays, emits)
    jobs = await world.enqueue(*[pays.job(n) for n in range(5)])
    for _ in range(20):
        await asyncio.sleep(1)
        await world.enqueue(emits.job())
    storage.open()
    for job in jobs:
        await reached(world, job, State.SUCCEEDED)
    await worker.stop()

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


@clause("OUTAGE-3")
@virtually
async def test_a_job_that_is_cancelled_while_it_waits_for_room_ends_within_seconds(world: World) -> None:
    storage = Shut(world)
    storage.shut(StorageFull("Free some space."), "save_step")

    @aiq.task(lease=6)
    async def research(ctx: aiq.Context) -> None:
        await ctx.step("pay", double, 1)

    worker = await world.start(research)
    [job] = await world.enqueue(research.job())
    await asyncio.sleep(5)
    await world.storage.cancel([job])
    told_ms = world.clock()
    await reached(world, job, State.CANCELLED)

    assert world.clock() - told_ms <= 2_000 + PATIENCE_S * 1_000 + 100
    await worker.stop()
    assert worker.statistics.stuck == 0
    await world.clean()


@clause("OUTAGE-3")
@virtually
async def test_a_run_that_has_lost_its_job_waits_for_room_no_longer(world: World) -> None:
    storage = Shut(world)
    ends: list[int] = []

    @aiq.task(lease=6)
    async def research(ctx: aiq.Context) -> None:
        try:
            await ctx.step("pay", double, 1)
        finally:
            ends.append(world.clock())

    worker = await world.start(research)
    await world.enqueue(research.job())
    storage.shut(ReadOnly("Name the primary."), "save_step", "renew", "append")
    began_ms = world.clock()
    await asyncio.sleep(30)

    assert len(ends) >= 1
    assert ends[0] - began_ms <= 2 * 6_000 + 2_000 + PATIENCE_S * 1_000
    storage.open()
    await worker.stop()


@clause("OUTAGE-3")
@virtually
@outages
async def test_the_end_of_a_worker_waits_for_no_outage(world: World, error: StorageError) -> None:
    storage = Shut(world)

    @aiq.task(lease=600)
    async def research(ctx: aiq.Context) -> None:
        await ctx.emit("something")
        await ctx.step("pay", double, 1)

    worker = await world.start(research, slow, grace_ms=1_000, cancel_grace_ms=2_000)
    await world.enqueue(research.job(), slow.job(1))
    await asyncio.sleep(0)
    storage.shut(error)
    await asyncio.sleep(30)
    told_ms = world.clock()
    await worker.stop()

    assert world.clock() - told_ms <= 20_000


@clause("OUTAGE-4")
@virtually
@outages
async def test_who_enqueues_is_told_of_an_outage_at_once(world: World, error: StorageError) -> None:
    storage = Shut(world)
    queue = aiq.Queue(world.faults)
    await queue.enqueue(double.job(1))
    storage.shut(error)
    began_ms = world.clock()

    with pytest.raises(type(error), match=str(error)):
        await queue.enqueue(double.job(2))

    assert (storage.refused, world.clock() - began_ms) == (["enqueue"], 0)


@clause("OUTAGE-4")
@virtually
@outages
async def test_a_write_whose_answer_was_lost_stays_unknown_in_the_outage_that_comes_after(
    world: World, error: StorageError
) -> None:
    world.faults.plan(LoseReply("enqueue"), *[Refuse("enqueue", error)] * 2)

    with pytest.raises(Unavailable) as told:
        await aiq.Queue(world.faults).enqueue(double.job(1).using(id="once"))

    assert told.value.outcome_unknown
    run = await claim_one(world.storage)
    await world.storage.exchange([Settlement(run.lease, "1", Succeeded(b"2"))])
    assert run.id == "once"


@clause("OUTAGE-4")
@virtually
@outages
async def test_a_question_whose_job_cannot_be_cancelled_in_an_outage_is_answered_in_time(
    world: World, error: StorageError
) -> None:
    world.faults.plan(Refuse("cancel", error))

    with pytest.raises(aiq.ResultTimeout):
        await aiq.Queue(world.faults).ask(double.job(1), timeout=5, on_timeout="cancel")
