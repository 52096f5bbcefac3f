"""Closing a queue to claims, and opening it again. Neither touches a job."""

from aiq.backends.memory.transition import Transaction
from aiq.rules.validation import check_name
from aiq.storage import queue_topic


def pause(tx: Transaction, queue: str) -> None:
    """Give out no job of a queue from now on. Spec: CLAIM-7, STORE-4"""
    check_name("queue", queue)
    tx.tables.paused.add(queue)


def resume(tx: Transaction, queue: str) -> None:
    """Give out jobs of a queue again, at once. Spec: STORE-4"""
    check_name("queue", queue)
    tx.tables.paused.discard(queue)
    tx.topics.add(queue_topic(queue))
