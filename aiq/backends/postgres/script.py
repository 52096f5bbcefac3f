"""What a step writes between two looks, as one script: a round trip for all of it in place of one for each statement.

Each statement is prepared on its connection once, so the script has its values only, as literals. A server logs the
text of a script that fails; so what a job works on, or has come to, never goes this way.
"""

from collections.abc import Sequence
from typing import Final

GATHERED: Final = frozenset(
    {
        "acquire.opened",
        "claim.drop",
        "claim.events",
        "claim.keep",
        "claim.lease",
        "lanes.drop_pools",
        "lanes.put_lines",
        "lanes.put_pools",
        "ledger.add_usage",
        "ledger.put_budget_states",
        "ledger.put_learned",
        "ledger.put_limit_states",
        "metrics.add",
        "report.answered",
        "reserved.put",
        "transaction.count",
        "transaction.event",
        "transaction.forget_news",
        "transaction.move",
        "transaction.settled",
        "transaction.succeed",
        "transaction.tell",
    }
)
"""The statements of most steps that have names and numbers only."""
MOST_BYTES: Final = 1 << 16
"""A statement with longer values goes by itself: as literals, bytes take twice their room."""


def execution(name: str, given: Sequence[object]) -> str | None:
    """How a prepared statement is run with some values; None if it is none of those, or if they are too long, or cannot
    stand in a text."""
    if name not in GATHERED or sum(len(value) for value in given if isinstance(value, str | bytes)) > MOST_BYTES:
        return None
    literals = [literal for value in given if (literal := _literal(value)) is not None]
    return f'EXECUTE "{name}"({", ".join(literals)})' if len(literals) == len(given) else None


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
