"""Counting what happens by minute, and reading it."""

from typing import Final

from aiq.backends.relational.connection import Question
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.model import MinuteFilter, MinutePage, MinuteRow
from aiq.rules.metrics import COLUMNS, count_starts, minute_cursor, minute_place

SQL: Final = load("metrics")


def count_claimed(tx: Transaction, ns: str) -> None:
    """Count jobs that are about to be leased. Spec: METRIC-1, METRIC-2"""
    for queue, task, jobs, waited_ms, waited_most_ms in tx.table(*question_starting(tx, ns)):
        count_starts(tx.figures(queue, task), jobs, waited_ms, waited_most_ms)


def question_starting(tx: Transaction, ns: str) -> Question:
    """What `count_claimed` will ask, for `foresee`."""
    return SQL["starting"], {"ns": ns, "now_ms": tx.now_ms}


def metrics(tx: Transaction, query: MinuteFilter, cursor: str | None, limit: int) -> MinutePage:
    """Read one page of minutes, by (minute, queue, task). Spec: METRIC-4"""
    minute_ms, after_queue, after_task = minute_place(cursor)
    asked = {
        "minute_ms": minute_ms,
        "after_queue": after_queue,
        "after_task": after_task,
        "since_ms": query.since_ms or 0,
        "queue": query.queue,
        "task": query.task,
        "limit": limit + 1,
    }
    rows = [_row(*row) for row in sorted(tx.table(SQL["page"], asked))]
    last = rows[limit - 1] if len(rows) > limit else None
    return MinutePage(
        tuple(rows[:limit]), None if last is None else minute_cursor(last.minute_ms, last.queue, last.task)
    )


def _row(minute_ms: int, queue: str, task: str, *figures: int) -> MinuteRow:
    return MinuteRow(minute_ms=minute_ms, queue=queue, task=task, **dict(zip(COLUMNS, figures, strict=True)))
