"""Removing what is kept for a while only, of jobs that stay: streams, events, minutes, use. Spec: KEEP-4 to KEEP-9."""

from dataclasses import replace

from aiq.backends.memory.transition import Transaction
from aiq.model import JobRecord
from aiq.rules.retention import excess, since_ms


def trim(tx: Transaction, limit: int) -> bool:
    """Remove at most `limit` of each kind, the oldest first, and say whether more is over."""
    _trim_streams(tx, limit)
    _trim_events(tx, limit)
    _trim_minutes(tx, limit)
    _trim_usage(tx, limit)
    return bool(_old_streams(tx) or _old_events(tx) or _old_minutes(tx) or _old_usage(tx))


def _trim_streams(tx: Transaction, limit: int) -> None:
    """Leave its last item to the stream of a job that has ended. Spec: KEEP-4"""
    for record in _old_streams(tx)[:limit]:
        stream = tx.tables.streams[record.id]
        del stream.chunks[:-1]
        stream.trimmed, stream.size = record.chunks - 1, 0
        stream.runs.clear()
        tx.tables.put(replace(record, progress=None))


def _old_streams(tx: Transaction) -> list[JobRecord]:
    tables, keep = tx.tables, tx.tables.retention.streams
    streams = [tables.jobs[job_id] for job_id, stream in tables.streams.items() if stream.size]
    found = [(record.finished_at_ms, tables.numbers[record.id], record) for record in streams if record.state.terminal]
    ended = sorted((at_ms or 0, number, record) for at_ms, number, record in found)
    many = excess(keep, len(ended))
    over_ms = since_ms(keep, tx.now_ms)
    return [record for place, (at_ms, _, record) in enumerate(ended) if place < many or at_ms <= over_ms]


def _trim_events(tx: Transaction, limit: int) -> None:
    """Remove the oldest events of the log, whosever they are. Spec: KEEP-6"""
    tables = tx.tables
    for event in tables.log.trim(min(limit, _old_events(tx))):
        rest = tables.events[event.job_id]
        del rest[0]
        if not rest:
            del tables.events[event.job_id]


def _old_events(tx: Transaction) -> int:
    """How many are to go: a clock that was set back keeps what lies behind an event that is not over yet."""
    events, keep = tx.tables.log.events, tx.tables.retention.events
    over_ms = since_ms(keep, tx.now_ms)
    young = next((place for place, event in enumerate(events) if event.at_ms > over_ms), len(events))
    return max(young, excess(keep, len(events)))


def _trim_minutes(tx: Transaction, limit: int) -> None:
    """Remove the oldest minutes. Spec: KEEP-7"""
    for place in _old_minutes(tx)[:limit]:
        del tx.tables.minutes[place]


def _old_minutes(tx: Transaction) -> list[tuple[int, str, str]]:
    minutes, keep = sorted(tx.tables.minutes), tx.tables.retention.minutes
    many, over_ms = excess(keep, len(minutes)), since_ms(keep, tx.now_ms)
    return [place for number, place in enumerate(minutes) if number < many or place[0] <= over_ms]


def _trim_usage(tx: Transaction, limit: int) -> None:
    """Remove the oldest use of tenants and of all; that of jobs and flows goes with them. Spec: KEEP-8"""
    for scope, owner, place in _old_usage(tx)[:limit]:
        rows = tx.tables.accounts.usage[scope, owner]
        del rows[place]
        if not rows:
            del tx.tables.accounts.usage[scope, owner]


def _old_usage(tx: Transaction) -> list[tuple[str, str, tuple[int, str, str]]]:
    found = [
        (place[0], scope, owner, place)
        for (scope, owner), rows in tx.tables.accounts.usage.items()
        if scope in ("all", "tenant")
        for place in rows
    ]
    keep = tx.tables.retention.usage
    many, over_ms = excess(keep, len(found)), since_ms(keep, tx.now_ms)
    rows = enumerate(sorted(found))
    return [(scope, owner, place) for number, (at, scope, owner, place) in rows if number < many or at <= over_ms]
