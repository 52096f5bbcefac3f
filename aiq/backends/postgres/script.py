"""What a step writes between two looks, as one script: a round trip for all of it in place of one for each statement.

Each statement is prepared on its connection once, so the script has its values only, as literals.
"""

from collections.abc import Sequence
from typing import Final

MOST_BYTES: Final = 1 << 16
"""A statement with longer values goes by itself: as literals, bytes take twice their room."""


def execution(name: str, given: Sequence[object]) -> str | None:
    """How a prepared statement is run with some values; None if they are too long for it, or cannot stand in a text."""
    if sum(len(value) for value in given if isinstance(value, str | bytes)) > MOST_BYTES:
        return None
    literals = [_literal(value) for value in given]
    if any(literal is None for literal in literals):
        return None
    values = ", ".join(literal for literal in literals if literal is not None)
    return f'EXECUTE "{name}"({values})' if values else f'EXECUTE "{name}"'


def _literal(value: object) -> str | None:
    """A value of no type, which takes that of its parameter. What it is does not depend on the server's settings."""
    match value:
        case None:
            return "NULL"
        case int():
            # What is true is 1 where a number is wanted, and where a truth is.
            return f"'{int(value)}'"
        case str() if "\0" not in value:
            escaped = value.replace("\\", "\\\\").replace("'", "''")
            return f"E'{escaped}'"
        case bytes():
            return f"E'\\\\x{value.hex()}'"
        case _:
            return None
