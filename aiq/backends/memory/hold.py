"""Keeping ready jobs from being claimed, by an operator."""

from collections.abc import Sequence
from dataclasses import replace

from aiq.backends.memory.get import answered
from aiq.backends.memory.holding import keep
from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_BATCH
from aiq.errors import Conflict
from aiq.model import HeldFor, JobRecord, State, none
from aiq.rules.checks import check_count


def hold(tx: Transaction, job_ids: Sequence[str]) -> list[JobRecord | None]:
    """Hold ready jobs (T21), all of them or none; one that is held stays as it is. Spec: HOLD-1, HOLD-2"""
    check_count("list of jobs", len(job_ids), MAX_BATCH)
    found = [tx.tables.jobs[job_id] for job_id in dict.fromkeys(job_ids) if job_id in tx.tables.jobs]
    for record in found:
        if record.state not in (State.READY, State.HELD):
            raise Conflict(f"Job {record.id} is {record.state}; only a ready job can be held.", reason="state")
    for record in found:
        if record.state is State.READY:
            keep(tx, record, replace(record, held=HeldFor.OPERATOR), none())
    return answered(tx, job_ids)
