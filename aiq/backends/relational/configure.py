"""Setting what bounds a queue."""

from dataclasses import replace
from typing import Final

from aiq.backends.relational.admission import admission
from aiq.backends.relational.get_queue import get_queue
from aiq.backends.relational.put_limits import put_parts, reshape
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.model import QueueSettings, QueueStatus
from aiq.rules.limits import of_queue
from aiq.rules.standing import QUEUE
from aiq.storage import queue_topic, room_topic

SQL: Final = load("configure")


def configure(tx: Transaction, queue: str, settings: QueueSettings) -> QueueStatus:
    """Set the bounds of a queue, in the place of what was set before. Spec: QUEUE-1, QUEUE-2"""
    _put_limit(tx, queue, settings)
    fresh = tx.rows(SQL["fresh"], {"queue": queue})[0][0] if settings.max_ready is not None else 0
    more = settings.lifo - admission(tx).queues.settings(queue).lifo
    if more:
        tx.run(SQL["lifo"], {"more": more})
    admission(tx).queues.put_settings(queue, settings, fresh)
    tx.tell(queue_topic(queue))
    tx.tell(room_topic(queue))
    return get_queue(tx, queue)


def _put_limit(tx: Transaction, queue: str, settings: QueueSettings) -> None:
    """Store the limit that the settings make, in the place of the one that stood; what is left of it goes along.

    One that bounds nothing any more is kept: what its jobs have taken of it is still given back.
    """
    stored = admission(tx).ledger.limits
    old = stored.get(QUEUE + queue)
    wanted = of_queue(queue, settings)
    if wanted is None and old is not None:
        wanted = replace(old, requests=None, concurrency=None)
    if wanted is not None:
        parts = reshape(tx, old, wanted) if old is not None else {}
        stored.put(wanted.name, wanted)
        put_parts(tx, wanted.name, parts)
