"""Storing schedules, pausing them, and removing them."""

from collections.abc import Callable, Sequence

from aiq.backends.memory.enqueue import check_for_ever
from aiq.backends.memory.transition import Transaction
from aiq.model import ScheduleSpec, ScheduleStatus
from aiq.rules.schedules import check_names, check_schedules, is_other, job_of, paused, put, resumed


def put_schedules(tx: Transaction, specs: Sequence[ScheduleSpec], *, absent_only: bool) -> list[ScheduleStatus]:
    """Store schedules by name, all of them or none. Spec: SCHED-1, SCHED-2, SCHED-3, SCHED-4, SCHED-27, SCHED-29"""
    check_schedules(specs)
    calendar = tx.tables.calendar
    standing, others, answers = dict[str, ScheduleStatus](), list[ScheduleStatus](), []
    for spec in specs:
        before = standing.get(spec.name) or calendar.standing.get(spec.name)
        after = put(before, spec, absent_only=absent_only)
        if after is not before:
            standing[spec.name] = after
        if is_other(before, after):
            others.append(after)
        answers.append(after)
    for status in others:
        check_for_ever(tx, job_of(status.spec.template, status.name))
    for status in standing.values():
        calendar.put(status)
    return answers


def pause_schedules(tx: Transaction, names: Sequence[str]) -> list[ScheduleStatus | None]:
    """Let schedules fire nothing. Spec: SCHED-17"""
    return _each(tx, names, paused)


def resume_schedules(tx: Transaction, names: Sequence[str]) -> list[ScheduleStatus | None]:
    """Undo a pause. Spec: SCHED-17"""
    return _each(tx, names, resumed)


def delete_schedules(tx: Transaction, names: Sequence[str]) -> None:
    """Remove schedules; their jobs stay. Spec: SCHED-19"""
    check_names(names)
    for name in names:
        tx.tables.calendar.drop(name)


def _each(
    tx: Transaction, names: Sequence[str], change: Callable[[ScheduleStatus], ScheduleStatus]
) -> list[ScheduleStatus | None]:
    check_names(names)
    calendar = tx.tables.calendar
    return [calendar.put(change(calendar.standing[name])) if name in calendar.standing else None for name in names]
