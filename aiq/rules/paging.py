"""Pages of jobs and of use, which all stores make alike: the cursor that one gives, and the next is asked from."""

from collections.abc import Sequence
from typing import Final, TypeAlias

from aiq.bounds import MAX_INSTANT_MS, MAX_LEVEL
from aiq.errors import InvalidInput
from aiq.model import UsageFilter, UsagePage, UsageRow

UsagePlace: TypeAlias = tuple[int, str, str]
"""Minute, model and category."""
_DIGITS: Final = 16
"""Of a number that every store keeps exactly. More of them are a number all the same, beyond all that there are."""


def job_place(cursor: str | None) -> int:
    """The place in the order of enqueueing with which a page of jobs begins. Spec: STORE-13

    Raises:
        InvalidInput: it is no cursor.
    """
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdecimal()):
        raise _no_cursor(cursor)
    return _bounded(cursor, MAX_LEVEL)


def usage_owner(query: UsageFilter) -> tuple[str, str]:
    """Whose use is asked for."""
    if query.job_id is not None:
        return "job", query.job_id
    if query.flow is not None:
        return "flow", query.flow
    return ("all", "") if query.tenant is None else ("tenant", query.tenant)


def usage_place(cursor: str | None) -> UsagePlace | None:
    """The place behind which a page of use begins.

    Raises:
        InvalidInput: it is no cursor.
    """
    if cursor is None:
        return None
    minute, _, rest = cursor.partition(" ")
    category, found, model = rest.partition(" ")
    if not (minute.isascii() and minute.isdecimal() and found):
        raise _no_cursor(cursor)
    return _bounded(minute, MAX_INSTANT_MS), model, category


def usage_row(
    minute_ms: int, model: str, category: str, tokens: int, usd_micros: int, unpriced: int, estimated: int
) -> UsageRow:
    """A row of use, from its figures in their order."""
    return UsageRow(
        minute_ms=minute_ms,
        model=model,
        category=category,
        tokens=tokens,
        usd_micros=usd_micros,
        unpriced=unpriced,
        estimated=estimated,
    )


def usage_page(found: Sequence[UsageRow], limit: int) -> UsagePage:
    """A page of rows, of which one more than `limit` was looked for. Spec: USAGE-8"""
    last = found[limit - 1] if len(found) > limit else None
    # A category has no space in it; a model may.
    cursor = None if last is None else f"{last.minute_ms} {last.category} {last.model}"
    return UsagePage(tuple(found[:limit]), cursor)


def _bounded(digits: str, most: int) -> int:
    return most if len(digits) > _DIGITS else min(int(digits), most)


def _no_cursor(cursor: str) -> InvalidInput:
    return InvalidInput(f"{cursor!r:.100} is not a cursor. Pass the one that came with the page before, or None.")
