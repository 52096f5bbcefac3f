"""Marking a storage as moved, and whether it may be written. Spec: MOVE-3, MOVE-4"""

from typing import Final

from aiq.backends.relational.connection import Question
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.errors import Conflict, Moved, Unavailable
from aiq.rules.moving import BEING_LOADED, HALF_LOADED

SQL: Final = load("retire")

MARKS: Final[Question] = (SQL["read"], {})
"""What asks whether the storage may be written: every step does."""
LEFT: Final = "left"
"""What `marks` says where jobs were left."""


class JobsLeft(Exception):
    """Jobs were left in transactions of their callers, and have to be stored before a step is made."""


def retire(tx: Transaction, moved_to: str | None, move_id: str) -> str:
    """Answer every write with an address from now on, or open the storage again. Spec: MOVE-3, MOVE-9"""
    found = marks(tx)
    standing = found.get("moved")
    if moved_to is None:
        unmark(tx, "moved")
    elif LEFT in found and standing is None and "loading" not in found:
        # Nobody could store them here afterwards.
        raise JobsLeft
    elif "loading" in found:
        raise Unavailable(HALF_LOADED)
    elif standing not in (None, moved_to):
        raise Conflict(f"This storage has moved to {standing} already.", reason="moved")
    elif standing is None:
        mark(tx, "moved", moved_to)
        mark(tx, "move", move_id)
        return move_id
    return found.get("move", "")


def require_open(tx: Transaction) -> bool:
    """Refuse to write where nothing may be changed, and tell whether jobs were left. One look at tables of no rows.

    Raises:
        Moved: the storage goes on elsewhere.
        Unavailable: it is being loaded.
    Spec: MOVE-3, MOVE-4
    """
    found = marks(tx)
    if "moved" in found:
        raise Moved(found["moved"])
    if "loading" in found:
        raise Unavailable(BEING_LOADED)
    return LEFT in found


def marks(tx: Transaction) -> dict[str, str]:
    """What is noted of moves: under 'loading', 'moved', 'move' or 'loaded'. And under 'left' that jobs were left."""
    return {row[0]: row[1] for row in tx.connection.rows(*MARKS)}


def mark(tx: Transaction, name: str, told: str) -> None:
    """Note it."""
    tx.run(SQL["put"], {"state": name, "told": told})


def unmark(tx: Transaction, name: str) -> None:
    """Forget it."""
    tx.run(SQL["drop"], {"state": name})
