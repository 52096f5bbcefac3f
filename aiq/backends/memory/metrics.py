"""Reading what was counted by minute."""

from aiq.backends.memory.transition import Transaction
from aiq.model import MinuteFilter, MinutePage, MinuteRow
from aiq.rules.checks import check_limit
from aiq.rules.metrics import COLUMNS, minute_cursor, minute_place


def metrics(tx: Transaction, query: MinuteFilter, cursor: str | None, limit: int) -> MinutePage:
    """Read one page of minutes, by (minute, queue, task). Spec: METRIC-4"""
    check_limit(limit)
    after, minutes = minute_place(cursor), tx.tables.minutes
    places = sorted(place for place in minutes if place > after and _matches(query, place))
    rows = tuple(
        MinuteRow(minute_ms=place[0], queue=place[1], task=place[2], **dict(zip(COLUMNS, minutes[place], strict=True)))
        for place in places[:limit]
    )
    return MinutePage(rows, minute_cursor(*places[limit - 1]) if len(places) > limit else None)


def _matches(query: MinuteFilter, place: tuple[int, str, str]) -> bool:
    minute_ms, queue, task = place
    if query.since_ms is not None and minute_ms < query.since_ms:
        return False
    return (query.queue is None or query.queue == queue) and (query.task is None or query.task == task)
