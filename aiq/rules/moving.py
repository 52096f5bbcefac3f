"""How a dump is cut into pages. Spec: MOVE-7"""

from collections.abc import Sequence
from typing import Final

from aiq.errors import InvalidInput
from aiq.model import moving
from aiq.rules.batches import page_length

BEING_LOADED: Final = "This storage is being loaded from another one. Try again when that is done."
HALF_LOADED: Final = (
    "This storage is being loaded from another one, so it is not whole. Finish that first: repeat the import."
)


def page_of(records: Sequence[moving.Record]) -> tuple[moving.Record, ...]:
    """The first records, as many as go into a page."""
    return tuple(records[: page_length(map(size_of, records))])


def size_of(record: moving.Record) -> int:
    """What a record takes of a page: the bytes that users have put into it."""
    match record:
        case moving.Job():
            return len(record.record.payload) + len(record.record.result or b"")
        case moving.Step():
            return len(record.step.value)
        case moving.Item():
            return len(record.chunk.data)
        case moving.Signal():
            return len(record.payload)
        case _:
            return 0


def cursor_at(kind: int, place: str) -> str:
    """Where a dump goes on: behind a place among the records of a kind, which the store names as it likes."""
    return f"{kind} {place}"


def place_of_cursor(cursor: str | None, kinds: int) -> tuple[int, str]:
    """Read a cursor; None is the beginning.

    Raises:
        InvalidInput: it is none.
    """
    if cursor is None:
        return 0, ""
    kind, _, place = cursor.partition(" ")
    if not (kind.isascii() and kind.isdecimal()) or int(kind) >= kinds:
        raise InvalidInput(f"{cursor!r} is not a cursor. Pass the one that came with the page before, or None.")
    return int(kind), place
