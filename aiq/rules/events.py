"""Cursors of the log that are numbers."""

from aiq.errors import InvalidInput
from aiq.model import NOW

_DIGITS = 19


def log_number(cursor: str, last: int) -> int:
    """The number that a cursor of the log stands for; `last` is the last that was given out. Spec: EVENT-8"""
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= _DIGITS) or int(cursor) > last:
        raise InvalidInput(
            f"{cursor!r:.100} is no cursor of this storage's log. Pass the one that came with a page, {NOW!r}, or None."
        )
    return int(cursor)
