"""Which slots a schedule has, and which of them are fired once they are due."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from aiq.bounds import MAX_BATCH_BYTES, MAX_PAYLOAD_BYTES, MAX_SLOTS, MISSED_AFTER_MS
from aiq.errors import InvalidInput
from aiq.model import BudgetSpec, Fire, JobSpec, Missed, Phase, ScheduleSpec, ScheduleStatus
from aiq.rules.schedules import fired, job_of
from aiq.rules.slots import check_times, plan, slot_id, without_jobs
from aiq.testing.marks import clause
from aiq.testing.schedules import MINUTE, SECOND, TEMPLATE, schedule


def ms(text: str) -> int:
    """An instant, told in UTC."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def told(slots: Sequence[int]) -> list[str]:
    return [datetime.fromtimestamp(slot / 1000, UTC).strftime("%d %H:%M") for slot in slots]


def planned(spec: ScheduleSpec, next_ms: int) -> ScheduleStatus:
    return ScheduleStatus(spec=spec, phase=Phase.PLANNED, next_ms=next_ms)


def slots_from(spec: ScheduleSpec, start_ms: int, count: int) -> list[int]:
    """The slots that a schedule is led through when each is fired as soon as it is due."""
    status, found = ScheduleStatus(spec=spec), []
    now_ms = start_ms
    while len(found) < count:
        step = plan(status, now_ms)
        if step.slot_ms is not None:
            found.append(step.passed_ms)
        made = [job.id for job in step.jobs]
        status = fired(status, step, made, now_ms, ended=True)
        if status.next_ms is None:
            break
        now_ms = status.next_ms
    return found


def ids(step: Fire) -> list[str]:
    return [job.id for job in step.jobs]


# Berlin: at 02:00 on 29 March 2026 clocks go to 03:00 (01:00 UTC), at 03:00 on 25 October back to 02:00 (01:00 UTC).
GAP, TWICE = ms("2026-03-28T22:59"), ms("2026-10-24T21:59")
TRUTH = [
    # cron, from when, the next slots in UTC
    ("30 2 * * *", GAP, ["29 01:00", "30 00:30", "31 00:30"]),
    ("0 2 * * *", GAP, ["29 01:00", "30 00:00"]),
    ("15,45 2 * * *", GAP, ["29 01:00", "30 00:15", "30 00:45"]),
    ("0 3 * * *", GAP, ["29 01:00", "30 01:00"]),
    ("30 2-3 * * *", GAP, ["29 01:00", "29 01:30", "30 00:30", "30 01:30"]),
    ("0 * * * *", GAP, ["28 23:00", "29 00:00", "29 01:00", "29 02:00"]),
    ("*/30 2 * * *", GAP, ["30 00:00", "30 00:30"]),
    ("30 */1 * * *", GAP, ["28 23:30", "29 00:30", "29 01:30", "29 02:30"]),
    ("0 30 2 * * *", GAP, ["30 00:30", "31 00:30"]),
    ("30 2 * * *", TWICE, ["25 00:30", "26 01:30", "27 01:30"]),
    ("0 2 * * *", TWICE, ["25 00:00", "26 01:00"]),
    ("15,45 2 * * *", TWICE, ["25 00:15", "25 00:45", "26 01:15", "26 01:45"]),
    ("0 3 * * *", TWICE, ["25 02:00", "26 02:00"]),
    ("30 2-3 * * *", TWICE, ["25 00:30", "25 02:30", "26 01:30", "26 02:30"]),
    ("0 * * * *", TWICE, ["24 22:00", "24 23:00", "25 00:00", "25 01:00", "25 02:00"]),
    ("*/30 2 * * *", TWICE, ["25 00:00", "25 00:30", "25 01:00", "25 01:30", "26 01:00", "26 01:30"]),
    ("30 */1 * * *", TWICE, ["24 22:30", "24 23:30", "25 00:30", "25 01:30", "25 02:30"]),
    ("0 30 2 * * *", TWICE, ["25 00:30", "25 01:30", "26 01:30"]),
]


@clause("SCHED-23")
@pytest.mark.parametrize(("cron", "start_ms", "expected"), TRUTH, ids=str)
def test_slots_around_a_change_of_the_clocks_are_exact(cron: str, start_ms: int, expected: list[str]) -> None:
    spec = schedule(cron=cron, tz="Europe/Berlin")

    assert told(slots_from(spec, start_ms, len(expected))) == expected


@clause("SCHED-23")
@pytest.mark.parametrize("late", ["00:45", "01:10", "01:50"])
def test_looking_for_slots_within_the_hour_that_comes_twice_finds_none_of_its_first_pass_again(late: str) -> None:
    spec = schedule(cron="30 2 * * *", tz="Europe/Berlin")
    assert told(slots_from(spec, ms(f"2026-10-25T{late}"), 1)) == ["26 01:30"]


