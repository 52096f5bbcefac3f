"""What a storage decides about schedules, by integers alone. Spec: chapter 15.

Every decision is given the status as it stands and the storage's now, and gives the status as it is to stand. Which
slots there are is nothing a storage knows: see `aiq.rules.slots`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from msgspec import structs

from aiq import bounds
from aiq.errors import Conflict, InvalidInput, NotFound, TooLarge
from aiq.model import Fire, JobSpec, Missed, Overlap, Phase, ScheduleSpec, ScheduleStatus
from aiq.policy.figures import check_name
from aiq.rules.checks import IN_PARTS, check_count, check_opaque, check_range
from aiq.rules.validation import check_batch, check_spec

_TIMES: Final = ("cron", "tz", "every_ms", "anchor_ms", "after_ms", "start_ms", "end_ms", "max_fires")
"""What says when a schedule fires: a change of it makes the next slot unknown."""
_OWN: Final = "job:"
"""The id of a budget of the template's own, and how those of its jobs begin."""


def check_schedules(specs: Sequence[ScheduleSpec]) -> None:
    """Refuse schedules that are too many, too large together, or of which one is refused."""
    check_count("list of schedules", len(specs), bounds.MAX_BATCH)
    size = sum(len(spec.template.payload) for spec in specs)
    if size > bounds.MAX_BATCH_BYTES:
        raise TooLarge("list of schedules", size, bounds.MAX_BATCH_BYTES, IN_PARTS, unit=" bytes")
    for spec in specs:
        check_schedule(spec)


def check_schedule(spec: ScheduleSpec) -> None:
    """Refuse a schedule whose name, numbers or template cannot be stored. Spec: SCHED-26"""
    check_name("schedule", spec.name)
    kinds = [kind for kind in (spec.cron or None, spec.every_ms, spec.after_ms) if kind is not None]
    if len(kinds) != 1:
        raise InvalidInput(f'Schedule "{spec.name}" takes one of cron, every and after; it has {len(kinds)} of them.')
    for kind, text in (("cron expression", spec.cron or None), ("time zone", spec.tz)):
        if text is not None:
            check_opaque(kind, text)
    for kind, number, low, high in (
        ("interval in ms", spec.every_ms, bounds.MIN_EVERY_MS, bounds.MAX_DELAY_MS),
        ("time after a job in ms", spec.after_ms, 0, bounds.MAX_DELAY_MS),
        ("anchor in ms since 1970", spec.anchor_ms, 0, bounds.MAX_SLOT_MS),
        ("start in ms since 1970", spec.start_ms, 0, bounds.MAX_SLOT_MS),
        ("end in ms since 1970", spec.end_ms, 0, bounds.MAX_SLOT_MS),
        ("number of fires", spec.max_fires, 1, bounds.MAX_AMOUNT),
        ("number of slots to catch up", spec.catch_up, 1, bounds.MAX_CATCH_UP),
    ):
        if number is not None:
            check_range(f"{kind} of a schedule", number, low, high)
    if spec.start_ms is not None and spec.end_ms is not None and spec.end_ms <= spec.start_ms:
        raise InvalidInput(f'Schedule "{spec.name}" ends before it has a slot: its end is not behind its start.')
    _check_policies(spec)
    _check_template(spec.name, spec.template)


def check_fires(fires: Sequence[Fire]) -> None:
    """Refuse fires that contradict themselves, or make more than one step takes. Spec: SCHED-10"""
    check_count("list of fires", len(fires), bounds.MAX_BATCH)
    names = [fire.name for fire in fires]
    if len(set(names)) < len(names):
        raise InvalidInput("A schedule is fired twice in one call. Fire it again in another one.")
    for fire in fires:
        check_name("schedule", fire.name)
        check_count("list of jobs of a fire", len(fire.jobs), bounds.MAX_CATCH_UP)
        first_ms = 0 if fire.slot_ms is None else fire.slot_ms
        check_range("number of slots left out", fire.skipped, 0, bounds.MAX_AMOUNT)
        check_range("number of slots whose jobs were refused", fire.refused, 0, fire.skipped)
        if fire.slot_ms is None and fire.jobs:
            raise InvalidInput(f'A fire of schedule "{fire.name}" has jobs, and no slot. Name the slot that is next.')
        if fire.slot_ms is not None:
            check_range("last slot of a fire", fire.passed_ms, first_ms, bounds.MAX_SLOT_MS)
        if fire.next_ms is not None:
            check_range("next slot of a fire", fire.next_ms, max(first_ms, fire.passed_ms + 1), bounds.MAX_SLOT_MS)
    check_batch([job for fire in fires for job in fire.jobs])


