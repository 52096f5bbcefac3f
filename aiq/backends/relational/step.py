"""An operation as one step: what it does, and what follows from it."""

from collections.abc import Callable
from typing import TypeVar

from aiq.backends.relational.collector import without_collector
from aiq.backends.relational.holding import let_go_on_room
from aiq.backends.relational.pause_key import call_up
from aiq.backends.relational.transaction import Transaction

T = TypeVar("T")


def make(tx: Transaction, operation: Callable[[Transaction], T]) -> T:
    """Do it within a transaction that is open, and write all that it has gathered. The commit is the store's."""
    with without_collector():
        answer = operation(tx)
        let_go_on_room(tx)
        call_up(tx)
        tx.finish()
        return answer
