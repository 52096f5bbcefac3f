"""Reading what was used."""

from aiq.backends.memory.accounts import UsageKey, Used
from aiq.backends.memory.transition import Transaction
from aiq.model import UsageFilter, UsagePage, UsageRow
from aiq.rules.checks import check_limit
from aiq.rules.paging import usage_owner, usage_page, usage_place, usage_row
from aiq.rules.validation import check_usage_filter


def usage(tx: Transaction, query: UsageFilter, cursor: str | None, limit: int) -> UsagePage:
    """Read one page of minutes, models and categories. The cursor is the place of the last row given. Spec: USAGE-8"""
    check_limit(limit)
    check_usage_filter(query)
    after = usage_place(cursor)
    found = tx.tables.accounts.usage.get(usage_owner(query), {})
    places = sorted(place for place in found if _matches(query, place) and (after is None or place > after))
    return usage_page([_row(place, found[place]) for place in places[: limit + 1]], limit)


def _matches(query: UsageFilter, place: UsageKey) -> bool:
    if query.since_ms is not None and place[0] < query.since_ms:
        return False
    return query.until_ms is None or place[0] < query.until_ms


def _row(place: UsageKey, used: Used) -> UsageRow:
    return usage_row(*place, used.tokens, used.usd_micros, used.unpriced, used.estimated)