def check_run(name: str, job: JobSpec) -> None:
    """Refuse a job that cannot be made beside the slots of a schedule."""
    check_name("schedule", name)
    check_batch([job])


def check_names(names: Sequence[str]) -> None:
    """Refuse names of schedules that are too many, or no names."""
    check_count("list of schedules", len(names), bounds.MAX_BATCH)
    for name in names:
        check_name("schedule", name)


def job_of(template: JobSpec, job_id: str) -> JobSpec:
    """The job that a schedule makes under an id. A budget of the template's own becomes one of the job's own."""
    own = f"{_OWN}{job_id}"
    return replace(
        template,
        id=job_id,
        budgets=tuple(own if budget == _OWN else budget for budget in template.budgets),
        creates=tuple(structs.replace(budget, id=own) if budget.id == _OWN else budget for budget in template.creates),
    )


def put(standing: ScheduleStatus | None, spec: ScheduleSpec, *, absent_only: bool) -> ScheduleStatus:
    """A schedule as it stands once it is put. Spec: SCHED-2, SCHED-3, SCHED-4, SCHED-29"""
    if standing is None:
        return ScheduleStatus(spec=spec, paused=spec.paused)
    if absent_only or says_same(standing.spec, spec):
        return standing if absent_only or standing.spec == spec else replace(standing, spec=spec)
    changed = replace(standing, spec=spec, revision=standing.revision + 1, error="")
    if all(getattr(standing.spec, name) == getattr(spec, name) for name in _TIMES):
        return changed
    return replace(changed, phase=Phase.UNPLANNED, next_ms=None)


def is_other(before: ScheduleStatus | None, after: ScheduleStatus) -> bool:
    """Whether what was put is new or says something else, so that its job is looked at. Spec: SCHED-27"""
    return before is None or after.revision > before.revision


def says_same(standing: ScheduleSpec, spec: ScheduleSpec) -> bool:
    """Whether two schedules say the same. Codecs may make other bytes of one content, whose digest tells. SCHED-2"""
    if spec.template.digest and spec.template.digest == standing.template.digest:
        spec = replace(spec, template=replace(spec.template, payload=standing.template.payload))
    return standing == spec


def paused(status: ScheduleStatus) -> ScheduleStatus:
    """A schedule that fires nothing until it is resumed. Spec: SCHED-17"""
    return replace(status, paused=True)


def resumed(status: ScheduleStatus) -> ScheduleStatus:
    """A schedule that goes on: slots that came while it was paused are passed over. Spec: SCHED-17"""
    if not status.paused or status.phase is not Phase.PLANNED or status.spec.after_ms is not None:
        return replace(status, paused=False)
    return replace(status, paused=False, phase=Phase.UNPLANNED, next_ms=None)


def is_repeat(status: ScheduleStatus | None, fire: Fire) -> bool:
    """Whether a fire is the last one that took effect, sent again. Spec: SCHED-8"""
    if status is None or status.revision != fire.revision:
        return False
    if fire.slot_ms is None:
        return status.phase in (Phase.PLANNED, Phase.OVER) and status.next_ms == fire.next_ms
    return status.passed_ms == fire.passed_ms


def is_stale(status: ScheduleStatus | None, fire: Fire, now_ms: int) -> bool:
    """Whether a fire was computed from something else than what stands, or is not due. Spec: SCHED-7, SCHED-10"""
    if status is None or status.revision != fire.revision or status.paused:
        return True
    if fire.next_ms is not None and fire.next_ms <= status.passed_ms:
        return True
    if fire.slot_ms is None:
        return status.phase is not Phase.UNPLANNED
    return status.phase is not Phase.PLANNED or status.next_ms != fire.slot_ms or now_ms < fire.passed_ms


def jobs_to_make(status: ScheduleStatus, jobs: Sequence[JobSpec], *, busy: bool) -> Sequence[JobSpec]:
    """Those of the jobs of a fire that are made. `busy` says that the last job has not ended.

    Spec: SCHED-11, SCHED-12, SCHED-13, SCHED-14
    """
    left = None if status.spec.max_fires is None else max(0, status.spec.max_fires - status.fires)
    if status.spec.overlap is Overlap.ALLOW:
        return jobs[:left]
    if status.spec.overlap is Overlap.CANCEL:
        return jobs[-1:][:left]
    return () if busy else jobs[:1][:left]


