"""Reading schedules: by name, and those that are due."""

from collections.abc import Iterable, Sequence

from aiq.backends.memory.index import due
from aiq.backends.memory.transition import Transaction
from aiq.model import DueSchedules, ScheduleStatus
from aiq.rules.batches import page_length
from aiq.rules.schedules import check_names
from aiq.rules.validation import check_limit


def get_schedules(tx: Transaction, names: Sequence[str], after: str, limit: int) -> list[ScheduleStatus]:
    """Read those named, or all behind a name. Spec: SCHED-20, STORE-13"""
    check_limit(limit)
    check_names(names)
    standing = tx.tables.calendar.standing
    asked = names or sorted(name for name in standing if name > after)[:limit]
    return _page([standing[name] for name in asked if name in standing][:limit])


def due_schedules(tx: Transaction, limit: int) -> DueSchedules:
    """Read those that somebody has to plan or fire. Spec: SCHED-5, SCHED-6"""
    check_limit(limit)
    calendar = tx.tables.calendar
    found = _page([calendar.standing[name] for name in due(calendar.due, tx.now_ms, limit)])
    return DueSchedules(tx.now_ms, tuple(found))


def _page(found: Sequence[ScheduleStatus]) -> list[ScheduleStatus]:
    sizes: Iterable[int] = (len(status.spec.template.payload) for status in found)
    return list(found[: page_length(sizes)])
