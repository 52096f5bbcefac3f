"""Leasing the next jobs to a worker."""

from dataclasses import replace

from aiq.backends.memory.books import MemoryBooks
from aiq.backends.memory.data import LastClaim
from aiq.backends.memory.pause_key import call_up
from aiq.backends.memory.sweeps import end_overdue, lose_patience, promote, revoke, wake_aside
from aiq.backends.memory.transition import Transaction, move
from aiq.backends.memory.yard import MemoryYard
from aiq.bounds import CLAIM_KEPT_MS, MAX_BATCH, MAX_SWEEP
from aiq.model import ClaimRequest, JobRecord, State, Want
from aiq.rules.batches import Room
from aiq.rules.dispatch import dispatch


def claim(tx: Transaction, request: ClaimRequest) -> tuple[tuple[JobRecord, ...], bool]:
    """Lease up to `count` ready jobs of each wanted queue, after the sweeps that may make more jobs ready.

    The second answer says that more may be had at once: the claim has opened or looked at as much as one may.

    Spec: CLAIM-2, CLAIM-3, CLAIM-4, CLAIM-5, CLAIM-9, CLAIM-10, CLAIM-11, POOL-3
    """
    last = _last_claim(tx, request.worker)
    if last is not None and request.number <= last.number:
        return _again(tx, request, last), False
    end_overdue(tx, MAX_SWEEP)
    promote(tx, MAX_SWEEP)
    revoke(tx, MAX_SWEEP)
    call_up(tx)
    queues = dict.fromkeys(want.queue for want in request.wants)
    more = wake_aside(tx, queues)
    lose_patience(tx, queues, MAX_SWEEP)
    leased: list[JobRecord] = []
    room = Room()
    for want in request.wants:
        found = _dispatch(tx, want, request, leased, room)
        more = more or found
    if leased:
        _keep(tx, request, leased)
    return tuple(leased), more


def _dispatch(tx: Transaction, want: Want, request: ClaimRequest, leased: list[JobRecord], room: Room) -> bool:
    """Lease the jobs of a queue that are to be given out now, in the order of chapter 12. Spec: CLAIM-7, LIVE-1"""
    count = min(want.count, MAX_BATCH - len(leased))
    if want.queue in tx.tables.paused or want.queue not in tx.tables.lanes or not count:
        return False
    yard = MemoryYard(tx, want.queue, lambda record: leased.append(_lease(tx, record, request)))
    return dispatch(yard, MemoryBooks(tx), count, lambda record: room.takes(len(record.payload)))


def _lease(tx: Transaction, record: JobRecord, request: ClaimRequest) -> JobRecord:
    """Start a run (T3). Spec: CLAIM-1, CLAIM-8, LEASE-3"""
    leased = replace(
        record,
        state=State.RUNNING,
        fence=record.fence + 1,
        lease_id=request.lease_id,
        owner=request.worker,
        expires_at_ms=tx.now_ms + record.lease_ms,
        started_at_ms=tx.now_ms if record.started_at_ms is None else record.started_at_ms,
    )
    return move(tx, "T3", record, leased)


def _last_claim(tx: Transaction, worker: str) -> LastClaim | None:
    last = tx.tables.claims.get(worker)
    return last if last is not None and tx.now_ms < last.at_ms + CLAIM_KEPT_MS else None


def _again(tx: Transaction, request: ClaimRequest, last: LastClaim) -> tuple[JobRecord, ...]:
    """Answer a claim that was given before: its jobs that still run under it."""
    if (request.number, request.lease_id) != (last.number, last.lease_id):
        return ()
    records = [tx.tables.jobs[job_id] for job_id in last.job_ids if job_id in tx.tables.jobs]
    return tuple(record for record in records if record.lease_id == last.lease_id)


def _keep(tx: Transaction, request: ClaimRequest, leased: list[JobRecord]) -> None:
    """Keep a claim for the worker that does not hear the answer, and drop those that nobody asks for any more."""
    claims = tx.tables.claims
    claims.pop(request.worker, None)
    job_ids = tuple(record.id for record in leased)
    claims[request.worker] = LastClaim(request.number, request.lease_id, tx.now_ms, job_ids)
    while tx.now_ms >= next(iter(claims.values())).at_ms + CLAIM_KEPT_MS:
        del claims[next(iter(claims))]
