"""Chapter 19: the register of workers; and what a storage says of its surroundings."""

from dataclasses import replace

import pytest

from aiq.bounds import MAX_BATCH, MAX_PAGE, WORKER_GONE_MS, WORKER_KEPT_MS
from aiq.errors import InvalidInput, LeaseLost, TooLarge
from aiq.model import Beat, Fact, Level, SlotUse, State, WorkerState
from aiq.storage import Storage, settle
from aiq.testing.actions import GOOD, claim_one, enqueue_one, look, start, states
from aiq.testing.clock import Clock
from aiq.testing.marks import clause

BEAT = Beat(
    worker="host:17:ab",
    host="host",
    pid=17,
    up_ms=5_000,
    version="1.2",
    python="3.11.9",
    slots=(SlotUse("default", 8, 3), SlotUse("bulk", 2)),
    lent=1,
    lag_ms=4,
)


async def state_of(storage: Storage) -> WorkerState:
    [found] = await storage.workers()
    return found.state


@clause("WORK-1")
async def test_a_beat_is_told_back_whole_with_its_instant(storage: Storage, clock: Clock) -> None:
    await storage.beat(BEAT)
    [found] = await storage.workers()
    assert found.beat == BEAT
    assert (found.beat_at_ms, found.started_at_ms, found.silent_ms) == (clock(), clock() - 5_000, 0)


@clause("WORK-1")
async def test_the_newest_beat_stands_and_the_beginning_stays(storage: Storage, clock: Clock) -> None:
    await storage.beat(BEAT)
    began_ms = clock() - 5_000
    clock.advance_ms(10_000)
    # Its own clock runs otherwise than ours, and moves nothing.
    newer = replace(BEAT, up_ms=99_000, lent=0, slots=(SlotUse("default", 8, 8),))
    await storage.beat(newer)
    [found] = await storage.workers()
    assert (found.beat, found.started_at_ms, found.beat_at_ms) == (newer, began_ms, clock())


@clause("WORK-2")
async def test_a_worker_is_gone_when_it_has_been_silent_for_long_and_not_before(storage: Storage, clock: Clock) -> None:
    await storage.beat(BEAT)
    assert await state_of(storage) is WorkerState.ALIVE
    clock.advance_ms(WORKER_GONE_MS - 1)
    assert await state_of(storage) is WorkerState.ALIVE
    clock.advance_ms(1)
    [found] = await storage.workers()
    assert (found.state, found.silent_ms) == (WorkerState.GONE, WORKER_GONE_MS)
    await storage.beat(BEAT)
    assert await state_of(storage) is WorkerState.ALIVE


@clause("WORK-2")
async def test_a_worker_that_beats_without_its_loop_is_blocked_until_it_is_gone(storage: Storage, clock: Clock) -> None:
    await storage.beat(replace(BEAT, blocked=True, lag_ms=7_000))
    assert await state_of(storage) is WorkerState.BLOCKED
    clock.advance_ms(WORKER_GONE_MS)
    assert await state_of(storage) is WorkerState.GONE


@clause("WORK-2")
async def test_a_clock_that_is_put_back_makes_nobody_gone(storage: Storage, clock: Clock) -> None:
    await storage.beat(BEAT)
    clock.advance_ms(-3_600_000)
    [found] = await storage.workers()
    assert (found.state, found.silent_ms) == (WorkerState.ALIVE, 0)


@clause("WORK-3")
async def test_a_worker_that_leaves_is_known_no_more(storage: Storage) -> None:
    await storage.beat(BEAT)
    await storage.beat(replace(BEAT, worker="other"))
    await storage.leave(BEAT.worker)
    await storage.leave(BEAT.worker)
    await storage.leave("nobody")
    assert [found.beat.worker for found in await storage.workers()] == ["other"]


@clause("WORK-3")
async def test_one_that_comes_back_begins_anew(storage: Storage, clock: Clock) -> None:
    await storage.beat(BEAT)
    await storage.leave(BEAT.worker)
    clock.advance_ms(60_000)
    await storage.beat(replace(BEAT, up_ms=0))
    assert (await storage.workers())[0].started_at_ms == clock()


@clause("WORK-4")
async def test_upkeep_forgets_the_longest_silent_first_and_no_more_than_its_limit(
    storage: Storage, clock: Clock
) -> None:
    for name in ("c", "a", "b"):
        await storage.beat(replace(BEAT, worker=name))
        clock.advance_ms(1_000)
    clock.advance_ms(WORKER_KEPT_MS - 3_000 - 1)
    assert (await storage.upkeep()).next_due_ms != 0
    assert len(await storage.workers()) == 3
    clock.advance_ms(1_001)

    assert (await storage.upkeep(1)).next_due_ms == 0
    assert [found.beat.worker for found in await storage.workers()] == ["a", "b"]
    assert (await storage.upkeep(1)).next_due_ms != 0
    assert [found.beat.worker for found in await storage.workers()] == ["b"]


