"""Reading what was used."""

from typing import Any, Final

from aiq.backends.relational.shelf import decoder_of
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_INSTANT_MS
from aiq.model import UsageFilter, UsagePage
from aiq.rules.paging import usage_owner, usage_page, usage_place, usage_row

SQL: Final = load("usage")

_ROW: Final[Any] = tuple[int, str, str, int, int, int, int]


def usage(tx: Transaction, query: UsageFilter, cursor: str | None, limit: int) -> UsagePage:
    """Read one page of minutes, models and categories. The cursor is the place of the last row given. Spec: USAGE-8"""
    scope, owner = usage_owner(query)
    minute_ms, model, category = usage_place(cursor) or (-1, "", "")
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
    found = [usage_row(*row) for row in sorted(tx.peek(SQL["page"], asked, decoder_of(_ROW)))]
    return usage_page(found, limit)
