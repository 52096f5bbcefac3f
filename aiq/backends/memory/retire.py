"""Marking a storage as moved."""

from aiq.backends.memory.transition import Transaction
from aiq.errors import Conflict, Moved, Unavailable
from aiq.rules.moving import BEING_LOADED, HALF_LOADED


def retire(tx: Transaction, moved_to: str | None, move_id: str) -> str:
    """Answer every write with an address from now on, or open the storage again. Spec: MOVE-3, MOVE-9"""
    standing = tx.tables.moved_to
    if moved_to is not None and tx.tables.loading is not None:
        raise Unavailable(HALF_LOADED)
    if moved_to is not None and standing not in (None, moved_to):
        raise Conflict(f"This storage has moved to {standing} already.", reason="moved")
    if standing is None:
        tx.tables.move_id = move_id
    tx.tables.moved_to = moved_to
    return tx.tables.move_id


def require_open(tx: Transaction) -> None:
    """Refuse to write where nothing may be changed.

    Raises:
        Moved: the storage goes on elsewhere.
        Unavailable: it is being loaded.
    Spec: MOVE-3, MOVE-4
    """
    if tx.tables.moved_to is not None:
        raise Moved(tx.tables.moved_to)
    if tx.tables.loading is not None:
        raise Unavailable(BEING_LOADED)
