"""A bounded amount of whatever is due, oldest first, for any worker to do."""

from aiq.backends.sqlite.calendar import count_due
from aiq.backends.sqlite.forgetting import anything_to_forget, forget
from aiq.backends.sqlite.graves import any_group_to_forget, forget_groups
from aiq.backends.sqlite.holding import go_on_letting_go
from aiq.backends.sqlite.outbox import apply_outbox
from aiq.backends.sqlite.purge import any_free_id, anything_over, forget_ids, purge
from aiq.backends.sqlite.sweeps import (
    anybody_impatient,
    end_graces,
    end_overdue,
    lose_patience,
    next_due_ms,
    promote,
    revoke,
    time_out,
)
from aiq.backends.sqlite.transaction import Transaction
from aiq.backends.sqlite.trim import anything_to_trim, trim
from aiq.backends.sqlite.trim_jobs import anything_to_trim_of_jobs, trim_jobs
from aiq.backends.sqlite.workers import any_long_silent, forget_workers
from aiq.model import Upkept
from aiq.rules.retention import soon


def upkeep(tx: Transaction, limit: int) -> Upkept:
    """Sweep, each kind at most `limit`, in this order.

    Spec: TIME-4, TIME-7, TIME-8, LIVE-2, CANCEL-5, SIG-8, FAN-8, ROUTE-5, HOLD-4, DEADLINE-3
    """
    overdue = end_overdue(tx, limit)
    promoted = promote(tx, limit)
    revoked = revoke(tx, limit)
    timed_out = time_out(tx, limit)
    cancelled = end_graces(tx, limit)
    applied = apply_outbox(tx, limit)
    rerouted = lose_patience(tx, limit)
    unheld = go_on_letting_go(tx, limit)
    more = forget(tx, limit)
    more = forget_workers(tx, limit) or more
    more = forget_groups(tx, limit) or more
    schedules = count_due(tx, limit)
    purged = purge(tx, limit)
    over = trim(tx, limit)
    over = trim_jobs(tx, limit) or over
    over = forget_ids(tx, limit) or anything_over(tx) or over
    due_ms = 0 if more else next_due_ms(tx)
    due_ms = soon(due_ms) if over else due_ms
    swept = (promoted, revoked, timed_out, cancelled, applied, due_ms, rerouted, unheld)
    return Upkept(*swept, purged=purged, schedules=schedules, overdue=overdue)


def nothing_to_keep_up(tx: Transaction) -> Upkept | None:
    """Look whether anything is due, and answer if not: then no lock is taken. Spec: STORE-5"""
    next_ms = next_due_ms(tx)
    due = next_ms == 0 or anybody_impatient(tx) or anything_to_forget(tx) or any_long_silent(tx)
    due = due or any_group_to_forget(tx) or anything_had_its_time(tx)
    return None if due else Upkept(next_due_ms=next_ms)


def anything_had_its_time(tx: Transaction) -> bool:
    """Whether something that is over is to go. Nobody waits for that, so it is not among what is due."""
    return anything_over(tx) or anything_to_trim(tx) or anything_to_trim_of_jobs(tx) or any_free_id(tx)
