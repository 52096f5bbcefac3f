"""Chapter 15: slots are fired once, and what they do to the jobs before them."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from aiq import bounds
from aiq.errors import InvalidInput, QueueFull, TooLarge, UnknownLimit
from aiq.model import Fired, Outcome, Overlap, Phase, QueueSettings, State
from aiq.rules.schedules import job_of
from aiq.rules.slots import plan, without_jobs
from aiq.storage import Storage
from aiq.testing.actions import (
    BAD,
    GOOD,
    MANY,
    claim_one,
    crowd,
    end,
    end_one,
    enqueue_one,
    failed,
    get_one,
    job,
    look,
    states,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.schedules import (
    MINUTE,
    TEMPLATE,
    fire_due,
    fires,
    next_of,
    planned,
    put_one,
    the_schedule,
)

S = State


async def due(storage: Storage, clock: Clock, name: str = "tick", **options: Any) -> int:
    """Let a schedule be at its next slot, and give that. The options are those of a schedule, hence Any."""
    slot_ms = await planned(storage, name, **options)
    clock.set_ms(slot_ms)
    return slot_ms


@clause("SCHED-7")
async def test_a_fire_makes_the_jobs_and_moves_the_schedule_on(storage: Storage, clock: Clock) -> None:
    slot_ms = await due(storage, clock)
    before = await the_schedule(storage)
    clock.advance_ms(7)

    answer = await storage.fire([fires(before, "a", "b", skipped=3, passed_ms=slot_ms + 5, next_ms=slot_ms + 9)])

    assert answer == [Fired("tick", ("a", "b"))]
    assert await the_schedule(storage) == replace(
        before,
        next_ms=slot_ms + 9,
        passed_ms=slot_ms + 5,
        fires=2,
        skipped=3,
        last_job_id="b",
        last_fired_ms=clock(),
    )
    assert [record.id for record in (await look(storage)).jobs.values()] == ["a", "b"]
    assert (await get_one(storage, "a")).task == "work"


@clause("SCHED-7")
@pytest.mark.parametrize(
    "change",
    [
        {"revision": 2},
        {"revision": 0},
        {"slot_ms": -1},
        {"slot_ms": 1, "passed_ms": 1},
        {"slot_ms": None, "jobs": ()},
        {"passed_ms": 1},
        {"name": "ghost"},
    ],
    ids=str,
)
async def test_a_fire_of_something_else_than_what_stands_is_stale_and_changes_nothing(
    storage: Storage, clock: Clock, change: dict[str, Any]
) -> None:
    slot_ms = await due(storage, clock)
    before = await the_schedule(storage), await look(storage)
    told = fires(before[0], "a", next_ms=slot_ms + MINUTE)
    shifted = {name: slot_ms + by if name.endswith("_ms") and by is not None else by for name, by in change.items()}

    (answer,) = await storage.fire([replace(told, **shifted)])

    assert (answer.stale, answer.job_ids) == (True, ())
    assert (await the_schedule(storage), await look(storage)) == before


@clause("SCHED-7")
async def test_a_slot_is_fired_at_its_instant_and_not_before(storage: Storage, clock: Clock) -> None:
    slot_ms = await due(storage, clock)
    status = await the_schedule(storage)
    clock.set_ms(slot_ms - 1)
    assert await storage.fire([fires(status, "a")]) == [Fired("tick", stale=True)]
    clock.set_ms(slot_ms)
    assert await storage.fire([fires(status, "a")]) == [Fired("tick", ("a",))]


@clause("SCHED-7")
async def test_one_stale_fire_leaves_the_others_alone(storage: Storage, clock: Clock) -> None:
    await planned(storage, "a")
    await due(storage, clock, "b")
    a, b = await the_schedule(storage, "a"), await the_schedule(storage, "b")

    answers = await storage.fire([fires(b, "1"), replace(fires(a, "2"), revision=9)])

    assert answers == [Fired("b", ("1",)), Fired("a", stale=True)]
    assert await states(storage, "1", "2") == [S.READY, None]


@clause("SCHED-8")
async def test_the_last_fire_sent_again_is_answered_with_its_jobs(storage: Storage, clock: Clock) -> None:
    await due(storage, clock)
    told = fires(await the_schedule(storage), "a", "b")
    await storage.fire([told])
    before = await the_schedule(storage), await look(storage)

    assert await storage.fire([told]) == [Fired("tick", ("a", "b"), existed=True)]
    assert (await the_schedule(storage), await look(storage)) == before


@clause("SCHED-8")
async def test_a_slot_is_fired_once_by_many_at_the_same_time(storage: Storage, clock: Clock) -> None:
    await due(storage, clock)
    async with crowd(storage) as faces:
        answers = await asyncio.gather(*map(fire_due, faces))

    made = [fired for answer in answers for fired in answer if not (fired.stale or fired.existed)]
    assert (len(answers), len(made)) == (MANY, 1)
    assert (await the_schedule(storage)).fires == 1
    assert list((await look(storage)).jobs) == list(made[0].job_ids)


@clause("SCHED-8")
async def test_planning_sent_again_is_answered_as_before(storage: Storage, clock: Clock) -> None:
    status = await put_one(storage)
    told = plan(status, clock())
    assert await storage.fire([told]) == [Fired("tick")]
    before = await the_schedule(storage)
    assert await storage.fire([told]) == [Fired("tick", existed=True)]
    assert await the_schedule(storage) == before


@clause("SCHED-9")
async def test_a_job_that_an_enqueue_would_refuse_refuses_the_whole_call(storage: Storage, clock: Clock) -> None:
    await planned(storage, "good")
    await due(storage, clock, "bad")
    good, bad = await the_schedule(storage, "good"), await the_schedule(storage, "bad")

    with pytest.raises(UnknownLimit):
        await storage.fire([fires(good, "1"), fires(bad, jobs=(job("2", limits=("ghost",)),))])
    assert await the_schedule(storage, "good") == good
    assert await the_schedule(storage, "bad") == bad
    assert (await look(storage)).jobs == {}


@clause("SCHED-9")
async def test_a_full_queue_refuses_a_fire_and_the_last_job_is_left_alone(storage: Storage, clock: Clock) -> None:
    await due(storage, clock, overlap=Overlap.CANCEL)
    await storage.run_schedule("tick", job_of(TEMPLATE, "last"))
    await storage.configure("default", QueueSettings(max_ready=1))

    with pytest.raises(QueueFull):
        await fire_due(storage)
    assert await states(storage, "last") == [S.READY]


@clause("SCHED-9")
async def test_a_slot_whose_job_is_refused_is_passed_and_the_schedule_shows_why(storage: Storage, clock: Clock) -> None:
    slot_ms = await due(storage, clock)
    status = await the_schedule(storage)

    await storage.fire([without_jobs(fires(status, "a"), "no room")])

    after = await the_schedule(storage)
    assert (after.error, after.skipped, after.fires, after.next_ms) == ("no room", 1, 0, slot_ms + MINUTE)
    clock.set_ms(slot_ms + MINUTE)
    await fire_due(storage)
    assert (await the_schedule(storage)).error == ""


@clause("SCHED-10", "SCHED-24")
async def test_no_slot_before_one_that_has_passed_is_ever_next(storage: Storage, clock: Clock) -> None:
    slot_ms = await due(storage, clock)
    await fire_due(storage)
    clock.set_ms(slot_ms - 10 * MINUTE)
    status = await put_one(storage, anchor_ms=5)

    early = fires(status, slot_ms=None, passed_ms=-1, next_ms=slot_ms)
    assert await storage.fire([early]) == [Fired("tick", stale=True)]
    assert await the_schedule(storage) == status
    await fire_due(storage)
    assert await next_of(storage) == slot_ms + 5


@clause("SCHED-10")
@pytest.mark.parametrize(
    "change",
    [
        {"next_ms": -1},
        {"passed_ms": -60_001},
        {"skipped": -1},
        {"slot_ms": None},
    ],
    ids=str,
)
async def test_a_fire_that_contradicts_itself_is_refused(
    storage: Storage, clock: Clock, change: dict[str, Any]
) -> None:
    slot_ms = await due(storage, clock)
    shifted = {name: slot_ms + value if name in ("next_ms", "passed_ms") else value for name, value in change.items()}
    before = await the_schedule(storage)

    with pytest.raises(InvalidInput):
        await storage.fire([replace(fires(before, "a"), **shifted)])
    assert await the_schedule(storage) == before


@clause("SCHED-10", "STORE-9")
async def test_a_fire_of_too_much_or_twice_in_a_call_is_refused(storage: Storage, clock: Clock) -> None:
    await due(storage, clock)
    status = await the_schedule(storage)
    ids = [f"job {n}" for n in range(bounds.MAX_CATCH_UP + 1)]

    with pytest.raises(TooLarge):
        await storage.fire([fires(status, *ids)])
    with pytest.raises(TooLarge):
        await storage.fire([fires(status)] * (bounds.MAX_BATCH + 1))
    with pytest.raises(InvalidInput):
        await storage.fire([fires(status, "a"), fires(status, "b")])
    assert (await look(storage)).jobs == {}


@clause("SCHED-11")
async def test_slots_overlap_where_nothing_else_is_said(storage: Storage, clock: Clock) -> None:
    await due(storage, clock)
    await fire_due(storage)
    clock.advance_ms(MINUTE)
    await fire_due(storage)

    jobs = (await look(storage)).jobs
    assert [record.state for record in jobs.values()] == [S.READY, S.READY]


@clause("SCHED-12")
@pytest.mark.parametrize("running", [False, True])
async def test_a_slot_is_left_out_while_the_last_job_lives(storage: Storage, clock: Clock, running: bool) -> None:
    await due(storage, clock, overlap=Overlap.SKIP)
    (first,) = await fire_due(storage)
    if running:
        run = await claim_one(storage)
    clock.advance_ms(MINUTE)
    assert await fire_due(storage) == [Fired("tick")]
    after = await the_schedule(storage)
    assert (after.fires, after.skipped, after.last_job_id) == (1, 1, first.job_ids[0])

    await end(storage, run if running else await claim_one(storage), GOOD)
    clock.advance_ms(MINUTE)
    (third,) = await fire_due(storage)
    assert len(third.job_ids) == 1
    assert (await the_schedule(storage)).last_job_id == third.job_ids[0]


@clause("SCHED-12")
async def test_of_several_slots_that_do_not_overlap_the_first_is_fired(storage: Storage, clock: Clock) -> None:
    await due(storage, clock, overlap=Overlap.SKIP)
    status = await the_schedule(storage)

    assert await storage.fire([fires(status, "a", "b", "c")]) == [Fired("tick", ("a",))]
    after = await the_schedule(storage)
    assert (after.fires, after.skipped) == (1, 2)
    assert await storage.fire([fires(status, "a", "b", "c")]) == [Fired("tick", ("a",), existed=True)]


@clause("SCHED-13")
async def test_a_slot_cancels_the_last_job_that_waits(storage: Storage, clock: Clock) -> None:
    await due(storage, clock, overlap=Overlap.CANCEL)
    (first,) = await fire_due(storage)
    clock.advance_ms(MINUTE)
    (second,) = await fire_due(storage)

    assert await states(storage, *first.job_ids, *second.job_ids) == [S.CANCELLED, S.READY]
    assert (await the_schedule(storage)).fires == 2


@clause("SCHED-13")
async def test_a_slot_asks_the_last_job_that_runs_to_stop(storage: Storage, clock: Clock) -> None:
    await due(storage, clock, overlap=Overlap.CANCEL, template=replace(TEMPLATE, lease_ms=10 * MINUTE))
    await fire_due(storage)
    run = await claim_one(storage)
    clock.advance_ms(MINUTE)
    (second,) = await fire_due(storage)

    record = await get_one(storage, run.id)
    assert (record.state, record.cancel_requested_at_ms) == (S.RUNNING, clock())
    assert await states(storage, *second.job_ids) == [S.READY]


@clause("SCHED-13")
async def test_of_several_slots_that_cancel_each_other_the_newest_is_fired(storage: Storage, clock: Clock) -> None:
    await due(storage, clock, overlap=Overlap.CANCEL)
    assert await storage.fire([fires(await the_schedule(storage), "a", "b", "c")]) == [Fired("tick", ("c",))]
    after = await the_schedule(storage)
    assert (after.fires, after.skipped, list((await look(storage)).jobs)) == (1, 2, ["c"])


@clause("SCHED-13")
async def test_a_slot_without_a_job_cancels_nothing(storage: Storage, clock: Clock) -> None:
    await due(storage, clock, overlap=Overlap.CANCEL)
    (first,) = await fire_due(storage)
    clock.advance_ms(10 * MINUTE)
    status = await the_schedule(storage)
    await storage.fire([fires(status, skipped=1)])
    assert await states(storage, *first.job_ids) == [S.READY]


@clause("SCHED-14")
async def test_a_schedule_fires_as_often_as_it_may_and_is_over(storage: Storage, clock: Clock) -> None:
    await due(storage, clock, max_fires=3)
    await fire_due(storage)
    clock.advance_ms(MINUTE)
    status = await the_schedule(storage)

    assert await storage.fire([fires(status, "a", "b", "c")]) == [Fired("tick", ("a", "b"))]
    after = await the_schedule(storage)
    assert (after.phase, after.next_ms, after.fires, after.skipped) == (Phase.OVER, None, 3, 1)
    again = await put_one(storage, max_fires=4)
    assert again.phase is Phase.UNPLANNED
    await fire_due(storage)
    assert (await the_schedule(storage)).phase is Phase.PLANNED


@clause("SCHED-14")
async def test_a_schedule_that_has_fired_enough_is_not_planned_again(storage: Storage, clock: Clock) -> None:
    await due(storage, clock, max_fires=1)
    await fire_due(storage)
    await put_one(storage, max_fires=1, anchor_ms=9)
    await fire_due(storage)
    assert (await the_schedule(storage)).phase is Phase.OVER


ENDS: list[Outcome | str] = [GOOD, BAD, "cancel", "force", "expire"]


@clause("SCHED-15")
@pytest.mark.parametrize("how", ENDS, ids=["succeed", "die", "cancel", "cancel by force", "expire"])
async def test_the_next_slot_counts_from_the_end_of_the_last_job_however_it_ends(
    storage: Storage, clock: Clock, how: Outcome | str
) -> None:
    template = replace(TEMPLATE, max_attempts=1, lease_ms=10 * MINUTE)
    assert await planned(storage, after_ms=700, template=template) == clock()
    (fired,) = await fire_due(storage)
    status = await the_schedule(storage)
    assert (status.phase, status.next_ms, (await storage.due_schedules()).schedules) == (Phase.WAITING, None, ())
    if how != "cancel":
        run = await claim_one(storage)
    clock.advance_ms(50)

    if how == "expire":
        clock.advance_ms(10 * MINUTE)
        await storage.upkeep()
    elif isinstance(how, str):
        await storage.cancel(fired.job_ids, force=how == "force")
    else:
        settled = await storage.exchange(())
        assert settled.next_due_ms is not None
        await end(storage, run, how)

    assert await next_of(storage) == clock() + 700
    assert (await storage.exchange(())).next_due_ms == 700
    clock.advance_ms(700)
    (second,) = await fire_due(storage)
    assert second.job_ids != fired.job_ids
    assert (await the_schedule(storage)).fires == 2


@clause("SCHED-15")
async def test_a_failure_that_is_tried_again_is_no_end(storage: Storage) -> None:
    await planned(storage, after_ms=700)
    await fire_due(storage)
    await end_one(storage, failed())
    assert (await the_schedule(storage)).phase is Phase.WAITING


@clause("SCHED-15")
async def test_a_time_after_the_end_that_reaches_the_end_of_the_schedule_ends_it(
    storage: Storage, clock: Clock
) -> None:
    await planned(storage, after_ms=700, end_ms=clock() + 700)
    await fire_due(storage)
    await end_one(storage, GOOD)
    assert (await the_schedule(storage)).phase is Phase.OVER


@clause("SCHED-15", "SCHED-14")
async def test_a_schedule_that_has_fired_enough_waits_for_nothing(storage: Storage) -> None:
    await planned(storage, after_ms=700, max_fires=1)
    await fire_due(storage)
    assert (await the_schedule(storage)).phase is Phase.OVER
    await end_one(storage, GOOD)
    assert (await the_schedule(storage)).phase is Phase.OVER


@clause("SCHED-15")
async def test_other_jobs_end_without_a_word_to_a_schedule(storage: Storage) -> None:
    await planned(storage, after_ms=700)
    await enqueue_one(storage, "other", queue="other")
    await fire_due(storage)
    before = await the_schedule(storage)
    await end_one(storage, GOOD, "other")
    assert await the_schedule(storage) == before


@clause("SCHED-15", "SCHED-24")
async def test_a_clock_that_goes_back_while_the_last_job_runs_fires_no_slot_twice(
    storage: Storage, clock: Clock
) -> None:
    slot_ms = await planned(storage, after_ms=0)
    (first,) = await fire_due(storage)
    clock.advance_ms(-5_000)
    await end_one(storage, GOOD)

    assert await next_of(storage) == slot_ms + 1
    clock.set_ms(slot_ms + 1)
    (second,) = await fire_due(storage)
    assert first.job_ids != second.job_ids


@clause("SCHED-24", "SCHED-8")
async def test_a_clock_that_goes_back_delays_the_next_slot_and_repeats_none(storage: Storage, clock: Clock) -> None:
    slot_ms = await due(storage, clock)
    await fire_due(storage)
    clock.advance_ms(-10 * MINUTE)
    assert (await storage.due_schedules()).schedules == ()

    made = []
    while clock() < slot_ms + 2 * MINUTE:
        clock.advance_ms(MINUTE)
        made += [job_id for fired in await fire_due(storage) for job_id in fired.job_ids]
    assert len(made) == len(set(made)) == 2
    assert (await the_schedule(storage)).fires == 3


@clause("SCHED-21", "SCHED-24")
async def test_a_clock_that_jumps_ahead_misses_what_it_jumps_over(storage: Storage, clock: Clock) -> None:
    await due(storage, clock)
    clock.advance_ms(3 * MINUTE)
    (fired,) = await fire_due(storage)
    after = await the_schedule(storage)
    assert (len(fired.job_ids), after.fires, after.skipped) == (1, 1, 3)


@clause("SCHED-25", "SCHED-8")
async def test_the_job_of_a_slot_is_one_job_also_for_a_schedule_that_was_made_anew(
    storage: Storage, clock: Clock
) -> None:
    slot_ms = await due(storage, clock)
    (fired,) = await fire_due(storage)
    await storage.delete_schedules(["tick"])
    clock.set_ms(slot_ms - 1)
    await due(storage, clock)

    (again,) = await fire_due(storage)

    assert again.job_ids == fired.job_ids == ("tick@2023-11-14T22:14:00Z",)
    assert list((await look(storage)).jobs) == list(fired.job_ids)


@clause("STATE-3", "SCHED-15")
async def test_a_storage_with_schedules_in_every_phase_is_clean(storage: Storage, clock: Clock) -> None:
    await put_one(storage, "new")
    await planned(storage, "planned")
    await planned(storage, "waiting", after_ms=5)
    await fire_due(storage)
    await put_one(storage, "over", end_ms=clock())
    await fire_due(storage)
    await put_one(storage, "newer")

    phases = {status.name: status.phase for status in await storage.get_schedules()}
    assert set(phases.values()) == {Phase.UNPLANNED, Phase.PLANNED, Phase.WAITING, Phase.OVER}
    assert await storage.audit() == []
