"""Storing schedules, pausing them, and removing them."""

from collections.abc import Callable, Sequence

from aiq.backends.relational.calendar import delete, named, write, write_whole
from aiq.backends.relational.enqueue import check_for_ever
from aiq.backends.relational.transaction import Transaction
from aiq.model import ScheduleSpec, ScheduleStatus
from aiq.rules.schedules import is_other, job_of, paused, put, resumed


def put_schedules(tx: Transaction, specs: Sequence[ScheduleSpec], *, absent_only: bool) -> list[ScheduleStatus]:
    """Store schedules by name, all of them or none. Spec: SCHED-1, SCHED-2, SCHED-3, SCHED-4, SCHED-27, SCHED-29"""
    standing = named(tx, [spec.name for spec in specs])
    answers, changed, others = [], dict[str, ScheduleStatus](), list[ScheduleStatus]()
    for spec in specs:
        before = standing.get(spec.name)
        after = put(before, spec, absent_only=absent_only)
        if after is not before:
            standing[spec.name] = changed[spec.name] = after
        if is_other(before, after):
            others.append(after)
        answers.append(after)
    check_for_ever(tx, [job_of(status.spec.template, status.name) for status in others])
    for status in changed.values():
        write_whole(tx, status)
    return answers


def pause_schedules(tx: Transaction, names: Sequence[str]) -> list[ScheduleStatus | None]:
    """Let schedules fire nothing. Spec: SCHED-17"""
    return _each(tx, names, paused)


def resume_schedules(tx: Transaction, names: Sequence[str]) -> list[ScheduleStatus | None]:
    """Undo a pause. Spec: SCHED-17"""
    return _each(tx, names, resumed)


def delete_schedules(tx: Transaction, names: Sequence[str]) -> None:
    """Remove schedules; their jobs stay. Spec: SCHED-19"""
    delete(tx, names)


def _each(
    tx: Transaction, names: Sequence[str], change: Callable[[ScheduleStatus], ScheduleStatus]
) -> list[ScheduleStatus | None]:
    changed = {name: change(status) for name, status in named(tx, names).items()}
    for status in changed.values():
        write(tx, status)
    return [changed.get(name) for name in names]
