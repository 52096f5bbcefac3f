"""Bounded acts of maintenance: what an instant that has come does to jobs. Safe to repeat at any time."""

from collections.abc import Callable
from dataclasses import replace

from aiq.backends.memory.data import Index, TimeKey, due
from aiq.backends.memory.ending import end
from aiq.backends.memory.transition import Transaction, move, readied, remember
from aiq.model import JobRecord, Lane, State, Step, StepKind
from aiq.rules.failures import appended, lease_expired
from aiq.rules.settling import after_expiry


def promote(tx: Transaction, limit: int) -> int:
    """Make scheduled jobs ready whose instant has come (T2), in the lane they were scheduled for. Spec: TIME-3"""
    return _sweep(tx, tx.tables.indexes.scheduled, limit, _promote)


def revoke(tx: Transaction, limit: int) -> int:
    """End runs whose lease has expired (T9). Spec: LIVE-2, RETRY-7, RETRY-8, LEASE-9"""
    return _sweep(tx, tx.tables.indexes.leases, limit, _revoke)


def time_out(tx: Transaction, limit: int) -> int:
    """End waits for a signal that did not come in time (T13). Spec: SIG-7, SIG-8"""
    return _sweep(tx, tx.tables.indexes.timeouts, limit, _time_out)


def end_graces(tx: Transaction, limit: int) -> int:
    """Cancel running jobs that did not heed a request (T16), live lease or not. Spec: CANCEL-5, LEASE-7"""
    return _sweep(tx, tx.tables.indexes.graces, limit, _end_grace)


def next_due_ms(tx: Transaction) -> int | None:
    """How long until a sweep finds something; 0 for now, None for never. Spec: TIME-7"""
    if tx.tables.outbox:
        return 0
    indexes = tx.tables.indexes
    timed = (indexes.scheduled, indexes.timeouts, indexes.leases, indexes.graces)
    instants = [at_ms for index in timed for at_ms, _ in index.first(1)]
    return max(0, min(instants) - tx.now_ms) if instants else None


def _sweep(tx: Transaction, index: Index[TimeKey], limit: int, act: Callable[[Transaction, JobRecord], object]) -> int:
    """Act on what is due, in the order of (instant, id), and say on how many. Spec: TIME-4, CLAIM-9

    The list is made first: an act may put a job back into the index, and it must not come twice.
    """
    job_ids = due(index, tx.now_ms, limit)
    for job_id in job_ids:
        act(tx, tx.tables.jobs[job_id])
    return len(job_ids)


def _promote(tx: Transaction, record: JobRecord) -> None:
    move(tx, "T2", record, readied(record, record.lane))


def _revoke(tx: Transaction, record: JobRecord) -> None:
    change = after_expiry(record)
    after = replace(
        record,
        state=change.state,
        lane=change.lane if change.state is State.READY else record.lane,
        failures=change.failures,
        stalls=change.stalls,
        cause=change.cause,
        errors=appended(record, lease_expired(record), tx.now_ms),
    )
    if change.state.terminal:
        end(tx, change.number, record, after)
    else:
        move(tx, change.number, record, after)


def _time_out(tx: Transaction, record: JobRecord) -> None:
    step = Step(record.wait_key or "", StepKind.TIMEOUT, b"", fence=record.fence)
    move(tx, "T13", record, readied(remember(tx, record, step), Lane.RETURNED))


def _end_grace(tx: Transaction, record: JobRecord) -> None:
    end(tx, "T16", record, replace(record, state=State.CANCELLED))
