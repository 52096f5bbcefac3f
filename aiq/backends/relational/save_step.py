"""Remembering a value in the name of a run."""

from dataclasses import replace

from aiq.backends.relational.holder import owned
from aiq.backends.relational.steps import SQL, find_step, remember
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_STEPS
from aiq.errors import Conflict, TooLarge
from aiq.model import Lease, Saved, Step
from aiq.rules.leases import expired


def save_step(tx: Transaction, lease: Lease, step: Step) -> Saved:
    """Keep a value under a key; the first one stands. Spec: STEP-1, STEP-2, STEP-3, STEP-4, STEP-7, LEASE-5"""
    job = owned(tx, lease)
    record = job.record
    standing = find_step(tx, job, step.key)
    if standing is None:
        if job.steps >= MAX_STEPS:
            count = job.steps + 1
            raise TooLarge(f"number of steps of job {record.id}", count, MAX_STEPS, "Split the work into several jobs.")
        remember(tx, job, replace(step, fence=lease.fence))
        tx.run(SQL["count"], {"n": job.n, "steps": job.steps})
    elif standing.digest != step.digest:
        raise Conflict(f"Step {step.key!r} of job {record.id} is remembered with another digest.", reason="step")
    return Saved(
        step=standing or replace(step, fence=lease.fence),
        existed=standing is not None,
        cancel_requested=record.cancel_requested_at_ms is not None,
        late=expired(record, tx.now_ms),
    )
