"""Closing a queue to claims, and opening it again. Neither touches a job."""

from typing import Final

from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.storage import queue_topic

SQL: Final = load("pause")


def pause(tx: Transaction, queue: str) -> None:
    """Give out no job of a queue from now on. Spec: CLAIM-7, STORE-4"""
    tx.run(SQL["set"], {"name": queue, "paused": True})


def resume(tx: Transaction, queue: str) -> None:
    """Give out jobs of a queue again, at once. Spec: STORE-4"""
    tx.run(SQL["set"], {"name": queue, "paused": False})
    # A change without a row: other processes see that something is worth a look.
    tx.next_change()
    tx.topics.add(queue_topic(queue))
