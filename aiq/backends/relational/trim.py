"""Removing what is kept for a while only, of jobs that stay: streams, events, minutes, use. Spec: KEEP-4 to KEEP-9."""

from collections.abc import Sequence
from typing import Final

from aiq.backends.relational.connection import Parameters
from aiq.backends.relational.gone import SQL as GONE
from aiq.backends.relational.gone import remove_long
from aiq.backends.relational.retention import SQL, get_retention
from aiq.backends.relational.rows import numbers
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_PURGED_BYTES, MAX_PURGED_ROWS
from aiq.model import Keep
from aiq.rules.retention import excess, since_ms

_COUNT: Final = {"streams": "count_streams", "minutes": "count_minutes", "usage": "count_usage"}
"""What counts the rows of a kind. Only where there is a bound are they counted."""


def trim(tx: Transaction, limit: int) -> None:
    """Remove at most `limit` of each kind, the oldest first."""
    retention = get_retention(tx)
    _trim_streams(tx, _old(tx, "streams", retention.streams, limit))
    _trim_events(tx, _old_events(tx, retention.events, limit))
    for minute in _old(tx, "minutes", retention.minutes, limit):
        tx.later(SQL["forget_minutes"], minute)
    for row in _old(tx, "usage", retention.usage, limit):
        tx.later(SQL["forget_usage"], row)


def anything_to_trim(tx: Transaction) -> bool:
    """Whether the next upkeep has something to remove here."""
    retention = get_retention(tx)
    first: Parameters = {"limit": 1}
    oldest = [(SQL[name], first) for name in ("oldest_events", "minutes", "usage")]
    tx.foresee([*oldest, (SQL["count_events"], {})])
    kinds = (("streams", retention.streams), ("minutes", retention.minutes), ("usage", retention.usage))
    return bool(_old_events(tx, retention.events, 1)) or any(_old(tx, kind, keep, 1) for kind, keep in kinds)


def _old(tx: Transaction, kind: str, keep: Keep, limit: int) -> list[list[int | str]]:
    """Rows of a kind that are to go, the oldest first. The first column is the instant."""
    over_ms = since_ms(keep, tx.now_ms)
    many = 0 if keep.count is None else excess(keep, tx.rows(SQL[_COUNT[kind]])[0][0])
    if not many and over_ms < 0:
        return []
    rows = sorted(tx.table(SQL[kind], {"limit": limit}))
    return [row for place, row in enumerate(rows) if place < many or row[0] <= over_ms]


def _trim_streams(tx: Transaction, rows: Sequence[Sequence[int | str]]) -> None:
    """Leave its last item to the stream of a job that has ended, the oldest items first. Spec: KEEP-4"""
    if rows:
        ns = numbers(int(n) for _, n in rows)
        statements = (SQL["old_chunks"], GONE["forget_chunks"])
        remove_long(tx, statements, {"ns": ns, "room": MAX_PURGED_ROWS}, MAX_PURGED_BYTES)
        tx.run(SQL["trimmed_streams"], {"ns": ns})


def _old_events(tx: Transaction, keep: Keep, limit: int) -> list[int]:
    """The numbers of those that are to go. One that is not over keeps those behind it, whatever the clock did."""
    rows = sorted(tx.table(SQL["oldest_events"], {"limit": limit}))
    over_ms = since_ms(keep, tx.now_ms)
    old = next((place for place, (_, at_ms) in enumerate(rows) if at_ms > over_ms), len(rows))
    many = 0 if keep.count is None else excess(keep, tx.rows(SQL["count_events"])[0][0] + tx.logged)
    return [change for change, _ in rows[: max(old, many)]]


def _trim_events(tx: Transaction, changes: Sequence[int]) -> None:
    """Remove the oldest events of the log, whosever they are. Spec: KEEP-6"""
    if changes:
        tx.run(SQL["trim_events"], {"last": changes[-1]})
        tx.run(SQL["trimmed_events"], {"count": len(changes), "last": changes[-1]})
