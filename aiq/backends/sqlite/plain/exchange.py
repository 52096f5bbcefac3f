"""Settling and claiming plain jobs in a few statements, see sql/plain_exchange.sql.

`relational.plain.exchange` has seen to it that all of these jobs succeed.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

import msgspec

from aiq.backends.relational.claim import keep_claim, lease_jobs, look
from aiq.backends.relational.rows import whole_records
from aiq.backends.relational.settle import settled_id
from aiq.backends.relational.statements import load
from aiq.backends.relational.sweeps import next_due_ms
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import CLAIM_KEPT_MS, MAX_BATCH, MAX_BATCH_BYTES
from aiq.model import ClaimRequest, Exchanged, JobRecord, Settled, Settlement, State, Succeeded
from aiq.rules.metrics import MINUTE_MS
from aiq.storage import job_topic

SQL: Final = load("plain_exchange")

_SETTLED: Final = Settled(State.SUCCEEDED)
_encode: Final = msgspec.json.Encoder().encode


class _Place(NamedTuple):
    """Where jobs stand that a claim is given, and how many of them it may be given."""

    queue: str
    band: int
    most: int


def exchange(tx: Transaction, settlements: Sequence[Settlement], request: ClaimRequest | None) -> Exchanged | None:
    """As `relational.exchange`, if all of it is plain. Spec: STORE-5

    Where it is not, nothing is left of it: all that is written before that is known stands in a table of its own.
    """
    bands = _bands(tx, request) if request is not None else []
    if bands is None or (settlements and not _run(tx, settlements)):
        tx.run(SQL["clear"])
        return None
    ns = _first(tx, bands)
    if ns is None:
        tx.run(SQL["clear"])
        return None
    changes = len(settlements) + len(ns)
    if changes:
        _tell(tx, settlements, changes)
    if settlements:
        _settle(tx, settlements)
    claimed = _lease(tx, request, ns) if request is not None and ns else ()
    if changes:
        tx.run(SQL["clear"])
    return Exchanged((_SETTLED,) * len(settlements), claimed, next_due_ms(tx))


def _bands(tx: Transaction, request: ClaimRequest) -> list[_Place] | None:
    """Where jobs stand for a claim; None where they have to be looked at one by one, or something is to be done
    before."""
    asked = {"worker": request.worker, "number": request.number, "forgotten_ms": tx.now_ms - CLAIM_KEPT_MS}
    if tx.rows(SQL["is_in_the_way"], {**asked, "now_ms": tx.now_ms})[0][0]:
        return None
    looks = [(want, look(tx, want)) for want in request.wants]
    if any(found.gated for _, found in looks):
        return None
    return [
        _Place(want.queue, found.band, want.count)
        for want, found in looks
        if want.count and found.band is not None and not found.paused
    ]


def _run(tx: Transaction, settlements: Sequence[Settlement]) -> bool:
    """Put down what is to be settled; False where not all of that is plain."""
    if tx.rows(SQL["any_waiting"])[0][0]:
        return False
    sizes = [len(result) for result in _results(settlements)]
    starts = accumulate(sizes[:-1], initial=2)
    given = [
        (place, one.lease.job_id, one.lease.fence, one.lease.lease_id, settled_id(one.lease, one.id), start, size)
        for place, (one, start, size) in enumerate(zip(settlements, starts, sizes, strict=True), 1)
    ]
    try:
        rows = _encode(given).decode()
    except UnicodeEncodeError:
        # A lease that no database could store: the step says what that means.
        return False
    return tx.connection.run(SQL["runs"], {"rows": rows, "now_ms": tx.now_ms}) == len(settlements)


def _results(settlements: Sequence[Settlement]) -> list[bytes]:
    return [one.outcome.result for one in settlements if isinstance(one.outcome, Succeeded)]


def _first(tx: Transaction, bands: Sequence[_Place]) -> list[int] | None:
    """Put down the jobs that come first, and answer their numbers; None where one claim may not give as many bytes."""
    room = MAX_BATCH
    for place in bands:
        wanted = place._replace(most=min(place.most, room))
        room -= tx.connection.run(SQL["first"], wanted._asdict())
    if room == MAX_BATCH:
        return []
    text, weight = tx.rows(SQL["given"])[0]
    ns: list[int] = msgspec.json.decode(text)
    return ns if weight <= MAX_BATCH_BYTES or len(ns) == 1 else None


def _tell(tx: Transaction, settlements: Sequence[Settlement], changes: int) -> None:
    """Write the log and the figures of all that moves."""
    before = tx.next_changes(changes).start - 1
    tx.run(SQL["events"], {"before": before, "now_ms": tx.now_ms})
    tx.logged += changes
    tx.run(SQL["figures"], {"minute_ms": tx.now_ms - tx.now_ms % MINUTE_MS, "now_ms": tx.now_ms})
    tx.topics.update([job_topic(settlement.lease.job_id) for settlement in settlements])


def _settle(tx: Transaction, settlements: Sequence[Settlement]) -> None:
    """End what has succeeded (T5)."""
    tx.run(SQL["succeed"], {"now_ms": tx.now_ms})
    # They begin with a byte that nobody points to: SQLite takes an empty value for none at all.
    tx.run(SQL["results"], {"results": b"\0" + b"".join(_results(settlements))})


def _lease(tx: Transaction, request: ClaimRequest, ns: Sequence[int]) -> tuple[JobRecord, ...]:
    """Start runs (T3), and keep the claim for the worker that does not hear the answer. Spec: CLAIM-1, CLAIM-3"""
    lease_jobs(tx, request, ns)
    keep_claim(tx, request, ns)
    records = tuple(whole_records(tx.connection, ns))
    tx.topics.update([job_topic(record.id) for record in records])
    return records
