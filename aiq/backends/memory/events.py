"""Reading what happened."""

from collections.abc import Sequence

from aiq.backends.memory.transition import Transaction
from aiq.errors import NotFound
from aiq.model import NOW, Event, EventPage
from aiq.rules.checks import check_limit


def read_events(tx: Transaction, after: str | None, limit: int) -> EventPage:
    """Read one page of the log. Spec: EVENT-1, EVENT-3, EVENT-4, EVENT-8, EVENT-9"""
    check_limit(limit)
    log = tx.tables.log
    number = log.trimmed if after is None else log.last if after == NOW else log.number(after)
    events = log.after(number, limit)
    end = max(number, log.trimmed) + len(events)
    return EventPage(tuple(events), log.cursor(end), lost=number < log.trimmed, more=end < log.last)


def events_of(tx: Transaction, job_id: str, after: int, limit: int) -> Sequence[Event]:
    """Read the events of a job behind a number. Spec: EVENT-6"""
    check_limit(limit)
    if job_id not in tx.tables.jobs:
        raise NotFound(job_id)
    return [event for event in tx.tables.events.get(job_id, ()) if event.number > after][:limit]
