"""Keeping ready jobs from being claimed, by an operator."""

from collections.abc import Sequence

from aiq.backends.relational.get import get
from aiq.backends.relational.holding import held_for, keep
from aiq.backends.relational.transaction import Transaction
from aiq.errors import Conflict
from aiq.model import HeldFor, JobRecord, State, none


def hold(tx: Transaction, job_ids: Sequence[str]) -> list[JobRecord | None]:
    """Hold ready jobs (T21), all of them or none; one that is held stays as it is. Spec: HOLD-1, HOLD-2"""
    jobs = tx.fetch(job_ids)
    for job in jobs:
        record = job.record
        if record.state not in (State.READY, State.HELD):
            raise Conflict(f"Job {record.id} is {record.state}; only a ready job can be held.", reason="state")
    for job in jobs:
        if job.record.state is State.READY:
            keep(tx, job, held_for(job, HeldFor.OPERATOR), "", none())
    return get(tx, job_ids)