def fired(status: ScheduleStatus, fire: Fire, made: Sequence[str], now_ms: int, *, ended: bool) -> ScheduleStatus:
    """A schedule after a fire that made jobs of these ids. `ended` says that its last job has. Spec: SCHED-7"""
    after = replace(
        status,
        passed_ms=max(status.passed_ms, fire.passed_ms),
        fires=status.fires + len(made),
        skipped=status.skipped + fire.skipped + (len(fire.jobs) - len(made)),
        refused=status.refused + fire.refused,
        last_job_id=made[-1] if made else status.last_job_id,
        last_fired_ms=now_ms if made else status.last_fired_ms,
        error=fire.error,
    )
    if fire.next_ms is None and fire.slot_ms is not None and status.spec.after_ms is not None:
        return job_ended(after, now_ms) if ended else _waiting(after)
    return _planned(after, fire.next_ms)


def ran(status: ScheduleStatus, job_id: str, now_ms: int, *, ended: bool) -> ScheduleStatus:
    """A schedule after a job was made beside its slots. Spec: SCHED-18"""
    after = replace(status, last_job_id=job_id, last_fired_ms=now_ms)
    counts = status.spec.after_ms is not None and status.phase in (Phase.PLANNED, Phase.WAITING)
    return _waiting(after) if counts and not ended else after


def check_free(status: ScheduleStatus | None, name: str, *, busy: bool) -> ScheduleStatus:
    """Refuse to make a job beside the slots of a schedule that is not stored, or whose last job must end first.

    Spec: SCHED-18
    """
    if status is None:
        raise NotFound(name, f'No schedule "{name}" is stored here.')
    if busy and status.spec.overlap is Overlap.SKIP:
        text = f'The last job of schedule "{name}", {status.last_job_id}, has not ended, and they do not overlap.'
        raise Conflict(f"{text} Wait for its end, or cancel it.", reason="overlap")
    return status


def job_ended(status: ScheduleStatus, now_ms: int) -> ScheduleStatus:
    """A schedule whose last job has just ended: its next slot counts from now. Spec: SCHED-15"""
    slot_ms = max(now_ms + (status.spec.after_ms or 0), status.passed_ms + 1)
    end_ms = bounds.MAX_SLOT_MS if status.spec.end_ms is None else status.spec.end_ms
    return _planned(status, slot_ms if slot_ms < end_ms else None)


def _planned(status: ScheduleStatus, next_ms: int | None) -> ScheduleStatus:
    """A schedule whose next slot is known, or that has none. Spec: SCHED-5, SCHED-14"""
    spent = status.spec.max_fires is not None and status.fires >= status.spec.max_fires
    if next_ms is None or spent:
        return replace(status, phase=Phase.OVER, next_ms=None)
    return replace(status, phase=Phase.PLANNED, next_ms=next_ms)


def _waiting(status: ScheduleStatus) -> ScheduleStatus:
    spent = status.spec.max_fires is not None and status.fires >= status.spec.max_fires
    return replace(status, phase=Phase.OVER if spent else Phase.WAITING, next_ms=None)


def _check_policies(spec: ScheduleSpec) -> None:
    if spec.after_ms is not None and (spec.overlap is not Overlap.ALLOW or spec.missed is not Missed.SKIP):
        raise InvalidInput(
            f'Schedule "{spec.name}" counts from the end of its last job, so it neither overlaps nor misses a slot. '
            "Leave `overlap` and `missed` out."
        )
    if spec.overlap is Overlap.CANCEL and spec.template.unique is not None:
        raise InvalidInput(
            f'Schedule "{spec.name}" cancels its last job when the next one comes, which its unique key would find '
            'standing. Leave `unique` out, or let it be overlap="skip".'
        )


def _check_template(name: str, template: JobSpec) -> None:
    """Refuse a template that is right for one job at most. Spec: SCHED-26"""
    for option, said, instead in (
        ("an id", template.id != "", "each slot gives its job one"),
        ("an instant", template.at_ms is not None, "the schedule says when; a delay counts from the slot"),
        ("an instant of its deadline", template.deadline_ms is not None, "say how long each job has: expires=60"),
        ("dependencies", bool(template.depends_on), "the jobs that it waits for end once"),
        ("a parent", template.child_of is not None, "its parent ends once"),
        ("a word on its parent", template.on_parent != "cancel", "the jobs of a schedule have no parent"),
        ("an origin", template.origin is not None, "its jobs are no replays"),
    ):
        if said:
            raise InvalidInput(f'The template of schedule "{name}" has {option}. Leave that out: {instead}.')
    check_spec(job_of(template, name))
