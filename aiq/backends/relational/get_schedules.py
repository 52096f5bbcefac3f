"""Reading schedules: by name, and those that are due."""

from collections.abc import Sequence

from aiq.backends.relational.calendar import page
from aiq.backends.relational.rows import ids
from aiq.backends.relational.transaction import Transaction
from aiq.model import DueSchedules, ScheduleStatus


def get_schedules(tx: Transaction, names: Sequence[str], after: str, limit: int) -> list[ScheduleStatus]:
    """Read those named, or all behind a name. Spec: SCHED-20, STORE-13"""
    if names:
        return page(tx, "named", {"names": ids(names)})[:limit]
    return page(tx, "listed", {"after": after, "limit": limit})


def due_schedules(tx: Transaction, limit: int) -> DueSchedules:
    """Read those that somebody has to plan or fire. Spec: SCHED-5, SCHED-6"""
    return DueSchedules(tx.now_ms, tuple(page(tx, "due", {"now_ms": tx.now_ms, "limit": limit})))
