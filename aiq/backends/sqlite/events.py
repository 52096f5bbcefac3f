"""Reading what happened."""

from collections.abc import Sequence
from typing import Any, Final

from aiq.backends.sqlite.read import place_of
from aiq.backends.sqlite.sql import load
from aiq.backends.sqlite.transaction import Transaction
from aiq.model import NOW, Cause, Event, EventPage, State
from aiq.rules.events import log_number
from aiq.rules.states import TRANSITIONS

SQL: Final = load("events")


def read_events(tx: Transaction, after: str | None, limit: int) -> EventPage:
    """Read one page of the log. The cursor is the number of the last event given.

    Spec: EVENT-1, EVENT-3, EVENT-4, EVENT-8
    """
    trimmed, newest, last = tx.rows(SQL["span"])[0]
    number = trimmed if after is None else newest if after == NOW else log_number(after, last)
    events = _events(tx.table(SQL["page"], {"after": number, "limit": limit}))
    cursor = events[-1].cursor if events else str(max(number, trimmed))
    return EventPage(tuple(events), cursor, lost=number < trimmed, more=bool(events) and int(cursor) < newest)


def events_of(tx: Transaction, job_id: str, after: int, limit: int) -> Sequence[Event]:
    """Read the events of a job behind a number. Spec: EVENT-6"""
    n, _, _ = place_of(tx, job_id)
    return _events(tx.table(SQL["of_job"], {"n": n, "after": after, "limit": limit}))


# Any: the columns are of as many types as fields.
def _events(rows: list[list[Any]]) -> list[Event]:
    return [_event(*row) for row in sorted(rows, key=lambda row: int(row[0]))]


def _event(
    change: int,
    job_id: str,
    task: str,
    queue: str,
    number: int,
    row: str,
    source: str | None,
    target: str,
    fence: int,
    at_ms: int,
    cause: str | None,
) -> Event:
    return Event(
        cursor=str(change),
        job_id=job_id,
        task=task,
        queue=queue,
        number=number,
        row=row,
        transition=TRANSITIONS[row].name,
        source=None if source is None else State(source),
        target=State(target),
        fence=fence,
        at_ms=at_ms,
        cause=None if cause is None else Cause(cause),
    )
