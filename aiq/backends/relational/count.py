"""Counting jobs."""

from aiq.backends.relational.read import SQL
from aiq.backends.relational.transaction import Transaction
from aiq.model import Counts, State


def count(tx: Transaction, queue: str | None) -> Counts:
    """Count jobs by queue and state; what is not there is not named. Spec: STATE-3"""
    counts: dict[str, dict[State, int]] = {}
    for name, state, number in tx.table(SQL["count"], {"queue": queue}):
        counts.setdefault(name, {})[State(state)] = number
    return counts
