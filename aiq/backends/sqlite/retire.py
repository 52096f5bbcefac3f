"""Marking a storage as moved."""

from aiq.backends.sqlite import moving
from aiq.backends.sqlite.transaction import Transaction
from aiq.errors import Conflict


def retire(tx: Transaction, moved_to: str | None) -> None:
    """Answer every write with an address from now on, or open the storage again. Spec: MOVE-3"""
    standing = moving.standing(tx).get("moved")
    if moved_to is None:
        moving.drop(tx, "moved")
    elif standing not in (None, moved_to):
        raise Conflict(f"This storage has moved to {standing} already.", reason="moved")
    else:
        moving.put(tx, "moved", moved_to)
