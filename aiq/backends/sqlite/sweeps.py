"""Bounded acts of maintenance: what an instant that has come does to jobs. Safe to repeat at any time."""

from collections.abc import Callable
from typing import Final

from aiq.backends.sqlite.ending import end
from aiq.backends.sqlite.fan_in import look_ahead
from aiq.backends.sqlite.moves import add_error, move, unchanged
from aiq.backends.sqlite.rows import Job
from aiq.backends.sqlite.sql import load
from aiq.backends.sqlite.steps import remember
from aiq.backends.sqlite.transaction import Transaction
from aiq.bounds import CANCEL_GRACE_MS
from aiq.model import Lane, State, Step, StepKind
from aiq.rules.failures import lease_expired
from aiq.rules.settling import after_expiry

SQL: Final = load("sweeps")


def promote(tx: Transaction, limit: int) -> int:
    """Make scheduled jobs ready whose instant has come (T2), in the lane they were scheduled for. Spec: TIME-3"""
    return _sweep(tx, "due", limit, _promote)


def revoke(tx: Transaction, limit: int) -> int:
    """End runs whose lease has expired (T9). Spec: LIVE-2, RETRY-7, RETRY-8, LEASE-9"""
    return _sweep(tx, "expired", limit, _revoke)


def time_out(tx: Transaction, limit: int) -> int:
    """End waits for a signal that did not come in time (T13). Spec: SIG-7, SIG-8"""
    return _sweep(tx, "timed_out", limit, _time_out)


def end_graces(tx: Transaction, limit: int) -> int:
    """Cancel running jobs that did not heed a request (T16), live lease or not. Spec: CANCEL-5, LEASE-7"""
    return _sweep(tx, "unheeded", limit, _end_grace)


def next_due_ms(tx: Transaction) -> int | None:
    """How long until a sweep finds something; 0 for now, None for never. Spec: TIME-7"""
    *instants, outgoing = tx.rows(SQL["next"], {"grace_ms": CANCEL_GRACE_MS})[0]
    if outgoing:
        return 0
    known = [at_ms for at_ms in instants if at_ms is not None]
    return max(0, min(known) - tx.now_ms) if known else None


def _sweep(tx: Transaction, kind: str, limit: int, act: Callable[[Transaction, Job], None]) -> int:
    """Act on what is due, in the order of (instant, id), and say on how many. Spec: TIME-4, CLAIM-9"""
    bounds = {"now_ms": tx.now_ms, "requested_ms": tx.now_ms - CANCEL_GRACE_MS, "limit": limit}
    job_ids = [job_id for _, job_id in sorted(tx.table(SQL[kind], bounds))]
    look_ahead(tx, tx.fetch(job_ids))
    for job_id in job_ids:
        job = tx.job(job_id)
        assert job is not None
        act(tx, job)
    return len(job_ids)


def _promote(tx: Transaction, job: Job) -> None:
    move(tx, job, unchanged(job.record, "T2", State.READY))


def _revoke(tx: Transaction, job: Job) -> None:
    change = after_expiry(job.record)
    told = add_error(tx, job, lease_expired(job.record)).message
    if change.state.terminal:
        end(tx, job, change, told=told)
    else:
        move(tx, job, change)


def _time_out(tx: Transaction, job: Job) -> None:
    remember(tx, job, Step(job.record.wait_key or "", StepKind.TIMEOUT, b"", fence=job.record.fence))
    move(tx, job, unchanged(job.record, "T13", State.READY, Lane.RETURNED))


def _end_grace(tx: Transaction, job: Job) -> None:
    end(tx, job, unchanged(job.record, "T16", State.CANCELLED))
