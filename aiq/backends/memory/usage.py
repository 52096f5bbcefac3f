"""Reading what was used."""

from collections import defaultdict
from typing import TypeAlias

from aiq.backends.memory.accounts import UsageKey, Used
from aiq.backends.memory.transition import Transaction
from aiq.errors import InvalidInput
from aiq.model import UsageFilter, UsagePage, UsageRow
from aiq.rules.checks import check_limit
from aiq.rules.validation import check_usage_filter

_Place: TypeAlias = tuple[int, str, str]
"""Minute, model, category."""


def usage(tx: Transaction, query: UsageFilter, cursor: str | None, limit: int) -> UsagePage:
    """Read one page of minutes, models and categories. The cursor is the place of the last row given. Spec: USAGE-8"""
    check_limit(limit)
    check_usage_filter(query)
    after = _place(cursor)
    sums: defaultdict[_Place, Used] = defaultdict(Used)
    for key, used in tx.tables.accounts.usage.items():
        if _matches(query, key) and (after is None or key[:3] > after):
            sums[key[:3]] += used
    places = sorted(sums)
    rows = tuple(_row(place, sums[place]) for place in places[:limit])
    return UsagePage(rows, _cursor(places[limit - 1]) if len(places) > limit else None)


def _matches(query: UsageFilter, key: UsageKey) -> bool:
    minute_ms, _, _, job_id, flow, tenant = key
    if query.since_ms is not None and minute_ms < query.since_ms:
        return False
    if query.until_ms is not None and minute_ms >= query.until_ms:
        return False
    asked = ((query.job_id, job_id), (query.flow, flow), (query.tenant, tenant))
    return all(wanted is None or wanted == found for wanted, found in asked)


def _row(place: _Place, used: Used) -> UsageRow:
    minute_ms, model, category = place
    return UsageRow(
        minute_ms=minute_ms,
        model=model,
        category=category,
        tokens=used.tokens,
        usd_micros=used.usd_micros,
        unpriced=used.unpriced,
        estimated=used.estimated,
    )


def _cursor(place: _Place) -> str:
    """A category has no space in it; a model may."""
    minute_ms, model, category = place
    return f"{minute_ms} {category} {model}"


def _place(cursor: str | None) -> _Place | None:
    if cursor is None:
        return None
    minute, _, rest = cursor.partition(" ")
    category, found, model = rest.partition(" ")
    if not (minute.isascii() and minute.isdecimal() and found):
        raise InvalidInput(f"{cursor!r} is not a cursor. Pass the one that came with the page before, or None.")
    return int(minute), model, category
