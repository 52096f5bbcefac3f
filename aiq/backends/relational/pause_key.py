"""Closing an ordered key, and opening it again; and letting the next of a line hold its key."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import msgspec

from aiq.backends.relational.keys import SQL, Keys, Spot, keep_out, keys_of, put_stand
from aiq.backends.relational.moves import join, leave
from aiq.backends.relational.rows import Job
from aiq.backends.relational.shelf import decoder_of
from aiq.backends.relational.transaction import Transaction
from aiq.model import State
from aiq.rules.keys import Stand, called_up, parked
from aiq.storage import queue_topic

_FIRST: Final[Any] = tuple[int, int, int, int, str, State, str | None]
"""Which key was asked for; the place in its line; id, state and wait key of a job."""


def pause_key(tx: Transaction, queue: str, key: str) -> None:
    """Start nothing of a key from now on. Spec: KEY-11"""
    for job in _ready_holders(tx, queue, key):
        if job.keyed is not None and not job.keyed.aside:
            keep_out(tx, job.n)
            leave(tx, job)
            tx.forget(job)
    _put_paused(tx, (queue, key), paused=True)


def resume_key(tx: Transaction, queue: str, key: str) -> None:
    """Start jobs of a key again, at once. Spec: KEY-11"""
    if not keys_of(tx).state((queue, key)).paused:
        return
    for job in _ready_holders(tx, queue, key):
        _let_in(tx, job)
    _put_paused(tx, (queue, key), paused=False)


def call_up(tx: Transaction) -> None:
    """Let those who go first in each line hold its key, as far as there is room, and come into their lane.

    Spec: KEY-3, KEY-4
    """
    keys = tx.keys
    if keys is None or not keys.open:
        return
    spots = [spot for spot in sorted(keys.open) if keys.state(spot).waits]
    keys.open.clear()
    if not spots:
        return
    called = [(spot, name) for spot, line in _first(tx, spots) for name in called_up(keys.state(spot).room, line)]
    jobs = {job.record.id: job for job in tx.fetch(job_id for _, job_id in called)}
    for spot, job_id in called:
        _take(tx, keys, spot, jobs[job_id])


def _first(tx: Transaction, spots: Sequence[Spot]) -> Iterator[tuple[Spot, list[tuple[str, State, bool]]]]:
    """Of each line as many jobs as there is room for in any: who each is, its state, whether it is parked."""
    tx.flush()
    count = max(keys_of(tx).state(spot).room for spot in spots)
    asked = {"keys": msgspec.json.encode(spots).decode(), "count": count}
    for at, line in groupby(sorted(tx.peek(SQL["first"], asked, decoder_of(_FIRST))), key=itemgetter(0)):
        yield spots[at], [(job_id, state, parked(state, wait_key)) for *_, job_id, state, wait_key in line]


def _take(tx: Transaction, keys: Keys, spot: Spot, job: Job) -> None:
    keyed = job.keyed
    assert keyed is not None
    put_stand(tx, job.n, Stand.HOLDS, keyed.turn, keyed.branch)
    keys.put(spot, keys.state(spot).moved(keyed.stand, Stand.HOLDS))
    _let_in(tx, job)


def _let_in(tx: Transaction, job: Job) -> None:
    """Let a ready job come into its lane, in the place that it has had since it became ready."""
    record = job.record
    tx.later(SQL["let_in"], (job.n,))
    tx.forget(job)
    join(tx, job, record, (record.lane, record.position, record.id))
    tx.tell(queue_topic(record.queue))


def _put_paused(tx: Transaction, spot: Spot, *, paused: bool) -> None:
    keys = keys_of(tx)
    keys.put(spot, msgspec.structs.replace(keys.state(spot), paused=paused))


def _ready_holders(tx: Transaction, queue: str, key: str) -> list[Job]:
    """Those that hold a key and are ready, in the order of enqueueing. There are at most MAX_PER_KEY."""
    found = sorted(tx.table(SQL["ready_holders"], {"queue": queue, "order_key": key}))
    return tx.fetch(job_id for *_, job_id in found)
