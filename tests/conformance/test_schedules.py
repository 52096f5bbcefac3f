"""Chapter 15: schedules as they are stored, planned, paused and removed."""

from dataclasses import replace
from typing import Any

import pytest

from aiq import bounds
from aiq.errors import Conflict, InvalidInput, NotFound, TooLarge
from aiq.model import (
    Band,
    BudgetSpec,
    Estimate,
    Fired,
    JobSpec,
    Missed,
    Overlap,
    Phase,
    RouteSpec,
    ScheduleSpec,
    State,
)
from aiq.rules.schedules import job_of
from aiq.storage import Storage
from aiq.testing.actions import GOOD, claim_one, end, end_one, get_one, look, states
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.schedules import (
    MINUTE,
    SECOND,
    TEMPLATE,
    fire_due,
    fires,
    next_of,
    planned,
    put_one,
    schedule,
    the_schedule,
)

WHOLE = schedule(
    "whole",
    JobSpec(
        id="",
        task="digest",
        queue="bulk",
        payload=b"\x00\xff[1]",
        digest="d",
        band=Band.BATCH,
        delay_ms=5,
        lease_ms=70_000,
        timeout_ms=9_000,
        max_attempts=7,
        tenant="acme",
        key="k",
        routes=(RouteSpec(name="a", model="gpt", patience_ms=100),),
        estimate=Estimate(input=5, max_output=9),
        budgets=("job:", "team"),
        creates=(BudgetSpec(id="job:", caps={"tokens": 5}),),
    ),
    cron="*/5 * * * *",
    tz="Europe/Berlin",
    start_ms=1,
    end_ms=2**47,
    max_fires=9,
    overlap=Overlap.SKIP,
    missed=Missed.CATCH_UP,
    catch_up=3,
    paused=True,
)


@clause("SCHED-1")
async def test_a_schedule_is_read_as_it_was_put_with_every_option_of_its_template(storage: Storage) -> None:
    await storage.put_budgets([BudgetSpec(id="team", caps={"tokens": 5})])
    (status,) = await storage.put_schedules([WHOLE])

    assert status.spec == WHOLE
    assert (status.revision, status.phase, status.paused, status.next_ms) == (1, Phase.UNPLANNED, True, None)
    assert await storage.get_schedules(["whole"]) == [status]


@clause("SCHED-2")
async def test_putting_a_schedule_as_it_stands_changes_nothing(storage: Storage) -> None:
    await planned(storage)
    before = await the_schedule(storage)

    assert await storage.put_schedules([schedule()]) == [before]
    assert await storage.put_schedules([schedule(), schedule()]) == [before, before]
    assert await the_schedule(storage) == before


@clause("SCHED-29", "SCHED-2")
async def test_other_bytes_of_the_same_template_take_the_place_of_its_own(storage: Storage) -> None:
    await planned(storage, template=replace(TEMPLATE, digest="d", payload=b"one way"))
    before = await the_schedule(storage)
    other = replace(TEMPLATE, digest="d", payload=b"another, and longer")

    assert await storage.put_schedules([schedule(template=other)], absent_only=True) == [before]
    after = await put_one(storage, template=other)

    assert after == replace(before, spec=replace(before.spec, template=other))
    assert await the_schedule(storage) == after


@clause("SCHED-2")
async def test_the_content_of_a_template_is_known_by_its_digest(storage: Storage) -> None:
    before = await put_one(storage, template=replace(TEMPLATE, digest="d", payload=b"one way"))

    again = await put_one(storage, template=replace(TEMPLATE, digest="d", payload=b"another way"))
    assert again.revision == before.revision
    for changed in (
        replace(TEMPLATE, digest="e", payload=b"one way"),
        replace(TEMPLATE, digest="e", payload=b"one way", band=Band.BATCH),
        replace(TEMPLATE, payload=b"one way"),
        replace(TEMPLATE, payload=b"another way"),
    ):
        after = await put_one(storage, template=changed)
        assert (after.spec.template, after.revision) == (changed, before.revision + 1)
        before = after


