"""Jobs that are claimed before a place is free, by a whole worker in virtual time."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest

import aiq
from aiq.engine.ahead import BRIEF_MS, WAIT_MS, Ahead
from aiq.engine.intake import HEAD_START_S
from aiq.engine.run import Run
from aiq.model import ClaimRequest, Exchanged, LimitSpec, Settlement, State
from aiq.newjob import NewJob
from aiq.storage import claim
from aiq.testing.actions import wish
from tests.engine.world import START_MS, World, virtually


@aiq.task
async def work(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def running(world: World) -> int:
    """How many jobs are leased, with a place or without."""
    return (await world.storage.count())["default"].get(State.RUNNING, 0)


async def waiting_behind_long_ones(world: World) -> list[str]:
    """Two brief jobs, then two that take long; the worker holds two more for which it has no place."""
    jobs = await world.enqueue(*[work.job(seconds) for seconds in (0, 0, 1_000, 1_000, 0, 0, 0)])
    return jobs[4:]


@virtually
async def test_the_next_jobs_are_claimed_while_brief_ones_run(world: World) -> None:
    held: list[int] = []

    @aiq.task
    async def look() -> None:
        held.append(await running(world))

    await world.enqueue(*[look.job() for _ in range(9)])
    await world.drain(look, slots=3)

    # First those that have places, then as many more; those that have run are leased until the next exchange.
    assert held[:3] == [3] * 3
    assert max(held) == 6


@virtually
async def test_an_exchange_is_on_its_way_before_the_jobs_begin_that_the_last_one_brought(world: World) -> None:
    under_way = False
    beside: list[bool] = []
    exchange = world.faults.exchange

    async def slowly(settlements: Sequence[Settlement], claim: ClaimRequest | None = None) -> Exchanged:
        nonlocal under_way
        await asyncio.sleep(HEAD_START_S / 2)
        under_way = True
        await asyncio.sleep(0.005)
        under_way = False
        return await exchange(settlements, claim)

    @aiq.task
    async def note() -> None:
        beside.append(under_way)

    world.faults.exchange = slowly  # type: ignore[method-assign]
    await world.enqueue(*[note.job() for _ in range(7)])
    await world.drain(note, slots=1)

    # The first comes alone, then two at once: nothing is to be settled when these three begin.
    assert beside == [False] * 3 + [True] * 4


@virtually
async def test_nothing_is_claimed_ahead_of_jobs_that_take_long(world: World) -> None:
    await world.enqueue(*[work.job(BRIEF_MS / 1000 + 0.001) for _ in range(9)])
    worker = await world.start(work, slots=3)
    most = 0
    for _ in range(20):
        most = max(most, await running(world))
        await asyncio.sleep(0.02)
    await worker.stop()

    assert most == 3


@virtually
async def test_nothing_is_claimed_ahead_of_jobs_that_take_limits_which_others_may_wait_for(world: World) -> None:
    await world.storage.put_limits([LimitSpec(name="few", concurrency=4)])
    seconds = (0, 0, 1_000, 1_000, 1_000, 1_000)
    await world.enqueue(*[work.job(one).using(limits=["few"]) for one in seconds])
    worker = await world.start(work, slots=2)
    await asyncio.sleep(WAIT_MS / 2000)

    assert await running(world) == 2
    worker.engine.hurry()
    await worker.stop()


@virtually
async def test_what_has_ended_before_a_claim_says_nothing_of_the_next(world: World) -> None:
    await world.enqueue(*[work.job(0) for _ in range(4)])
    worker = await world.start(work, slots=2)
    await asyncio.sleep(10)
    await world.enqueue(*[work.job(1_000) for _ in range(9)])
    await asyncio.sleep(1)

    assert await running(world) == 2
    worker.engine.hurry()
    await worker.stop()


@virtually
async def test_a_job_that_waits_too_long_for_a_place_is_given_back_uncounted_and_in_its_place(world: World) -> None:
    behind = await waiting_behind_long_ones(world)
    worker = await world.start(work, slots=2)
    await asyncio.sleep(WAIT_MS / 1000 - 0.001)
    before = [await world.state(job) for job in behind]
    await asyncio.sleep(2 * WAIT_MS / 1000)

    first = await world.get(behind[0])
    assert before == [State.RUNNING, State.RUNNING, State.READY]
    assert (first.state, first.attempt, first.failures) == (State.READY, 1, 0)
    await world.drain(work, slots=1)
    worker.engine.hurry()
    await worker.stop()
    await world.clean()


@virtually
async def test_who_waits_for_a_place_gets_the_first_that_is_free(world: World) -> None:
    *_, last = await world.enqueue(*[work.job(seconds) for seconds in (0, 0.05, 0)])
    worker = await world.start(work, slots=1)
    record = await world.until(last, State.SUCCEEDED)
    await worker.stop()

    assert record.started_at_ms == START_MS
    assert record.finished_at_ms == START_MS + 50
    assert record.fence == 1


@virtually
async def test_a_worker_that_stops_gives_back_at_once_what_waits_for_a_place(world: World) -> None:
    [first, second, _] = await waiting_behind_long_ones(world)
    worker = await world.start(work, slots=2)
    await asyncio.sleep(0.01)
    worker.engine.stop()
    await world.until(second, State.READY)

    assert await world.state(first) is State.READY
    assert world.clock() == START_MS + 10
    worker.engine.hurry()
    await worker.stop()


async def claimed(world: World, *jobs: NewJob[None]) -> list[Run]:
    """Runs of jobs that have no place yet."""
    await world.enqueue(*jobs)
    engine, sent_ms = world.engine(work), world.clock()
    return [engine.begin(record, sent_ms) for record in await claim(world.storage, wish(len(jobs)))]


@virtually
async def test_the_most_urgent_of_those_that_wait_goes_first_then_the_first(world: World) -> None:
    runs = await claimed(world, *[work.job(n).using(band=band) for n, band in enumerate(("batch", "high", "batch"))])
    ahead = Ahead({"default": 3}, lambda _: None)
    for run in sorted(runs, key=lambda run: run.record.id):
        ahead.put(run)

    order = [run.record.id for run in iter(lambda: ahead.take("default"), None) if run]
    ahead.clear()

    assert order == ["job-2", "job-1", "job-3"]


@virtually
async def test_no_more_are_asked_for_than_there_are_places_however_many_have_ended(world: World) -> None:
    runs = await claimed(world, *[work.job(n) for n in range(5)])
    ahead = Ahead({"default": 2}, lambda _: None)
    for run in runs:
        ahead.ended(run)

    assert ahead.room("default") == 2


@virtually
@pytest.mark.parametrize("seed", range(8))
async def test_every_job_runs_once_however_long_it_takes_and_however_many_places_there_are(
    world: World, seed: int
) -> None:
    ran: list[int] = []
    most = at_once = 0

    @aiq.task
    async def note(number: int, seconds: float) -> None:
        nonlocal most, at_once
        ran.append(number)
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(seconds)
        at_once -= 1

    rng = Random(seed)
    slots = rng.randint(1, 9)
    await world.enqueue(*[note.job(n, rng.choice([0, 0, 0.001, 0.05, 0.3, 5])) for n in range(200)])
    await world.drain(note, slots=slots)

    assert sorted(ran) == list(range(200))
    assert most <= slots
    await world.clean()
