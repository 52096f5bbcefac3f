"""Remembering a value in the name of a run."""

from dataclasses import replace

from aiq.backends.memory.holder import owned
from aiq.backends.memory.transition import Transaction, remember
from aiq.bounds import MAX_STEPS
from aiq.errors import Conflict, TooLarge
from aiq.model import JobRecord, Lease, Saved, Step
from aiq.rules.leases import expired
from aiq.rules.validation import check_step


def save_step(tx: Transaction, lease: Lease, step: Step) -> Saved:
    """Keep a value under a key; the first one stands. Spec: STEP-1, STEP-2, STEP-3, STEP-4, STEP-7, LEASE-5"""
    check_step(step)
    record = owned(tx, lease)
    first = tx.tables.step(record.id, step.key)
    if first is not None and first.digest != step.digest:
        raise Conflict(f"Step {step.key!r} of job {record.id} is remembered with another digest.", reason="step")
    return Saved(
        step=first or _add(tx, record, replace(step, fence=lease.fence)),
        existed=first is not None,
        cancel_requested=record.cancel_requested_at_ms is not None,
        late=expired(record, tx.now_ms),
    )


def _add(tx: Transaction, record: JobRecord, step: Step) -> Step:
    count = len(tx.tables.steps.get(record.id, ())) + 1
    if count > MAX_STEPS:
        raise TooLarge(f"number of steps of job {record.id}", count, MAX_STEPS, "Split the work into several jobs.")
    tx.tables.put(remember(tx, record, step))
    return step
