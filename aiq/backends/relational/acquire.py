"""Reserving for the calls of running jobs."""

from collections.abc import Sequence
from typing import Final

from aiq.backends.relational.admission import admission, foresee_runs
from aiq.backends.relational.holder import held_live
from aiq.backends.relational.ledger import with_first
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.errors import LeaseLost
from aiq.model import Acquired, Admitted, CallRequest
from aiq.rules import booking

SQL: Final = load("acquire")


def acquire(tx: Transaction, calls: Sequence[CallRequest]) -> list[Acquired]:
    """Reserve for each call by itself, in order; one that must wait stands in line. Spec: CALL-1 to CALL-8"""
    foresee_runs(tx, [(call.lease.job_id, call.lease.fence) for call in calls], with_first(calls))
    jobs = tx.fetch(call.lease.job_id for call in calls)
    admission(tx).ledger.fetch_calls([job.record for job in jobs], calls)
    return [_acquire(tx, call) for call in calls]


def _acquire(tx: Transaction, call: CallRequest) -> Acquired:
    job = held_live(tx, call.lease)
    if isinstance(job, LeaseLost):
        return job
    answer = booking.acquire(admission(tx).ledger, job.record, call)
    if isinstance(answer, Admitted) and not job.record.opened_calls:
        tx.later(SQL["opened"], (job.n,))
        tx.forget(job)
    return answer
