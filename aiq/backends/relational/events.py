"""Reading what happened."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Final

from aiq.backends.relational.read import place_of
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.model import NOW, Event, EventPage
from aiq.rules.events import event_of, log_cursor, log_number

SQL: Final = load("events")


def read_events(tx: Transaction, after: str | None, limit: int) -> EventPage:
    """Read one page of the log. The cursor has the number of the last event given.

    Spec: EVENT-1, EVENT-3, EVENT-4, EVENT-8, EVENT-9
    """
    trimmed, newest, last, storage_id = tx.rows(SQL["span"])[0]
    number = trimmed if after is None else newest if after == NOW else log_number(after, storage_id, last)
    rows = sorted(tx.table(SQL["page"], {"after": number, "limit": limit}), key=itemgetter(0))
    end = rows[-1][0] if rows else max(number, trimmed)
    events = tuple(event_of(storage_id, *row) for row in rows)
    return EventPage(events, log_cursor(end, storage_id), lost=number < trimmed, more=bool(rows) and end < newest)


def events_of(tx: Transaction, job_id: str, after: int, limit: int) -> Sequence[Event]:
    """Read the events of a job behind a number. Spec: EVENT-6"""
    n = place_of(tx, job_id).n
    storage_id = tx.rows(SQL["span"])[0][3]
    rows = sorted(tx.table(SQL["of_job"], {"n": n, "after": after, "limit": limit}), key=itemgetter(0))
    return [event_of(storage_id, *row) for row in rows]