@clause("WORK-5")
async def test_workers_are_read_by_name_a_page_at_a_time(storage: Storage) -> None:
    for name in ("c", "a", "B", "ä"):
        await storage.beat(replace(BEAT, worker=name))
    first = await storage.workers(limit=2)
    assert [found.beat.worker for found in first] == ["B", "a"]
    assert [found.beat.worker for found in await storage.workers(after="a")] == ["c", "ä"]
    assert await storage.workers(after="ä") == []
    with pytest.raises(TooLarge):
        await storage.workers(limit=MAX_PAGE + 1)


@clause("WORK-6")
async def test_a_silent_worker_keeps_the_job_that_its_lease_is_for(storage: Storage, clock: Clock) -> None:
    run = await start(storage, "job", lease_ms=3_600_000)
    await storage.beat(replace(BEAT, worker=run.owner or ""))
    clock.advance_ms(WORKER_GONE_MS * 2)
    await storage.upkeep()
    assert await states(storage, "job") == [State.RUNNING]
    await settle(storage, run.lease, GOOD, settlement_id="1")
    assert await states(storage, "job") == [State.SUCCEEDED]


@clause("WORK-6")
async def test_a_beat_keeps_no_job_whose_lease_has_expired(storage: Storage, clock: Clock) -> None:
    run = await start(storage, "job", lease_ms=1_000)
    clock.advance_ms(1_000)
    before = await look(storage)
    await storage.beat(replace(BEAT, worker=run.owner or ""))
    assert await look(storage) == before
    await storage.upkeep()
    again = await claim_one(storage)
    assert again.id == "job"
    with pytest.raises(LeaseLost):
        await settle(storage, run.lease, GOOD, settlement_id="1")


@clause("WORK-7", "STORE-9")
async def test_a_beat_that_says_too_much_is_refused_and_the_last_one_stands(storage: Storage) -> None:
    await storage.beat(BEAT)
    many = tuple(SlotUse(f"queue-{n}", 1) for n in range(MAX_BATCH + 1))
    with pytest.raises(TooLarge):
        await storage.beat(replace(BEAT, slots=many))
    for wrong in (
        replace(BEAT, lent=-1),
        replace(BEAT, slots=(SlotUse("no queue", 1),)),
        replace(BEAT, slots=(SlotUse("default", -1),)),
        replace(BEAT, worker=""),
        replace(BEAT, up_ms=2**60),
        replace(BEAT, host="h" * 300),
    ):
        with pytest.raises(InvalidInput):
            await storage.beat(wrong)
    assert [found.beat for found in await storage.workers()] == [BEAT]


@clause("FACT-1")
async def test_facts_have_names_of_their_own_and_say_what_to_do(storage: Storage) -> None:
    await enqueue_one(storage, "job")
    before = await look(storage)
    facts = await storage.facts()
    assert await look(storage) == before
    names = [fact.name for fact in facts]
    assert len(names) == len(set(names)) > 1
    assert all(fact.text.endswith(".") for fact in facts)
    assert all(fact.advice for fact in facts if fact.level is not Level.OK)


async def moving(storage: Storage) -> Fact:
    """What a storage says of its moving."""
    [fact] = [fact for fact in await storage.facts() if fact.name == "moving"]
    return fact


@clause("FACT-3")
async def test_a_storage_that_is_retired_says_where_it_has_moved(storage: Storage) -> None:
    assert (await moving(storage)).level is Level.OK

    await storage.retire("elsewhere://elsewhere")
    told = await moving(storage)
    assert told.level is Level.FAIL
    assert "elsewhere://elsewhere" in told.text
    assert "--undo" in told.advice

    await storage.retire(None)
    assert (await moving(storage)).level is Level.OK


@clause("FACT-3")
async def test_a_storage_that_is_half_loaded_says_how_to_go_on(storage: Storage) -> None:
    await storage.load("the move", [])
    told = await moving(storage)
    assert told.level is Level.FAIL
    assert "the move" in told.text
    assert "aiq import" in told.advice

    await storage.load("the move", [], last=True)
    assert (await moving(storage)).level is Level.OK


@clause("FACT-2")
async def test_a_clock_that_was_put_back_is_told(storage: Storage, clock: Clock) -> None:
    async def told() -> Level:
        [fact] = [fact for fact in await storage.facts() if fact.name == "clock"]
        return fact.level

    assert await told() is Level.OK
    await enqueue_one(storage, "job")
    clock.advance_ms(-1_000)
    assert await told() is Level.OK
    clock.advance_ms(-1)
    assert await told() is Level.FAIL
