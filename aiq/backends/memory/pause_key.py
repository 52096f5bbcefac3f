"""Closing an ordered key, and opening it again; and letting the next of a line hold its key."""

from collections.abc import Iterator

from aiq.backends.memory.data import Tables
from aiq.backends.memory.keys import Spot
from aiq.backends.memory.transition import Transaction
from aiq.model import JobRecord, State
from aiq.rules.keys import called_up, parked
from aiq.rules.validation import check_name, check_opaque
from aiq.storage import queue_topic


def pause_key(tx: Transaction, queue: str, key: str) -> None:
    """Start nothing of a key from now on. Spec: KEY-11"""
    spot = _checked(queue, key)
    keys = tx.tables.keys
    for record in list(_ready_holders(tx, spot)):
        if record.id not in keys.aside:
            tx.tables.lanes[queue].step_out(record, tx.tables.pool(record))
            keys.aside.add(record.id)
    keys.pause(spot, paused=True)


def resume_key(tx: Transaction, queue: str, key: str) -> None:
    """Start jobs of a key again, at once. Spec: KEY-11"""
    spot = _checked(queue, key)
    keys = tx.tables.keys
    if not keys.state(spot).paused:
        return
    for record in list(_ready_holders(tx, spot)):
        keys.aside.remove(record.id)
        _join(tx, record)
    keys.pause(spot, paused=False)


def call_up(tx: Transaction) -> None:
    """Let those who go first in each line hold its key, as far as there is room, and come into their lane.

    Spec: KEY-3, KEY-4
    """
    keys = tx.tables.keys
    for spot in sorted(keys.open):
        for record in list(may_go_on(tx.tables, spot)):
            keys.take(spot, record.id)
            _join(tx, record)
    keys.open.clear()


def may_go_on(tables: Tables, spot: Spot) -> Iterator[JobRecord]:
    """Those of a line for whom there is a place at its key."""
    room = tables.keys.state(spot).room
    line = (tables.jobs[job_id] for job_id in tables.keys.first(spot, room))
    return called_up(room, ((record, record.state, parked(record.state, record.wait_key)) for record in line))


def _join(tx: Transaction, record: JobRecord) -> None:
    tx.tables.lanes[record.queue].join(record, tx.tables.pool(record))
    tx.topics.add(queue_topic(record.queue))


def _ready_holders(tx: Transaction, spot: Spot) -> Iterator[JobRecord]:
    """Those that hold a key and are ready, in the order of enqueueing. There are at most MAX_PER_KEY."""
    holders = tx.tables.keys.holders.get(spot)
    if holders is None:
        return
    for _, job_id in holders.first(len(holders)):
        record = tx.tables.jobs[job_id]
        if record.state is State.READY:
            yield record


def _checked(queue: str, key: str) -> Spot:
    check_name("queue", queue)
    check_opaque("key", key)
    return (queue, key)
