"""Setting what bounds a queue, and reading it."""

from dataclasses import replace

from aiq.backends.memory.put_limits import put_parts, reshape
from aiq.backends.memory.transition import Transaction
from aiq.model import LimitSpec, QueueSettings, QueueStatus
from aiq.policy.figures import check_name
from aiq.rules.limits import of_queue
from aiq.rules.validation import check_settings
from aiq.storage import queue_topic, room_topic


def configure(tx: Transaction, queue: str, settings: QueueSettings) -> QueueStatus:
    """Set the bounds of a queue, in the place of what was set before. Spec: QUEUE-1, QUEUE-2"""
    check_settings(queue, settings)
    _put_limit(tx, queue, settings)
    tx.tables.accounts.queues[queue] = settings
    tx.topics |= {queue_topic(queue), room_topic(queue)}
    return get_queue(tx, queue)


def get_queue(tx: Transaction, queue: str) -> QueueStatus:
    """Read what bounds a queue, and how it stands."""
    check_name("queue", queue)
    accounts = tx.tables.accounts
    settings = accounts.queues.get(queue, QueueSettings())
    ready = None if settings.max_ready is None else accounts.unstarted[queue]
    return QueueStatus(name=queue, settings=settings, paused=queue in tx.tables.paused, ready=ready)


def _put_limit(tx: Transaction, queue: str, settings: QueueSettings) -> None:
    """Store the limit that the settings make, in the place of the one that stood; what is left of it goes along."""
    stored = tx.tables.accounts.queue_limits
    wanted = of_queue(queue, settings)
    old = stored.get(f"queue:{queue}")
    if wanted is None and old is None:
        return
    new = wanted or replace(old or LimitSpec(name=""), requests=None, concurrency=None)
    parts = reshape(tx, old, new) if old is not None else {}
    stored[new.name] = new
    put_parts(tx, new.name, parts)