@clause("SCHED-23")
def test_a_zone_counts_and_utc_is_the_one_where_nothing_is_said() -> None:
    start_ms = ms("2026-01-05T12:00")
    assert told(slots_from(schedule(cron="0 3 * * *"), start_ms, 1)) == ["06 03:00"]
    assert told(slots_from(schedule(cron="0 3 * * *", tz="Asia/Kolkata"), start_ms, 1)) == ["05 21:30"]


@clause("SCHED-22")
@pytest.mark.parametrize("late_ms", [0, 1, 29_999, 30_001])
def test_an_interval_never_drifts_however_late_it_is_fired(late_ms: int) -> None:
    spec = schedule(every_ms=30 * SECOND, anchor_ms=7, missed=Missed.LATEST)
    status = planned(spec, 7 + 30 * SECOND)
    step = plan(status, (status.next_ms or 0) + late_ms)
    assert step.next_ms is not None
    assert (step.next_ms - 7) % (30 * SECOND) == 0


@clause("SCHED-22")
def test_the_slots_of_an_interval_lie_on_its_anchor_also_before_it() -> None:
    spec = schedule(every_ms=MINUTE, anchor_ms=10 * MINUTE + 5)
    assert slots_from(spec, 3 * MINUTE, 3) == [3 * MINUTE + 5, 4 * MINUTE + 5, 5 * MINUTE + 5]
    assert slots_from(spec, 3 * MINUTE + 5, 1) == [3 * MINUTE + 5]


@clause("SCHED-22")
def test_no_slot_lies_before_the_start_or_at_the_end() -> None:
    spec = schedule(start_ms=2 * MINUTE, end_ms=4 * MINUTE)
    assert slots_from(spec, 0, 9) == [2 * MINUTE, 3 * MINUTE]
    assert slots_from(replace(spec, every_ms=None, cron="* * * * *"), 0, 9) == [2 * MINUTE, 3 * MINUTE]


@clause("SCHED-21")
@pytest.mark.parametrize(
    ("missed", "late_ms", "made", "skipped"),
    [
        (Missed.SKIP, 0, [10], 0),
        (Missed.SKIP, 9_999, [10], 0),
        (Missed.SKIP, 35 * SECOND, [40], 3),
        (Missed.LATEST, 35 * SECOND, [40], 3),
        (Missed.CATCH_UP, 0, [10], 0),
        (Missed.CATCH_UP, 15 * SECOND, [10, 20], 0),
        (Missed.CATCH_UP, 35 * SECOND, [30, 40], 2),
    ],
)
def test_missed_slots_are_treated_as_the_policy_says(
    missed: Missed, late_ms: int, made: list[int], skipped: int
) -> None:
    spec = schedule(every_ms=10 * SECOND, missed=missed, catch_up=2)

    step = plan(planned(spec, 10 * SECOND), 10 * SECOND + late_ms)

    assert ids(step) == [slot_id("tick", second * SECOND) for second in made]
    assert (step.skipped, step.passed_ms) == (skipped, made[-1] * SECOND)
    assert step.next_ms == (made[-1] + 10) * SECOND


@clause("SCHED-21")
@pytest.mark.parametrize(
    ("missed", "late_ms", "made"),
    [
        (Missed.SKIP, MISSED_AFTER_MS, 1),
        (Missed.SKIP, MISSED_AFTER_MS + 1, 0),
        (Missed.LATEST, 50 * MINUTE, 1),
        (Missed.CATCH_UP, 50 * MINUTE, 1),
    ],
)
def test_a_slot_is_missed_when_it_is_over_a_minute_late(missed: Missed, late_ms: int, made: int) -> None:
    spec = schedule(every_ms=60 * MINUTE, missed=missed)
    step = plan(planned(spec, 60 * MINUTE), 60 * MINUTE + late_ms)
    assert (len(step.jobs), step.skipped, step.next_ms) == (made, 1 - made, 120 * MINUTE)


@clause("SCHED-21")
@pytest.mark.parametrize("missed", Missed)
def test_after_an_outage_of_thousands_of_slots_they_are_counted_and_the_last_ones_fired(missed: Missed) -> None:
    spec = schedule(every_ms=SECOND, missed=missed, catch_up=5)
    status, now_ms, made = planned(spec, SECOND), 3_500 * SECOND, []
    for _ in range(5):
        step = plan(status, now_ms)
        assert step.slot_ms == status.next_ms
        made += ids(step)
        status = fired(status, step, ids(step), now_ms, ended=True)
        if status.next_ms is None or status.next_ms > now_ms:
            break

    assert status.next_ms == now_ms + SECOND
    count = 5 if missed is Missed.CATCH_UP else 1
    assert made == [slot_id("tick", now_ms - back * SECOND) for back in reversed(range(count))]
    assert (status.fires, status.skipped) == (count, 3_500 - count)


