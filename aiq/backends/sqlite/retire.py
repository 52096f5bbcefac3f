"""Marking a storage as moved."""

from aiq.backends.sqlite import moving
from aiq.backends.sqlite.transaction import Transaction
from aiq.errors import Conflict


def retire(tx: Transaction, moved_to: str | None, move_id: str) -> str:
    """Answer every write with an address from now on, or open the storage again. Spec: MOVE-3"""
    found = moving.standing(tx)
    standing = found.get("moved")
    if moved_to is None:
        moving.drop(tx, "moved")
    elif standing not in (None, moved_to):
        raise Conflict(f"This storage has moved to {standing} already.", reason="moved")
    elif standing is None:
        moving.put(tx, "moved", moved_to)
        moving.put(tx, "move", move_id)
        return move_id
    return found.get("move", "")
