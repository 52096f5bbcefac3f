"""The rules of schedules in Lua, beside those in Python."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import Phase as Part
from hypothesis import strategies as st

from aiq import bounds
from aiq.backends.redis import wire
from aiq.model import Fire, JobSpec, Overlap, Phase, ScheduleSpec, ScheduleStatus
from aiq.rules import schedules
from tests.backends.redis.lua import run

MANY = settings(
    max_examples=4, deadline=None, phases=[Part.generate], suppress_health_check=[HealthCheck.too_slow], database=None
)
"""Each example is a list of cases, which one script goes through. A failure names its case, so nothing is shrunk."""
NOW = 1_000_000_000
INSTANTS = st.integers(NOW - 2, NOW + 2)
FEW = st.integers(0, 3)
STATUS = """
local status = setmetatable(case.status, defaults.ScheduleStatus)
calendar.shaped(status.spec)
"""
FIRE = STATUS + "local fire = setmetatable(case.fire, defaults.Fire) "
_Case = TypeVar("_Case")


def maybe(values: st.SearchStrategy[_Case]) -> st.SearchStrategy[_Case | None]:
    return st.none() | values


def many(cases: st.SearchStrategy[_Case]) -> st.SearchStrategy[list[_Case]]:
    return st.lists(cases, min_size=20, max_size=60)


TEMPLATES = st.builds(
    JobSpec,
    id=st.just(""),
    task=st.just("t"),
    payload=st.sampled_from([b"1", b"2"]),
    digest=st.sampled_from(["", "d", "e"]),
    band=st.sampled_from([1, 2]),
)
SPECS = st.builds(
    ScheduleSpec,
    name=st.just("tick"),
    template=TEMPLATES,
    every_ms=maybe(st.just(1_000)),
    after_ms=maybe(FEW),
    end_ms=maybe(INSTANTS),
    max_fires=maybe(FEW),
    overlap=st.sampled_from(Overlap),
    paused=st.booleans(),
)
STATUSES = st.builds(
    ScheduleStatus,
    spec=SPECS,
    revision=st.integers(1, 2),
    paused=st.booleans(),
    phase=st.sampled_from(Phase),
    next_ms=maybe(INSTANTS),
    passed_ms=INSTANTS,
    fires=FEW,
    skipped=FEW,
    refused=FEW,
    last_job_id=maybe(st.just("last")),
    last_fired_ms=maybe(INSTANTS),
    error=st.sampled_from(["", "oops"]),
)
JOBS = st.lists(st.sampled_from("abc"), unique=True).map(lambda ids: tuple(JobSpec(id=one, task="t") for one in ids))
FIRES = st.builds(
    Fire,
    name=st.just("tick"),
    revision=st.integers(1, 2),
    slot_ms=maybe(INSTANTS),
    jobs=JOBS,
    passed_ms=INSTANTS,
    skipped=FEW,
    refused=FEW,
    next_ms=maybe(INSTANTS),
    error=st.sampled_from(["", "oops"]),
)


def meeting(case: tuple[ScheduleStatus, Fire, bool]) -> tuple[ScheduleStatus, Fire]:
    """A schedule and a fire, which may be one of what stands: at random it would hardly ever be."""
    status, fire, fits = case
    if not fits:
        return status, fire
    return replace(status, paused=False), replace(fire, revision=status.revision, slot_ms=status.next_ms)


def status_of(told: dict[str, Any]) -> ScheduleStatus:
    """A status as Lua tells it, but for the bytes of its template."""
    return wire.heard(ScheduleStatus, told)


def bare(status: ScheduleStatus) -> ScheduleStatus:
    """A status with a template of the usual bytes: those of others do not stand in it in Lua."""
    template = replace(status.spec.template, payload=JobSpec(id="", task="").payload)
    return replace(status, spec=replace(status.spec, template=template))


def statuses(body: str, cases: Sequence[Any]) -> list[ScheduleStatus]:
    return [status_of(told) for told, *_ in run(body, cases)]


@MANY
@given(cases=many(st.tuples(maybe(STATUSES), SPECS, st.booleans())))
def test_a_schedule_is_put_alike(cases: list[tuple[ScheduleStatus | None, ScheduleSpec, bool]]) -> None:
    told = [
        {
            "standing": standing,
            "spec": spec,
            "absent_only": absent_only,
            "same": standing is not None and standing.spec.template.payload == spec.template.payload,
        }
        for standing, spec, absent_only in cases
    ]
    body = """
    local before = case.standing and setmetatable(case.standing, defaults.ScheduleStatus)
    if before then calendar.shaped(before.spec) end
    local after = schedules.put(before, calendar.shaped(case.spec), case.absent_only, case.same)
    return after, schedules.is_other(before, after), after == before"""
    for (standing, spec, absent_only), (found, other, same) in zip(cases, run(body, told), strict=True):
        expected = schedules.put(standing, spec, absent_only=absent_only)
        assert status_of(found) == bare(expected)
        assert other == schedules.is_other(standing, expected)
        assert same == (expected is standing)


@MANY
@given(cases=many(STATUSES))
def test_a_schedule_is_paused_resumed_and_due_alike(cases: list[ScheduleStatus]) -> None:
    told = [{"status": status} for status in cases]
    assert statuses(STATUS + "return schedules.paused(status)", told) == [bare(schedules.paused(one)) for one in cases]
    assert statuses(STATUS + "return schedules.resumed(status)", told) == [
        bare(schedules.resumed(one)) for one in cases
    ]
    due = run(STATUS + "return {schedules.due_ms(status) or -1, schedules.awaited(status) or ''}", told)
    for status, [(due_ms, awaited)] in zip(cases, due, strict=True):
        assert (due_ms, awaited) == (-1 if status.due_ms is None else status.due_ms, status.awaited or "")


@MANY
@given(cases=many(st.tuples(STATUSES, FIRES, st.booleans()).map(meeting)))
def test_a_fire_takes_effect_alike(cases: list[tuple[ScheduleStatus, Fire]]) -> None:
    told = [{"status": status, "fire": fire} for status, fire in cases]
    body = FIRE + "return schedules.is_stale(status, fire, step.now_ms), schedules.is_repeat(status, fire)"
    for (status, fire), (stale, repeat) in zip(cases, run(body, told, now_ms=NOW), strict=True):
        assert stale == schedules.is_stale(status, fire, NOW)
        assert repeat == schedules.is_repeat(status, fire)


@MANY
@given(cases=many(st.tuples(STATUSES, FIRES, st.booleans())))
def test_a_fire_makes_the_same_jobs(cases: list[tuple[ScheduleStatus, Fire, bool]]) -> None:
    told = [{"status": status, "fire": fire, "busy": busy} for status, fire, busy in cases]
    found = run(FIRE + "return schedules.jobs_to_make(status, fire.jobs, case.busy)", told)
    for (status, fire, busy), [made] in zip(cases, found, strict=True):
        expected = schedules.jobs_to_make(status, fire.jobs, busy=busy)
        assert [one["id"] for one in made] == [one.id for one in expected]


@MANY
@given(cases=many(st.tuples(STATUSES, FIRES, st.booleans(), FEW)))
def test_a_schedule_moves_on_alike(cases: list[tuple[ScheduleStatus, Fire, bool, int]]) -> None:
    made = [[job.id for job in fire.jobs][:count] for _, fire, _, count in cases]
    told = [
        {"status": status, "fire": fire, "ended": ended, "made": ids}
        for (status, fire, ended, _), ids in zip(cases, made, strict=True)
    ]
    found = run(FIRE + "return schedules.fired(status, fire, case.made, step.now_ms, case.ended)", told, now_ms=NOW)
    for (status, fire, ended, _), ids, [after] in zip(cases, made, found, strict=True):
        assert status_of(after) == bare(schedules.fired(status, fire, ids, NOW, ended=ended))


@MANY
@given(cases=many(st.tuples(STATUSES, st.booleans(), INSTANTS)))
def test_a_schedule_follows_its_jobs_alike(cases: list[tuple[ScheduleStatus, bool, int]]) -> None:
    told = [{"status": status, "ended": ended, "now": now_ms} for status, ended, now_ms in cases]
    body = STATUS + "return schedules.ran(status, 'j', case.now, case.ended), schedules.job_ended(status, case.now)"
    for (status, ended, now_ms), (ran, over) in zip(cases, run(body, told), strict=True):
        assert status_of(ran) == bare(schedules.ran(status, "j", now_ms, ended=ended))
        assert status_of(over) == bare(schedules.job_ended(status, now_ms))


def test_slots_end_with_the_calendar_alike() -> None:
    late = ScheduleSpec(name="tick", template=JobSpec(id="", task="t"), after_ms=bounds.MAX_DELAY_MS)
    status = ScheduleStatus(spec=late, passed_ms=bounds.MAX_SLOT_MS)
    [found] = statuses(STATUS + "return schedules.job_ended(status, 0)", [{"status": status}])
    assert found == bare(schedules.job_ended(status, 0))
