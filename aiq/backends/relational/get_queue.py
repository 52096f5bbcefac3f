"""Reading what bounds a queue."""

from typing import Final

from aiq.backends.relational.admission import admission
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.model import QueueStatus

SQL: Final = load("get_queue")


def get_queue(tx: Transaction, queue: str) -> QueueStatus:
    """Read what bounds a queue, and how it stands. Spec: QUEUE-1, STORE-4"""
    row, settings = admission(tx).queues.row(queue), admission(tx).queues.settings(queue)
    paused = tx.row(SQL["paused"], {"queue": queue}) is not None
    ready = None if settings.max_ready is None else row.fresh
    return QueueStatus(name=queue, settings=settings, paused=paused, ready=ready)