@clause("SCHED-2")
async def test_what_is_stored_stays_when_only_what_is_absent_is_put(storage: Storage) -> None:
    before = await put_one(storage)

    answer = await storage.put_schedules([schedule(every_ms=5 * MINUTE), schedule("other")], absent_only=True)

    assert answer[0] == before == await the_schedule(storage)
    assert answer[1].spec == schedule("other")


@clause("SCHED-3")
async def test_a_change_raises_the_revision_and_keeps_what_was_fired_and_a_pause(
    storage: Storage, clock: Clock
) -> None:
    clock.set_ms(await planned(storage))
    await fire_due(storage)
    await storage.pause_schedules(["tick"])
    before = await the_schedule(storage)

    after = await put_one(storage, every_ms=2 * MINUTE)

    assert (before.revision, after.revision) == (1, 2)
    kept = ("fires", "skipped", "last_job_id", "last_fired_ms", "passed_ms", "paused")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
    assert (after.fires, after.paused) == (1, True)
    assert await states(storage, after.last_job_id or "") == [State.READY]


@clause("SCHED-4")
@pytest.mark.parametrize(
    "change",
    [
        {"every_ms": 2 * MINUTE},
        {"every_ms": None, "cron": "* * * * *"},
        {"every_ms": None, "after_ms": 5},
        {"tz": "Europe/Berlin"},
        {"anchor_ms": 5},
        {"start_ms": 5},
        {"end_ms": 2**47},
        {"max_fires": 5},
    ],
    ids=str,
)
async def test_a_change_of_when_it_fires_makes_the_next_slot_unknown(storage: Storage, change: dict[str, Any]) -> None:
    await planned(storage)

    (after,) = await storage.put_schedules([replace(schedule(), **change)])

    assert (after.phase, after.next_ms) == (Phase.UNPLANNED, None)


@clause("SCHED-4")
@pytest.mark.parametrize(
    "change",
    [
        {"template": replace(TEMPLATE, task="other")},
        {"overlap": Overlap.SKIP},
        {"missed": Missed.LATEST},
        {"catch_up": 5},
    ],
    ids=["template", "overlap", "missed", "catch_up"],
)
async def test_another_change_keeps_the_next_slot(storage: Storage, change: dict[str, Any]) -> None:
    next_ms = await planned(storage)

    (after,) = await storage.put_schedules([replace(schedule(), **change)])

    assert (after.phase, after.next_ms, after.revision) == (Phase.PLANNED, next_ms, 2)


@clause("SCHED-5")
async def test_a_new_schedule_is_due_at_once_and_planning_it_sets_its_next_slot(storage: Storage, clock: Clock) -> None:
    status = await put_one(storage)
    assert (await storage.due_schedules()).schedules == (status,)

    slot_ms = clock() + 5
    assert await storage.fire([fires(status, slot_ms=None, passed_ms=-1, next_ms=slot_ms)]) == [Fired("tick")]

    after = await the_schedule(storage)
    assert (after.phase, after.next_ms, after.fires, after.revision) == (Phase.PLANNED, slot_ms, 0, 1)
    assert (await storage.due_schedules()).schedules == ()


@clause("SCHED-5")
async def test_a_schedule_without_a_slot_is_over(storage: Storage, clock: Clock) -> None:
    await put_one(storage, end_ms=clock())
    await fire_due(storage)

    after = await the_schedule(storage)
    assert (after.phase, after.next_ms) == (Phase.OVER, None)
    assert (await storage.due_schedules()).schedules == ()
    assert (await storage.upkeep()).next_due_ms is None


@clause("SCHED-6")
async def test_due_schedules_come_by_instant_and_name_with_the_now_of_the_storage(
    storage: Storage, clock: Clock
) -> None:
    later = clock() + 10
    for name, slot_ms in (("d", later), ("b", later), ("c", later - 5), ("far", later + 1), ("paused", later)):
        status = await put_one(storage, name)
        await storage.fire([fires(status, slot_ms=None, passed_ms=-1, next_ms=slot_ms)])
    await put_one(storage, "new")
    await storage.pause_schedules(["paused"])
    clock.set_ms(later)

    due = await storage.due_schedules()
    assert (due.now_ms, [status.name for status in due.schedules]) == (later, ["new", "c", "b", "d"])
    assert [status.name for status in (await storage.due_schedules(2)).schedules] == ["new", "c"]


