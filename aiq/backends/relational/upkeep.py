"""A bounded amount of whatever is due, oldest first, for any worker to do."""

from dataclasses import dataclass, replace

from aiq.backends.relational.calendar import count_due
from aiq.backends.relational.forgetting import anything_to_forget, forget, question_of_forgetting
from aiq.backends.relational.graves import any_group_to_forget, forget_groups, question_of_groups
from aiq.backends.relational.holding import go_on_letting_go
from aiq.backends.relational.outbox import apply_outbox
from aiq.backends.relational.purge import any_free_id, anything_over, forget_ids, purge
from aiq.backends.relational.retention import KEPT
from aiq.backends.relational.retire import require_open
from aiq.backends.relational.sweeps import (
    anybody_impatient,
    end_graces,
    end_overdue,
    lose_patience,
    next_due_ms,
    promote,
    question_impatience,
    question_next,
    revoke,
    time_out,
)
from aiq.backends.relational.transaction import Transaction
from aiq.backends.relational.trim import anything_to_trim, trim
from aiq.backends.relational.trim_jobs import anything_to_trim_of_jobs, trim_jobs
from aiq.backends.relational.workers import any_long_silent, forget_workers, question_silent
from aiq.model import Upkept
from aiq.rules.retention import soon


@dataclass(frozen=True, slots=True)
class Look:
    """What there is to do, as a look without the lock finds it; what comes later is left to the next one.

    Most of upkeep is finding that nothing of a kind is due. That is done here, where nobody waits for it, so that the
    lock is held for what is written alone.
    """

    due: bool
    """Something is due, or to be looked at anew."""
    jobs: bool
    """Jobs that have ended are to go. Nobody waits for that, so it is not among what is due."""
    rest: bool
    """Something else that is over is to go."""
    next_due_ms: int | None


def look(tx: Transaction) -> Look:
    """Look what there is to do, and when there is more. Spec: TIME-7, KEEP-9"""
    require_open(tx)
    forgotten = [question_of_forgetting(tx), question_silent(tx), question_of_groups(tx)]
    tx.foresee([question_next(tx), *forgotten, question_impatience(tx), KEPT])
    next_ms = next_due_ms(tx)
    more = anything_to_forget(tx) or any_long_silent(tx) or any_group_to_forget(tx)
    due = more or next_ms == 0 or anybody_impatient(tx)
    rest = anything_to_trim(tx) or anything_to_trim_of_jobs(tx) or any_free_id(tx)
    jobs = anything_over(tx)
    next_ms = 0 if more else next_ms
    return Look(due, jobs, rest, soon(next_ms) if jobs or rest else next_ms)


def upkeep(tx: Transaction, limit: int, found: Look) -> Upkept:
    """Do what was found, each kind at most `limit`. When there is more, the next look tells."""
    done = _sweep(tx, limit) if found.due else Upkept()
    purged = purge(tx, limit) if found.jobs else 0
    if found.rest:
        trim(tx, limit)
        trim_jobs(tx, limit)
        forget_ids(tx, limit)
    return replace(done, purged=purged)


def _sweep(tx: Transaction, limit: int) -> Upkept:
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
    forget(tx, limit)
    forget_workers(tx, limit)
    forget_groups(tx, limit)
    schedules = count_due(tx, limit)
    swept = (promoted, revoked, timed_out, cancelled, applied, None, rerouted, unheld)
    return Upkept(*swept, schedules=schedules, overdue=overdue)
