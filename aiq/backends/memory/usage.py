"""Reading what was used."""

from aiq.backends.memory.accounts import UsageKey, UsageScope, Used
from aiq.backends.memory.transition import Transaction
from aiq.errors import InvalidInput
from aiq.model import UsageFilter, UsagePage, UsageRow
from aiq.rules.checks import check_limit
from aiq.rules.validation import check_usage_filter


def usage(tx: Transaction, query: UsageFilter, cursor: str | None, limit: int) -> UsagePage:
    """Read one page of minutes, models and categories. The cursor is the place of the last row given. Spec: USAGE-8"""
    check_limit(limit)
    check_usage_filter(query)
    after = _place(cursor)
    found = tx.tables.accounts.usage.get(_scope(query), {})
    places = sorted(place for place in found if _matches(query, place) and (after is None or place > after))
    rows = tuple(_row(place, found[place]) for place in places[:limit])
    return UsagePage(rows, _cursor(places[limit - 1]) if len(places) > limit else None)


def _scope(query: UsageFilter) -> UsageScope:
    for scope, owner in (("job", query.job_id), ("flow", query.flow), ("tenant", query.tenant)):
        if owner is not None:
            return scope, owner
    return "all", ""


def _matches(query: UsageFilter, place: UsageKey) -> bool:
    if query.since_ms is not None and place[0] < query.since_ms:
        return False
    return query.until_ms is None or place[0] < query.until_ms


def _row(place: UsageKey, used: Used) -> UsageRow:
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


def _cursor(place: UsageKey) -> str:
    """A category has no space in it; a model may."""
    minute_ms, model, category = place
    return f"{minute_ms} {category} {model}"


def _place(cursor: str | None) -> UsageKey | None:
    if cursor is None:
        return None
    minute, _, rest = cursor.partition(" ")
    category, found, model = rest.partition(" ")
    if not (minute.isascii() and minute.isdecimal() and found):
        raise InvalidInput(f"{cursor!r} is not a cursor. Pass the one that came with the page before, or None.")
    return int(minute), model, category