@clause("SCHED-16")
async def test_upkeep_tells_how_many_schedules_are_due_and_when_the_next_one_is(storage: Storage, clock: Clock) -> None:
    for name in ("a", "b", "c"):
        await put_one(storage, name)
    due = await storage.upkeep(2)
    assert (due.schedules, due.next_due_ms, due.total) == (2, 0, 0)
    assert (await storage.upkeep()).schedules == 3
    assert (await storage.exchange(())).next_due_ms == 0
    await fire_due(storage)

    slot_ms = await next_of(storage, "a")
    rest = await storage.upkeep()
    assert (rest.schedules, rest.next_due_ms) == (0, slot_ms - clock())
    assert (await storage.exchange(())).next_due_ms == slot_ms - clock()
    await storage.pause_schedules(["a", "b", "c"])
    assert (await storage.upkeep()).next_due_ms is None


@clause("SCHED-17")
async def test_a_paused_schedule_fires_nothing_and_goes_on_behind_what_has_passed(
    storage: Storage, clock: Clock
) -> None:
    slot_ms = await planned(storage)
    before = await the_schedule(storage)
    (paused,) = await storage.pause_schedules(["tick"])
    assert paused == replace(before, paused=True)
    clock.set_ms(slot_ms + 5 * MINUTE)

    assert await storage.fire([fires(before, "job")]) == [Fired("tick", stale=True)]
    (resumed,) = await storage.resume_schedules(["tick"])
    assert resumed is not None
    assert (resumed.paused, resumed.phase, resumed.next_ms) == (False, Phase.UNPLANNED, None)
    assert await storage.fire([fires(before, "job")]) == [Fired("tick", stale=True)]
    clock.advance_ms(1)
    await fire_due(storage)
    after = await the_schedule(storage)
    assert (after.next_ms, after.fires, after.skipped) == (slot_ms + 6 * MINUTE, 0, 0)


@clause("SCHED-17")
async def test_pausing_and_resuming_twice_changes_nothing_and_tells_what_is_not_stored(storage: Storage) -> None:
    await planned(storage)
    (paused,) = await storage.pause_schedules(["tick"])
    assert await storage.pause_schedules(["ghost", "tick"]) == [None, paused]
    await storage.resume_schedules(["tick"])
    await fire_due(storage)
    running = await the_schedule(storage)
    assert await storage.resume_schedules(["tick", "ghost"]) == [running, None]
    assert await the_schedule(storage) == running


@clause("SCHED-17")
async def test_a_schedule_after_its_last_job_keeps_its_slot_over_a_pause(storage: Storage, clock: Clock) -> None:
    await planned(storage, after_ms=500)
    await fire_due(storage)
    await storage.pause_schedules(["tick"])
    await end_one(storage, GOOD)
    ended_ms = clock()
    clock.advance_ms(5_000)

    assert (await storage.due_schedules()).schedules == ()
    (resumed,) = await storage.resume_schedules(["tick"])
    assert resumed is not None
    assert (resumed.phase, resumed.next_ms) == (Phase.PLANNED, ended_ms + 500)


@clause("SCHED-18")
async def test_a_job_can_be_made_beside_the_slots_even_of_a_paused_schedule(storage: Storage, clock: Clock) -> None:
    slot_ms = await planned(storage, max_fires=1)
    await storage.pause_schedules(["tick"])
    before = await the_schedule(storage)

    assert await storage.run_schedule("tick", job_of(TEMPLATE, "mine")) == Fired("tick", ("mine",))

    expected = replace(before, last_job_id="mine", last_fired_ms=clock())
    assert await the_schedule(storage) == expected
    assert (expected.next_ms, await states(storage, "mine")) == (slot_ms, [State.READY])


