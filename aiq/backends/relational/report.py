"""Counting what calls have used."""

from collections.abc import Sequence
from typing import Final

from aiq.backends.relational.admission import admission, foresee_runs
from aiq.backends.relational.graves import graves
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.errors import LeaseLost
from aiq.model import CallState, Report, Reported, State
from aiq.rules import closing
from aiq.rules.leases import lost

SQL: Final = load("report")


def report(tx: Transaction, reports: Sequence[Report]) -> list[Reported | LeaseLost]:
    """Take each report by itself, in order. Spec: CALL-9 to CALL-14, USAGE-1 to USAGE-6, LEASE-1"""
    ledger = admission(tx).ledger
    calls = [(told.lease.job_id, told.lease.fence, told.call) for told in reports]
    runs = [(job_id, fence) for job_id, fence, _ in calls]
    foresee_runs(tx, runs, calls)
    jobs = tx.fetch(job_id for job_id, _ in runs)
    ledger.reserved.fetch(calls)
    ledger.fetch_ends([job.record for job in jobs])
    return [_report(tx, told) for told in reports]


def _report(tx: Transaction, told: Report) -> Reported | LeaseLost:
    job = tx.job(told.lease.job_id)
    record = None if job is None else job.record
    current = lost(record, told.lease) is None
    answer = closing.report(admission(tx).ledger, record, told, current=current)
    used = told.state is CallState.SETTLED and any(usage.tokens for usage in told.used)
    if job is not None and current and used and job.record.deferred_at_ms is not None:
        # A call that a provider has answered ends the row of deferrals. Spec: DEFER-2
        tx.later(SQL["answered"], (job.n,))
        tx.forget(job)
    if job is not None and job.record.state is State.DEAD:
        graves(tx).used(job.n)
    return answer