@clause("SCHED-21")
def test_no_more_slots_are_looked_at_in_one_go_than_the_bound() -> None:
    spec = schedule(every_ms=SECOND, missed=Missed.SKIP)
    step = plan(planned(spec, SECOND), 10**9)
    assert (step.jobs, step.skipped, step.next_ms) == ((), MAX_SLOTS, (MAX_SLOTS + 1) * SECOND)


@clause("SCHED-21")
def test_what_is_caught_up_goes_in_parts_that_one_step_takes() -> None:
    template = replace(TEMPLATE, payload=b"x" * MAX_PAYLOAD_BYTES)
    spec = schedule(template=template, every_ms=SECOND, missed=Missed.CATCH_UP, catch_up=50)
    fit = MAX_BATCH_BYTES // MAX_PAYLOAD_BYTES - 1  # with room for what codecs add

    step = plan(planned(spec, SECOND), 50 * SECOND)

    assert (len(step.jobs), step.passed_ms, step.next_ms, step.skipped) == (fit, fit * SECOND, (fit + 1) * SECOND, 0)
    rest = plan(fired(planned(spec, SECOND), step, ids(step), 0, ended=True), 50 * SECOND)
    assert ids(rest)[0] == slot_id("tick", (fit + 1) * SECOND)


@clause("SCHED-21")
def test_a_slot_after_the_last_job_is_fired_however_late() -> None:
    step = plan(planned(schedule(after_ms=5), SECOND), 50 * MINUTE)
    assert (ids(step), step.next_ms, step.skipped) == ([slot_id("tick", SECOND)], None, 0)


@clause("SCHED-24")
def test_a_clock_that_went_back_plans_no_slot_that_has_passed() -> None:
    status = replace(ScheduleStatus(spec=schedule()), passed_ms=10 * MINUTE)
    assert plan(status, 3 * MINUTE).next_ms == 11 * MINUTE
    after = replace(status, spec=schedule(after_ms=0))
    assert plan(after, 3 * MINUTE).next_ms == 10 * MINUTE + 1


@clause("SCHED-25")
@pytest.mark.parametrize(
    ("slot", "expected"),
    [
        ("2026-11-22T03:00", "nightly@2026-11-22T03:00:00Z"),
        ("2026-11-22T03:00:01.007", "nightly@2026-11-22T03:00:01.007Z"),
    ],
)
def test_the_id_of_a_slot_can_be_read(slot: str, expected: str) -> None:
    assert slot_id("nightly", ms(slot)) == expected


@clause("SCHED-25")
def test_a_budget_of_the_template_becomes_one_of_each_job() -> None:
    own = BudgetSpec(id="job:", caps={"tokens": 5})
    template = JobSpec(id="", task="work", budgets=("job:", "team"), creates=(own,))
    made = job_of(template, "a")
    assert (made.id, made.budgets, [budget.id for budget in made.creates]) == ("a", ("job:a", "team"), ["job:a"])


@clause("SCHED-9")
def test_a_refused_slot_counts_as_left_out() -> None:
    step = plan(planned(schedule(every_ms=SECOND, missed=Missed.CATCH_UP, catch_up=2), SECOND), 3 * SECOND)
    without = without_jobs(step, "no room")
    assert (without.jobs, without.skipped, without.error, without.next_ms) == ((), 3, "no room", step.next_ms)


WRONG: list[dict[str, Any]] = [
    {"cron": "0 3 * *"},
    {"cron": "0 25 * * *"},
    {"cron": "nightly"},
    {"cron": "0 0 31 2 *"},
    {"cron": "* * */20 * 1L"},
    {"cron": "0 3 * * *", "tz": "Europe/Nowhere"},
    {"cron": "0 3 * * *", "tz": "../etc/passwd"},
    {"cron": "0 3 * * *", "tz": "Europe"},
]


@clause("SCHED-26")
@pytest.mark.parametrize("options", WRONG, ids=str)
def test_an_expression_that_means_nothing_is_refused_where_it_is_written(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match='schedule "tick"'):
        check_times(schedule(**options))


@clause("SCHED-26")
def test_an_expression_that_comes_true_every_four_years_is_fine() -> None:
    spec = schedule(cron="0 0 29 2 *")
    check_times(spec)
    assert slots_from(spec, ms("2026-01-01"), 2) == [ms("2028-02-29"), ms("2032-02-29")]