@clause("SCHED-18")
async def test_the_same_id_makes_one_job_beside_the_slots(storage: Storage) -> None:
    await planned(storage, overlap=Overlap.SKIP)
    await storage.run_schedule("tick", job_of(TEMPLATE, "mine"))
    before = await the_schedule(storage), await look(storage)

    assert await storage.run_schedule("tick", job_of(TEMPLATE, "mine")) == Fired("tick", ("mine",), existed=True)
    assert (await the_schedule(storage), await look(storage)) == before


@clause("SCHED-18")
async def test_a_job_beside_the_slots_waits_for_the_last_one_where_they_do_not_overlap(storage: Storage) -> None:
    await planned(storage, overlap=Overlap.SKIP)
    await storage.run_schedule("tick", job_of(TEMPLATE, "first"))
    before = await the_schedule(storage), await look(storage)

    with pytest.raises(Conflict) as refused:
        await storage.run_schedule("tick", job_of(TEMPLATE, "second"))
    assert refused.value.reason == "overlap"
    assert (await the_schedule(storage), await look(storage)) == before

    await end_one(storage, GOOD)
    await storage.run_schedule("tick", job_of(TEMPLATE, "second"))
    assert (await the_schedule(storage)).last_job_id == "second"


@clause("SCHED-18")
async def test_a_job_beside_the_slots_cancels_the_last_one_where_that_is_the_policy(storage: Storage) -> None:
    await planned(storage, overlap=Overlap.CANCEL)
    await storage.run_schedule("tick", job_of(TEMPLATE, "first"))
    await storage.run_schedule("tick", job_of(TEMPLATE, "second"))

    assert await states(storage, "first", "second") == [State.CANCELLED, State.READY]


@clause("SCHED-18", "SCHED-15")
async def test_the_time_after_counts_from_a_job_that_was_made_beside_the_slots(storage: Storage, clock: Clock) -> None:
    slot_ms = await planned(storage, after_ms=500, start_ms=clock() + 50)
    assert slot_ms == clock() + 50
    await storage.run_schedule("tick", job_of(TEMPLATE, "mine"))

    assert (await the_schedule(storage)).phase is Phase.WAITING
    clock.advance_ms(1_000)
    await end_one(storage, GOOD)
    assert await next_of(storage) == clock() + 500


@clause("SCHED-18")
async def test_a_job_of_no_schedule_is_refused(storage: Storage) -> None:
    with pytest.raises(NotFound):
        await storage.run_schedule("ghost", job_of(TEMPLATE, "mine"))
    assert await states(storage, "mine") == [None]


@clause("SCHED-19")
async def test_a_deleted_schedule_fires_nothing_and_its_jobs_go_on(storage: Storage, clock: Clock) -> None:
    await planned(storage, after_ms=5)
    status = await the_schedule(storage)
    (fired,) = await fire_due(storage)
    await storage.delete_schedules(["tick", "ghost"])

    assert await storage.get_schedules() == []
    run = await claim_one(storage)
    await end(storage, run, GOOD)
    assert (run.id, (await get_one(storage, run.id)).state) == (fired.job_ids[0], State.SUCCEEDED)
    clock.advance_ms(MINUTE)
    assert (await storage.due_schedules()).schedules == ()
    assert await storage.fire([fires(status, "job")]) == [Fired("tick", stale=True)]
    await storage.delete_schedules(["tick"])


@clause("SCHED-20")
async def test_schedules_are_listed_by_name_a_page_at_a_time(storage: Storage) -> None:
    for name in ("b", "c", "a"):
        await put_one(storage, name)

    assert [status.name for status in await storage.get_schedules(limit=2)] == ["a", "b"]
    assert [status.name for status in await storage.get_schedules(after="b")] == ["c"]
    assert await storage.get_schedules(after="c") == []
    assert [status.name for status in await storage.get_schedules(["c", "ghost", "a"])] == ["c", "a"]


