"""Whether a file may be written: not when it has moved, and not while it is being loaded. Spec: MOVE-3, MOVE-4"""

from typing import Final

from aiq.backends.sqlite.sql import load
from aiq.backends.sqlite.transaction import Transaction
from aiq.errors import Moved, Unavailable

SQL: Final = load("moving")


def standing(tx: Transaction) -> dict[str, str]:
    """What is noted of moves, by state: 'loading', 'moved' or 'loaded'."""
    return dict(tx.connection.execute(SQL["read"]).fetchall())


def put(tx: Transaction, state: str, told: str) -> None:
    """Note it."""
    tx.run(SQL["put"], {"state": state, "told": told})


def drop(tx: Transaction, state: str) -> None:
    """Forget it."""
    tx.run(SQL["drop"], {"state": state})


def require_open(tx: Transaction) -> None:
    """Refuse to write where nothing may be changed. One look at a table of no rows.

    Raises:
        Moved: the storage goes on elsewhere.
        Unavailable: it is being loaded.
    """
    found = standing(tx)
    if "moved" in found:
        raise Moved(found["moved"])
    if "loading" in found:
        raise Unavailable("This storage is being loaded from another one. Try again when that is done.")
