"""Removing what belongs to jobs that stay: results, steps and signals. Spec: KEEP-10 to KEEP-14."""

from dataclasses import replace
from typing import TypeAlias

from aiq.backends.memory.data import EndKey
from aiq.backends.memory.gone import is_needed
from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_PURGED
from aiq.model import Keep, State
from aiq.rules.retention import going

_Row: TypeAlias = tuple[int, int, int, str, str]
"""Since when it is over, the number of its job, its place in that, and the ids of the job and of itself."""


def trim_jobs(tx: Transaction, limit: int) -> bool:
    """Remove at most `limit` of each kind, the oldest first, and say whether more is over."""
    _trim_results(tx, limit)
    _trim_steps(tx, limit)
    _trim_signals(tx, limit)
    return bool(_old_results(tx, 1) or _old_steps(tx) or _old_signals(tx))


def _trim_results(tx: Transaction, limit: int) -> None:
    """Let the results of jobs that have succeeded go, but those that others need. Spec: KEEP-10, KEEP-11"""
    tables = tx.tables
    for place in _old_results(tx, min(limit, MAX_PURGED)):
        record = tables.jobs[tables.order[place[1]]]
        if not is_needed(tx, record.id):
            tables.put(replace(record, result=None))
        tables.results_mark = place


def _old_results(tx: Transaction, limit: int) -> list[EndKey]:
    """Those behind the last that was looked at: what stays then stays as long as its job."""
    keep, ended = tx.tables.retention.results, tx.tables.ended.by_state[State.SUCCEEDED]
    if keep == Keep():
        return []
    count = len(ended) - ended.place((tx.tables.results_mark[0], tx.tables.results_mark[1] + 1))
    found = [place for place in ended.after(tx.tables.results_mark, limit) if place[0] < tx.now_ms]
    return found[: going(keep, count, [at_ms for at_ms, _ in found], tx.now_ms)]


def _trim_steps(tx: Transaction, limit: int) -> None:
    """Forget steps of jobs that have ended. Spec: KEEP-12"""
    tables = tx.tables
    for *_, job_id, key in _old_steps(tx)[:limit]:
        del tables.steps[job_id][key]
        if not tables.steps[job_id]:
            del tables.steps[job_id]
            tables.put(replace(tables.jobs[job_id], remembers=False))


def _old_steps(tx: Transaction) -> list[_Row]:
    tables = tx.tables
    if tables.retention.steps == Keep():
        return []
    ended = [record for job_id in tables.steps if (record := tables.jobs[job_id]).state.terminal]
    rows: list[_Row] = [
        (record.finished_at_ms or 0, tables.numbers[record.id], place, record.id, key)
        for record in ended
        for place, key in enumerate(sorted(tables.steps[record.id]))
    ]
    return _first(tx, tables.retention.steps, rows)


def _trim_signals(tx: Transaction, limit: int) -> None:
    """Forget signals that no wait will take any more. Spec: KEEP-13, KEEP-14"""
    tables = tx.tables
    for *_, job_id, signal_id in _old_signals(tx)[:limit]:
        signal = tables.signals[job_id].pop(signal_id)
        if signal.kept:
            record = tables.jobs[job_id]
            tables.put(replace(record, kept_signals=record.kept_signals - 1))
        if not tables.signals[job_id]:
            del tables.signals[job_id]


def _old_signals(tx: Transaction) -> list[_Row]:
    tables = tx.tables
    if tables.retention.signals == Keep():
        return []
    rows: list[_Row] = []
    for job_id, signals in tables.signals.items():
        record = tables.jobs[job_id]
        for place, (signal_id, signal) in enumerate(signals.items()):
            over_ms = record.finished_at_ms if signal.over_ms is None else signal.over_ms
            if over_ms is not None:
                rows.append((over_ms, tables.numbers[job_id], place, job_id, signal_id))
    return _first(tx, tables.retention.signals, rows)


def _first(tx: Transaction, keep: Keep, rows: list[_Row]) -> list[_Row]:
    """Those that are to go, the oldest first."""
    rows.sort()
    return rows[: going(keep, len(rows), [row[0] for row in rows], tx.now_ms)]