@clause("SCHED-20", "STORE-13")
async def test_a_page_of_schedules_ends_with_the_template_that_fills_it(storage: Storage) -> None:
    template = replace(TEMPLATE, payload=b"x" * bounds.MAX_PAYLOAD_BYTES)
    names = [f"s{n:02}" for n in range(20)]
    for part in (names[:10], names[10:]):
        await storage.put_schedules([schedule(name, template) for name in part])

    fit = bounds.MAX_PAGE_BYTES // bounds.MAX_PAYLOAD_BYTES
    assert [status.name for status in await storage.get_schedules()] == names[:fit]
    assert [status.name for status in await storage.get_schedules(names)] == names[:fit]
    assert [status.name for status in (await storage.due_schedules()).schedules] == names[:fit]
    assert [status.name for status in await storage.get_schedules(after=names[fit - 1])] == names[fit:]


BAD: dict[str, ScheduleSpec] = {
    "no name": schedule("not a name"),
    "no time": replace(schedule(), every_ms=None),
    "two times": schedule(every_ms=MINUTE, cron="* * * * *"),
    "too often": schedule(every_ms=SECOND - 1),
    "too seldom": schedule(every_ms=bounds.MAX_DELAY_MS + 1),
    "before it ends": schedule(after_ms=-1),
    "an anchor behind all calendars": schedule(anchor_ms=bounds.MAX_SLOT_MS + 1),
    "a start below zero": schedule(start_ms=-1),
    "an end behind all calendars": schedule(end_ms=bounds.MAX_SLOT_MS + 1),
    "an end that is not behind the start": schedule(start_ms=5, end_ms=5),
    "never": schedule(max_fires=0),
    "nothing to catch up": schedule(catch_up=0),
    "too much to catch up": schedule(catch_up=bounds.MAX_CATCH_UP + 1),
    "a cron expression that is too long": schedule(cron="*" * 257),
    "overlap of what never overlaps": schedule(after_ms=5, overlap=Overlap.SKIP),
    "missed of what is never missed": schedule(after_ms=5, missed=Missed.LATEST),
    "an id": schedule(template=replace(TEMPLATE, id="mine")),
    "an instant": schedule(template=replace(TEMPLATE, at_ms=5)),
    "a deadline": schedule(template=replace(TEMPLATE, deadline_ms=5)),
    "dependencies": schedule(template=replace(TEMPLATE, depends_on=("a",))),
    "a parent": schedule(template=replace(TEMPLATE, child_of="k")),
    "a lease out of bounds": schedule(template=replace(TEMPLATE, lease_ms=1)),
    "a payload out of bounds": schedule(template=replace(TEMPLATE, payload=b"x" * (bounds.MAX_PAYLOAD_BYTES + 1))),
}


@clause("SCHED-26")
@pytest.mark.parametrize("name", BAD)
async def test_a_schedule_that_could_never_be_right_is_refused(storage: Storage, name: str) -> None:
    with pytest.raises(InvalidInput):
        await storage.put_schedules([schedule("good"), BAD[name]])
    assert await storage.get_schedules() == []


@clause("SCHED-26", "STORE-9")
async def test_more_schedules_than_a_call_takes_are_refused(storage: Storage) -> None:
    many = [schedule(f"s{n}") for n in range(bounds.MAX_BATCH + 1)]
    template = replace(TEMPLATE, payload=b"x" * bounds.MAX_PAYLOAD_BYTES)
    large = [schedule(f"s{n}", template) for n in range(bounds.MAX_BATCH_BYTES // bounds.MAX_PAYLOAD_BYTES + 1)]
    names = [spec.name for spec in many]

    for call in (
        storage.put_schedules(many),
        storage.put_schedules(large),
        storage.get_schedules(names),
        storage.pause_schedules(names),
        storage.resume_schedules(names),
        storage.delete_schedules(names),
        storage.get_schedules(limit=bounds.MAX_PAGE + 1),
        storage.due_schedules(bounds.MAX_PAGE + 1),
    ):
        with pytest.raises(TooLarge):
            await call
    assert await storage.get_schedules() == []
