"""A bounded amount of whatever is due, oldest first, for any worker to do."""

from aiq.backends.memory.deaths import forget_groups
from aiq.backends.memory.forgetting import forget
from aiq.backends.memory.holding import go_on_letting_go
from aiq.backends.memory.index import due
from aiq.backends.memory.outbox import apply_outbox
from aiq.backends.memory.purge import anything_over, forget_ids, purge
from aiq.backends.memory.sweeps import (
    end_graces,
    end_overdue,
    lose_patience,
    next_due_ms,
    promote,
    revoke,
    time_out,
)
from aiq.backends.memory.transition import Transaction
from aiq.backends.memory.trim import trim
from aiq.backends.memory.trim_jobs import trim_jobs
from aiq.backends.memory.workers import forget_workers
from aiq.bounds import MAX_SWEEP
from aiq.model import Upkept
from aiq.rules.retention import soon
from aiq.rules.validation import check_limit


def upkeep(tx: Transaction, limit: int) -> Upkept:
    """Sweep, each kind at most `limit`, in this order.

    Spec: TIME-4, TIME-7, TIME-8, LIVE-2, CANCEL-5, SIG-8, FAN-8, ROUTE-5, HOLD-4, DEADLINE-3
    """
    check_limit(limit, MAX_SWEEP)
    overdue = end_overdue(tx, limit)
    promoted = promote(tx, limit)
    revoked = revoke(tx, limit)
    timed_out = time_out(tx, limit)
    cancelled = end_graces(tx, limit)
    applied = apply_outbox(tx, limit)
    rerouted = lose_patience(tx, tx.tables.lanes, limit)
    unheld = go_on_letting_go(tx, limit)
    more = forget(tx, limit)
    more = forget_workers(tx, limit) or more
    more = forget_groups(tx, limit) or more
    schedules = len(due(tx.tables.calendar.due, tx.now_ms, limit))
    purged = purge(tx, limit)
    over = trim(tx, limit)
    over = trim_jobs(tx, limit) or over
    over = forget_ids(tx, limit) or anything_over(tx) or over
    due_ms = 0 if more else next_due_ms(tx)
    due_ms = soon(due_ms) if over else due_ms
    swept = (promoted, revoked, timed_out, cancelled, applied, due_ms, rerouted, unheld)
    return Upkept(*swept, purged=purged, schedules=schedules, overdue=overdue)
