"""Letting held jobs go, by an operator."""

from collections.abc import Sequence
from dataclasses import replace

from aiq.backends.relational.get import get
from aiq.backends.relational.holding import let_go
from aiq.backends.relational.transaction import Transaction
from aiq.model import JobRecord, State


def unhold(tx: Transaction, job_ids: Sequence[str]) -> list[JobRecord | None]:
    """Make held jobs ready (T22), whatever they are held for, and open their routes again. Spec: HOLD-3, ROUTE-4"""
    for job in tx.fetch(job_ids):
        if job.record.state is State.HELD:
            job.record = replace(job.record, closed_routes=0)
            let_go(tx, job)
    return get(tx, job_ids)
