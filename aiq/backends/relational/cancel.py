"""Ending jobs from outside: T14, T15 and, with force, T16."""

from collections.abc import Sequence

from aiq.backends.relational.ending import end
from aiq.backends.relational.fan_in import look_ahead
from aiq.backends.relational.moves import unchanged
from aiq.backends.relational.rows import Job
from aiq.backends.relational.sweeps import request, revoked
from aiq.backends.relational.transaction import Transaction
from aiq.errors import NotFound
from aiq.model import CancelAnswer, State


def cancel(tx: Transaction, job_ids: Sequence[str], *, force: bool) -> list[CancelAnswer]:
    """Cancel each job by itself. Spec: CANCEL-1, CANCEL-2, CANCEL-6, CANCEL-7"""
    look_ahead(tx, tx.fetch(job_ids))
    return [_cancel(tx, job_id, force=force) for job_id in job_ids]


def cancel_known(tx: Transaction, job_ids: Sequence[str], *, force: bool) -> list[CancelAnswer]:
    """The same, where all of them are stored.

    Raises:
        NotFound: one is not, and none is cancelled.
    Spec: ENQ-11
    """
    answers = cancel(tx, job_ids, force=force)
    for answer in answers:
        if answer.state is None:
            raise NotFound(answer.job_id)
    return answers


def cancel_job(tx: Transaction, job: Job, *, force: bool = False) -> State:
    """Cancel one job, or ask its run to stop; what is asked or ended already stays as it is. Says where it stands."""
    record = job.record
    if record.state.terminal:
        return record.state
    if record.state is State.RUNNING and not force:
        if record.cancel_requested_at_ms is None:
            request(tx, job)
        return State.RUNNING
    if record.state is State.RUNNING:
        revoked(tx, job)
    number = "T16" if record.state is State.RUNNING else "T14"
    end(tx, job, unchanged(record, number, State.CANCELLED))
    return State.CANCELLED


def _cancel(tx: Transaction, job_id: str, *, force: bool) -> CancelAnswer:
    job = tx.job(job_id)
    if job is None:
        return CancelAnswer(job_id, None)
    state = cancel_job(tx, job, force=force)
    return CancelAnswer(job_id, state, requested=state is State.RUNNING)
