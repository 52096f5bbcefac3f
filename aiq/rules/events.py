"""Cursors of the log: a number, and the storage in whose log it counts."""

from typing import Final

from aiq.errors import ForeignCursor, InvalidInput
from aiq.model import NOW, Cause, Event, State
from aiq.rules.states import TRANSITIONS

_DIGITS: Final = 19
_ID_CHARS: Final = 16
"""Of the id of a storage, in hexadecimal digits: 64 random bits."""


def log_cursor(number: int, storage_id: str) -> str:
    """The cursor behind the event of a number."""
    return f"{number}-{storage_id}"


def log_number(cursor: str, storage_id: str, last: int) -> int:
    """The number that a cursor stands for in the log of a storage; `last` is the last that was given out there.

    Spec: EVENT-8, EVENT-9
    """
    digits, _, owner = cursor.partition("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS and _is_id(owner)):
        raise _no_cursor(cursor)
    if owner != storage_id:
        raise ForeignCursor(cursor)
    if int(digits) > last:
        raise _no_cursor(cursor)
    return int(digits)


def event_of(
    storage_id: str,
    place: int,
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
    """The event at a place of the log, from what a store keeps of it, in its order; a job that is new has no source."""
    return Event(
        cursor=log_cursor(place, storage_id),
        job_id=job_id,
        task=task,
        queue=queue,
        number=number,
        row=row,
        transition=TRANSITIONS[row].name,
        source=State(source) if source else None,
        target=State(target),
        fence=fence,
        at_ms=at_ms,
        cause=Cause(cause) if cause else None,
    )


def _is_id(text: str) -> bool:
    return len(text) == _ID_CHARS and not text.strip("0123456789abcdef")


def _no_cursor(cursor: str) -> InvalidInput:
    return InvalidInput(
        f"{cursor!r:.100} is no cursor of this storage's log. Pass the one that came with a page, {NOW!r}, or None."
    )
