"""Removing what belongs to jobs that stay: results, steps and signals. Spec: KEEP-10 to KEEP-14."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from aiq.backends.relational.retention import get_retention, mark_results, results_mark
from aiq.backends.relational.rows import numbers
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_PURGED
from aiq.model import Keep
from aiq.rules.retention import going

SQL: Final = load("trim_jobs")

_Row: TypeAlias = Sequence[Any]
"""Since when it is over, its job, and what it is removed by (a number, or a key), with its key before that where there
is one."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """The statements of one kind."""

    first: str
    count: str
    forget: str
    left: str = ""


_RESULTS: Final = _Kind("results", "count_results", "drop_results")
_STEPS: Final = _Kind("steps", "count_steps", "forget_steps", "left_steps")
_SIGNALS: Final = _Kind("signals", "count_signals", "forget_signals", "left_signals")


def trim_jobs(tx: Transaction, limit: int) -> None:
    """Remove at most `limit` of each kind, the oldest first."""
    retention = get_retention(tx)
    _trim_results(tx, _old_results(tx, retention.results, min(limit, MAX_PURGED)))
    _trim(tx, _STEPS, _old(tx, _STEPS, retention.steps, {"limit": limit}))
    _trim(tx, _SIGNALS, _old(tx, _SIGNALS, retention.signals, {"limit": limit}))


def anything_to_trim_of_jobs(tx: Transaction) -> bool:
    """Whether the next upkeep has something to remove here."""
    retention, one = get_retention(tx), {"limit": 1}
    kinds = ((_STEPS, retention.steps), (_SIGNALS, retention.signals))
    return any(_old(tx, kind, keep, one) for kind, keep in kinds) or bool(_old_results(tx, retention.results, 1))


def _old(tx: Transaction, kind: _Kind, keep: Keep, asked: Mapping[str, int]) -> Sequence[_Row]:
    """Rows of a kind that are to go, the oldest first. Only where there is a bound are they counted."""
    if keep == Keep():
        return ()
    count = 0 if keep.count is None else tx.rows(SQL[kind.count], asked)[0][0]
    rows = sorted(tx.table(SQL[kind.first], asked))[: asked["limit"]]
    return rows[: going(keep, count, [row[0] for row in rows], tx.now_ms)]


def _old_results(tx: Transaction, keep: Keep, limit: int) -> Sequence[_Row]:
    """Those behind the last that was looked at: what stays then stays as long as its job."""
    if keep == Keep():
        return ()
    at_ms, n = results_mark(tx)
    return _old(tx, _RESULTS, keep, {"limit": limit, "at_ms": at_ms, "n": n, "now_ms": tx.now_ms})


def _trim_results(tx: Transaction, rows: Sequence[_Row]) -> None:
    """Let the results of jobs that have succeeded go, but those that others need. Spec: KEEP-10, KEEP-11"""
    if rows:
        tx.run(SQL[_RESULTS.forget], {"ns": numbers(n for _, n in rows)})
        mark_results(tx, rows[-1][0], rows[-1][1])


def _trim(tx: Transaction, kind: _Kind, rows: Sequence[_Row]) -> None:
    """Forget steps of jobs that have ended, or signals that no wait will take any more. Spec: KEEP-12, KEEP-13"""
    if rows:
        tx.run(SQL[kind.forget], {"numbers": numbers(number for *_, number in rows)})
        tx.run(SQL[kind.left], {"ns": numbers(sorted({row[1] for row in rows}))})
