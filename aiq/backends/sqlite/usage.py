"""Reading what was used."""

from typing import Any, Final

from aiq.backends.sqlite.shelf import decoder_of
from aiq.backends.sqlite.sql import load
from aiq.backends.sqlite.transaction import Transaction
from aiq.bounds import MAX_INSTANT_MS
from aiq.errors import InvalidInput
from aiq.model import UsageFilter, UsagePage, UsageRow

SQL: Final = load("usage")

_ROW: Final[Any] = tuple[int, str, str, int, int, int, int]


def usage(tx: Transaction, query: UsageFilter, cursor: str | None, limit: int) -> UsagePage:
    """Read one page of minutes, models and categories. The cursor is the place of the last row given. Spec: USAGE-8"""
    scope, owner = _owner(query)
    minute_ms, model, category = _place(cursor)
    asked = {
        "scope": scope,
        "owner": owner,
        "since_ms": max(minute_ms, query.since_ms or 0),
        "until_ms": MAX_INSTANT_MS if query.until_ms is None else query.until_ms,
        "minute_ms": minute_ms,
        "model": model,
        "category": category,
        "limit": limit + 1,
    }
    found = [_row(row) for row in sorted(tx.peek(SQL["page"], asked, decoder_of(_ROW)))]
    return UsagePage(tuple(found[:limit]), _cursor(found[limit - 1]) if len(found) > limit else None)


def _owner(query: UsageFilter) -> tuple[str, str]:
    for scope, owner in (("job", query.job_id), ("flow", query.flow), ("tenant", query.tenant)):
        if owner is not None:
            return scope, owner
    return "all", ""


def _row(row: tuple[int, str, str, int, int, int, int]) -> UsageRow:
    minute_ms, model, category, tokens, usd_micros, unpriced, estimated = row
    return UsageRow(
        minute_ms=minute_ms,
        model=model,
        category=category,
        tokens=tokens,
        usd_micros=usd_micros,
        unpriced=unpriced,
        estimated=estimated,
    )


def _cursor(row: UsageRow) -> str:
    """A category has no space in it; a model may."""
    return f"{row.minute_ms} {row.category} {row.model}"


def _place(cursor: str | None) -> tuple[int, str, str]:
    if cursor is None:
        return (-1, "", "")
    minute, _, rest = cursor.partition(" ")
    category, found, model = rest.partition(" ")
    if not (minute.isascii() and minute.isdecimal() and found):
        raise InvalidInput(f"{cursor!r} is not a cursor. Pass the one that came with the page before, or None.")
    return (min(int(minute), MAX_INSTANT_MS), model, category)
