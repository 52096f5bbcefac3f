"""Letting held jobs go, by an operator."""

from collections.abc import Sequence
from dataclasses import replace

from aiq.backends.memory.get import answered
from aiq.backends.memory.holding import let_go
from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_BATCH
from aiq.model import JobRecord, State
from aiq.rules.checks import check_count


def unhold(tx: Transaction, job_ids: Sequence[str]) -> list[JobRecord | None]:
    """Make held jobs ready (T22), whatever they are held for, and open their routes again. Spec: HOLD-3, ROUTE-4"""
    check_count("list of jobs", len(job_ids), MAX_BATCH)
    for job_id in job_ids:
        record = tx.tables.jobs.get(job_id)
        if record is not None and record.state is State.HELD:
            let_go(tx, replace(record, closed_routes=0))
    return answered(tx, job_ids)
