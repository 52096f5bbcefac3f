"""Workers that fire schedules: each slot once, whatever becomes of workers and clocks."""

import asyncio
import logging
from collections import Counter
from itertools import pairwise
from random import Random
from typing import Any

import pytest

import aiq
from aiq.backends.memory.storage import open_memory
from aiq.engine.calendar import AT_ONCE
from aiq.model import Missed, Overlap, Phase, QueueSettings, ScheduleSpec, State
from aiq.rules.slots import slot_id
from aiq.testing.faulty import LoseReply, Refuse
from aiq.testing.schedules import MINUTE, SECOND, schedule, the_schedule
from tests.engine.world import START_MS, World, virtually


class Steps:
    """The clock of a storage, which somebody puts forward and back."""

    def __init__(self) -> None:
        self.offset_ms = 0

    def __call__(self) -> int:
        return START_MS + round(asyncio.get_running_loop().time() * 1000) + self.offset_ms


class Life:
    """A storage with a clock of its own, a schedule, and workers that come and go."""

    def __init__(self, world: World, clock: Steps) -> None:
        self.world, self.clock = world, clock
        self.runs: Counter[str] = Counter()

        @aiq.task(name="tick")
        async def tick(ctx: aiq.Context) -> None:
            self.runs[ctx.job_id] += 1

        self.tick = tick

    @classmethod
    async def begin(cls, world: World) -> "Life":
        clock = Steps()
        return cls(World(await open_memory("memory://", clock), world.clock), clock)

    async def put(self, name: str = "tick", **options: Any) -> ScheduleSpec:
        spec = schedule(name, self.tick.job().spec(job_id=""), **options)
        await self.world.storage.put_schedules([spec])
        return spec

    async def work(self, seconds: float, workers: int = 1) -> None:
        """Let so many workers work for a while."""
        ships = [await self.world.start(self.tick) for _ in range(workers)]
        await asyncio.sleep(seconds)
        for ship in ships:
            await ship.stop()

    async def weather(self, rng: Random, seconds: float) -> None:
        """One worker of two: it is restarted now and then, and hears no answer now and then."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            ship = await self.world.start(self.tick)
            await asyncio.sleep(rng.uniform(1, 240))
            self.world.faults.plan(LoseReply("fire"), Refuse("due_schedules"), LoseReply("upkeep"))
            await asyncio.sleep(rng.uniform(0, 60))
            await ship.stop()
            await asyncio.sleep(rng.uniform(0, 60))


async def long_time(life: Life, seed: int, seconds: int, **options: Any) -> list[str]:
    """Two workers and a schedule of every second, with clock steps and restarts; the ids of all slots of that time."""
    await life.put(every_ms=SECOND, **options)
    first_ms = life.clock() + SECOND - life.clock() % SECOND if life.clock() % SECOND else life.clock()
    rng = Random(seed)
    workers = [asyncio.create_task(life.weather(Random(seed * 2 + n), seconds)) for n in range(2)]
    for step_ms in (30_000, -300_000, 45_000, -10_000, 250, -1):
        await asyncio.sleep(rng.uniform(seconds / 18, seconds / 6))
        life.clock.offset_ms += step_ms
    for worker in workers:
        await worker
    await life.work(360)
    status = await the_schedule(life.world.storage)
    slots = range(first_ms, status.passed_ms + 1, SECOND)
    assert len(slots) > seconds * 0.9
    assert status.fires + status.skipped == len(slots)
    await life.world.storage.pause_schedules(["tick"])
    await life.world.drain(life.tick)
    await life.world.clean()
    return [slot_id("tick", slot_ms) for slot_ms in slots]


@virtually
async def test_two_workers_fire_every_second_of_an_hour_once_over_clock_steps_and_restarts(world: World) -> None:
    life = await Life.begin(world)
    slots = await long_time(life, 1, 3_600, missed=Missed.CATCH_UP, catch_up=100)

    assert life.runs == Counter(slots)
    assert (await the_schedule(life.world.storage)).skipped == 0


@virtually
async def test_where_missed_slots_are_left_out_the_others_are_fired_once(world: World) -> None:
    life = await Life.begin(world)
    slots = await long_time(life, 7, 900)

    assert set(life.runs) <= set(slots)
    assert set(life.runs.values()) == {1}
    status = await the_schedule(life.world.storage)
    assert status.fires == len(life.runs)
    assert 0 < status.skipped < len(slots) / 2


@virtually
async def test_a_slot_is_fired_soon_after_its_instant(world: World) -> None:
    life = await Life.begin(world)
    await life.put(every_ms=7 * SECOND)
    await life.work(60, workers=2)

    jobs = [record async for record in all_jobs(life.world)]
    assert len(jobs) == 9
    assert all(record.created_at_ms % (7 * SECOND) < 200 for record in jobs)


@virtually
async def test_a_schedule_after_its_last_job_is_fired_soon_after_that_has_ended(world: World) -> None:
    life = await Life.begin(world)

    @aiq.task(name="slow")
    async def slow() -> None:
        await asyncio.sleep(20)

    spec = schedule("slow", slow.job().spec(job_id=""), after_ms=10 * SECOND)
    await life.world.storage.put_schedules([spec])
    ship = await life.world.start(slow)
    await asyncio.sleep(125)
    await ship.stop()

    jobs = [record async for record in all_jobs(life.world)]
    gaps = [b.created_at_ms - (a.finished_at_ms or 0) for a, b in pairwise(jobs)]
    assert len(jobs) == 5
    assert all(10_000 <= gap < 10_200 for gap in gaps)


@virtually
async def test_a_job_that_is_refused_stops_neither_its_schedule_nor_the_others(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    life = await Life.begin(world)
    template = life.tick.job().using(queue="news", key="k").spec(job_id="")
    await life.world.storage.put_schedules([schedule("bad", template, every_ms=10 * SECOND)])
    # What was fine when it was stored is so no more.
    await life.world.storage.configure("news", QueueSettings(lifo=True))
    await life.put("good", every_ms=10 * SECOND)
    with caplog.at_level(logging.WARNING, "aiq.schedules"):
        await life.work(45)

    bad = await the_schedule(life.world.storage, "bad")
    assert (bad.fires, bad.skipped, bad.refused, bad.phase) == (0, 5, 5, Phase.PLANNED)
    assert "gives the newest first" in bad.error
    assert len(life.runs) == 5
    assert "bad" in caplog.text


@virtually
async def test_a_schedule_that_means_nothing_here_is_left_to_other_workers(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    life = await Life.begin(world)
    await life.put("strange", cron="0 3 * * *", tz="Mars/Olympus")
    await life.put("good", every_ms=10 * SECOND)
    before = await the_schedule(life.world.storage, "strange")
    with caplog.at_level(logging.ERROR, "aiq.schedules"):
        await life.work(45)

    assert await the_schedule(life.world.storage, "strange") == before
    assert len(life.runs) == 5
    assert caplog.text.count("Mars/Olympus") == 1


@virtually
async def test_any_number_of_schedules_that_mean_nothing_here_keep_no_other_from_being_fired(world: World) -> None:
    life = await Life.begin(world)
    template = life.tick.job().spec(job_id="")
    strange = [schedule(f"a{n}", template, cron="0 3 * * *", tz="Mars/Olympus") for n in range(AT_ONCE + 1)]
    await life.world.storage.put_schedules(strange)
    await life.put("good", every_ms=10 * SECOND)
    await life.work(45)

    assert len(life.runs) >= 4


@virtually
async def test_working_until_idle_fires_what_is_due_and_waits_for_no_slot(world: World) -> None:
    life = await Life.begin(world)
    await life.put(every_ms=60 * MINUTE, missed=Missed.CATCH_UP, catch_up=3)
    await life.world.drain(life.tick)
    assert life.runs == {}

    await asyncio.sleep(3 * 3600)
    await life.world.drain(life.tick)
    assert len(life.runs) == 3


@virtually
async def test_a_job_that_is_cancelled_by_its_next_slot_is_told_to_stop(world: World) -> None:
    life = await Life.begin(world)
    ended: list[str] = []

    @aiq.task(name="long")
    async def long(ctx: aiq.Context) -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            ended.append(ctx.job_id)

    spec = schedule("long", long.job().spec(job_id=""), every_ms=30 * SECOND, overlap=Overlap.CANCEL)
    await life.world.storage.put_schedules([spec])
    ship = await life.world.start(long)
    await asyncio.sleep(65)

    first, second = [record async for record in all_jobs(life.world)]
    assert (first.state, second.state) == (State.CANCELLED, State.RUNNING)
    assert ended == [first.id]
    await life.world.storage.cancel([second.id], force=True)
    await ship.stop()


async def all_jobs(world: World) -> Any:
    for record in (await world.storage.list(aiq.JobFilter())).jobs:
        yield record
