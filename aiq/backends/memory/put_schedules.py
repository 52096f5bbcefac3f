"""Storing schedules, pausing them, and removing them."""

from collections.abc import Callable, Sequence

from aiq.backends.memory.transition import Transaction
from aiq.model import ScheduleSpec, ScheduleStatus
from aiq.rules.schedules import check_names, check_schedules, paused, put, resumed


def put_schedules(tx: Transaction, specs: Sequence[ScheduleSpec], *, absent_only: bool) -> list[ScheduleStatus]:
    """Store schedules by name, all of them or none. Spec: SCHED-1, SCHED-2, SCHED-3, SCHED-4"""
    check_schedules(specs)
    calendar = tx.tables.calendar
    return [calendar.put(put(calendar.standing.get(spec.name), spec, absent_only=absent_only)) for spec in specs]


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
