"""Leasing the next jobs to a worker."""

import json
from collections.abc import Sequence
from typing import Final

from aiq.backends.sqlite.rows import Row, numbers, whole_records
from aiq.backends.sqlite.sql import load
from aiq.backends.sqlite.sweeps import promote, revoke
from aiq.backends.sqlite.transaction import Transaction
from aiq.bounds import CLAIM_KEPT_MS, MAX_BATCH, MAX_SWEEP
from aiq.model import ClaimRequest, JobRecord, State, Want
from aiq.rules.batches import Room
from aiq.rules.states import check
from aiq.storage import job_topic

SQL: Final = load("claim")


def claim(tx: Transaction, request: ClaimRequest) -> tuple[JobRecord, ...]:
    """Lease up to `count` ready jobs of each wanted queue, after promoting and revoking what is due.

    Spec: CLAIM-2, CLAIM-9, CLAIM-10, CLAIM-11
    """
    again = claimed_before(tx, request)
    if again is not None:
        return again
    promote(tx, MAX_SWEEP)
    revoke(tx, MAX_SWEEP)
    ns: list[int] = []
    room = Room()
    for want in request.wants:
        rows = _next(tx, want, MAX_BATCH - len(ns))
        ns += _lease(tx, request, [row for row in rows if room.takes(row[-1])])
    if not ns:
        return ()
    changes = tx.next_changes(len(ns))
    tx.run(SQL["events"], {"ns": numbers(ns), "first_change": changes.start, "now_ms": tx.now_ms})
    _keep(tx, request, ns)
    return tuple(whole_records(tx.connection, ns))


def claimed_before(tx: Transaction, request: ClaimRequest) -> tuple[JobRecord, ...] | None:
    """The answer to a claim that was given before: its jobs that still run under it. None for a new claim.

    Spec: CLAIM-3, CLAIM-4, CLAIM-5
    """
    last = tx.row(SQL["last"], {"worker": request.worker, "forgotten_ms": tx.now_ms - CLAIM_KEPT_MS})
    if last is None or request.number > last[0]:
        return None
    if (request.number, request.lease_id) != last[:2]:
        return ()
    rows = sorted(tx.table(SQL["still_running"], {"ns": last[2], "lease_id": request.lease_id}))
    return tuple(whole_records(tx.connection, [n for _, n in rows]))


def any_ready(tx: Transaction, wants: Sequence[Want]) -> bool:
    """Whether a claim would be given something that is ready now."""
    queues = [want.queue for want in wants if want.count]
    return tx.row(SQL["any_ready"], {"queues": json.dumps(queues)}) is not None


def _next(tx: Transaction, want: Want, count: int) -> Sequence[Row]:
    """The jobs of a queue that come first. Spec: CLAIM-6, CLAIM-7, LIVE-1"""
    if not (want.count and count):
        return []
    return sorted(tx.table(SQL["next"], {"queue": want.queue, "count": min(want.count, count)}))


def _lease(tx: Transaction, request: ClaimRequest, rows: Sequence[Row]) -> list[int]:
    """Start runs (T3). Spec: CLAIM-1, CLAIM-8, LEASE-3"""
    ns = [n for _, _, _, n, _, _ in rows]
    if ns:
        check("T3", State.READY, State.RUNNING)
        lease = {"lease_id": request.lease_id, "worker": request.worker, "now_ms": tx.now_ms}
        tx.run(SQL["lease"], {"ns": numbers(ns), **lease})
        tx.topics.update([job_topic(job_id) for _, _, _, _, job_id, _ in rows])
    return ns


def _keep(tx: Transaction, request: ClaimRequest, ns: Sequence[int]) -> None:
    """Keep a claim for the worker that does not hear the answer, and drop those that nobody asks for any more."""
    tx.run(SQL["drop"], {"forgotten_ms": tx.now_ms - CLAIM_KEPT_MS})
    tx.run(
        SQL["keep"],
        {
            "worker": request.worker,
            "number": request.number,
            "lease_id": request.lease_id,
            "jobs": numbers(ns),
            "now_ms": tx.now_ms,
        },
    )
