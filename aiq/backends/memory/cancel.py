"""Ending jobs from outside: T14, T15 and, with force, T16."""

from collections.abc import Sequence
from dataclasses import replace

from aiq.backends.memory.books import MemoryBooks
from aiq.backends.memory.ending import end
from aiq.backends.memory.transition import Transaction, move
from aiq.bounds import MAX_BATCH
from aiq.model import CancelAnswer, JobRecord, State
from aiq.rules.closing import revoke_run
from aiq.rules.validation import check_count


def cancel(tx: Transaction, job_ids: Sequence[str], *, force: bool) -> list[CancelAnswer]:
    """Cancel each job by itself. Spec: CANCEL-1, CANCEL-2, CANCEL-6, CANCEL-7"""
    check_count("list of jobs", len(job_ids), MAX_BATCH)
    return [_cancel(tx, job_id, force=force) for job_id in job_ids]


def _cancel(tx: Transaction, job_id: str, *, force: bool) -> CancelAnswer:
    record = tx.tables.jobs.get(job_id)
    if record is None:
        return CancelAnswer(job_id, None)
    record = cancel_job(tx, record, force=force)
    return CancelAnswer(job_id, record.state, requested=record.state is State.RUNNING)


def cancel_job(tx: Transaction, record: JobRecord, *, force: bool = False) -> JobRecord:
    """Cancel one job, or ask its run to stop; what is asked or ended already stays as it is."""
    if record.state.terminal:
        return record
    if record.state is not State.RUNNING:
        return end(tx, "T14", record, replace(record, state=State.CANCELLED))
    if force:
        revoke_run(MemoryBooks(tx), record)
        return end(tx, "T16", record, replace(record, state=State.CANCELLED))
    if record.cancel_requested_at_ms is not None:
        return record
    return move(tx, "T15", record, replace(record, cancel_requested_at_ms=tx.now_ms))
