"""Counting what calls have used."""

from collections.abc import Sequence
from dataclasses import replace

from aiq.backends.memory.books import MemoryBooks
from aiq.backends.memory.deaths import count_waste
from aiq.backends.memory.transition import Transaction
from aiq.errors import LeaseLost
from aiq.model import CallState, Report, Reported, State
from aiq.rules import closing
from aiq.rules.leases import lost
from aiq.rules.validation import check_reports


def report(tx: Transaction, reports: Sequence[Report]) -> list[Reported | LeaseLost]:
    """Take each report by itself, in order. Spec: CALL-9 to CALL-14, USAGE-1 to USAGE-6, LEASE-1"""
    check_reports(reports)
    return [_report(tx, told) for told in reports]


def _report(tx: Transaction, told: Report) -> Reported | LeaseLost:
    record = tx.tables.jobs.get(told.lease.job_id)
    current = lost(record, told.lease) is None
    answer = closing.report(MemoryBooks(tx), record, told, current=current)
    used = told.state is CallState.SETTLED and any(usage.tokens for usage in told.used)
    if record is not None and current and used and record.deferred_at_ms is not None:
        # A call that a provider has answered ends the row of deferrals. Spec: DEFER-2
        tx.tables.put(replace(record, deferred_at_ms=None))
    if record is not None and record.state is State.DEAD:
        count_waste(tx, record.id)
    return answer
