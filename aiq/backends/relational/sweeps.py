"""Bounded acts of maintenance: what an instant that has come does to jobs. Safe to repeat at any time."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from aiq.backends.relational.admission import admission
from aiq.backends.relational.connection import Question
from aiq.backends.relational.ending import end
from aiq.backends.relational.fan_in import look_ahead
from aiq.backends.relational.moves import add_error, add_event, move, unchanged
from aiq.backends.relational.rows import Job, ids
from aiq.backends.relational.statements import load
from aiq.backends.relational.steps import remember
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import CANCEL_GRACE_MS, MAX_INSTANT_MS
from aiq.model import Cause, Lane, State, Step, StepKind
from aiq.rules.closing import revoke_run
from aiq.rules.deadlines import deadline_passed
from aiq.rules.failures import lease_expired
from aiq.rules.routes import freer_route, patience_anew_ms
from aiq.rules.settling import Change, after_expiry, after_grace
from aiq.rules.states import check

SQL: Final = load("sweeps")
CANCEL: Final = load("cancel")


def promote(tx: Transaction, limit: int) -> int:
    """Make scheduled jobs ready whose instant has come (T2), in the lane they were scheduled for. Spec: TIME-3"""
    return _sweep(tx, "due", limit, _promote)


def revoke(tx: Transaction, limit: int) -> int:
    """End runs whose lease has expired (T9). Spec: LIVE-2, RETRY-7, RETRY-8, LEASE-9"""
    return _sweep(tx, "expired", limit, _revoke)


def time_out(tx: Transaction, limit: int) -> int:
    """End waits for a signal that did not come in time (T13). Spec: SIG-7, SIG-8"""
    return _sweep(tx, "timed_out", limit, _time_out)


def end_graces(tx: Transaction, limit: int) -> int:
    """End running jobs that did not heed a request (T16, T23), live lease or not. Spec: CANCEL-5, LEASE-7"""
    return _sweep(tx, "unheeded", limit, _end_grace)


def end_overdue(tx: Transaction, limit: int) -> int:
    """End jobs whose deadline has passed (T23), and ask those that run to stop (T15). Spec: DEADLINE-2 to DEADLINE-4"""
    return _sweep(tx, "overdue", limit, _end_overdue)


def revoked(tx: Transaction, job: Job) -> None:
    """Charge what a run has reserved that loses its lease. Spec: CALL-13, BUDGET-4"""
    ledger = admission(tx).ledger
    if ledger.concerns(job.record.id, job.record.fence):
        revoke_run(ledger, job.record)


def request(tx: Transaction, job: Job) -> None:
    """Ask a run to stop (T15). Spec: CANCEL-2, DEADLINE-4"""
    check("T15", job.record.state, State.RUNNING)
    tx.later(CANCEL["request"], {"n": job.n})
    add_event(tx, job, "T15", State.RUNNING)
    tx.forget(job)


def lose_patience(tx: Transaction, limit: int, queues: Sequence[str] | None = None) -> int:
    """Give ready jobs another route whose patience with a parked pool is over (T19); say how many.

    At most `limit` are looked at, of some queues or of all. One whose pool is not parked, or that has no freer route,
    waits anew. Spec: ROUTE-5
    """
    over = sorted(tx.table(*question_impatient(tx, limit, queues)))
    jobs = tx.fetch(job_id for _, job_id in over)
    return sum([_lose_patience(tx, job) for job in jobs])


def question_impatient(tx: Transaction, limit: int, queues: Sequence[str] | None) -> Question:
    """What `lose_patience` will ask, for `foresee`."""
    return SQL["impatient"], {"now_ms": tx.now_ms, "limit": limit, "queues": None if queues is None else ids(queues)}


def anybody_impatient(tx: Transaction) -> bool:
    """Whether upkeep has a job to look at whose patience is over: nobody waits for that, so it is not among what is
    due."""
    return bool(tx.rows(*question_impatience(tx))[0][0])


def question_impatience(tx: Transaction) -> Question:
    """What `anybody_impatient` will ask, for `foresee`."""
    return SQL["impatience"], {"now_ms": tx.now_ms}


def next_due_ms(tx: Transaction) -> int | None:
    """How long until a sweep finds something, or something that stands aside may open; 0 for now, None for never.

    Spec: TIME-7, POOL-4
    """
    if tx.admission is not None:
        tx.admission.write()
    *instants, outgoing = tx.rows(*question_next(tx))[0]
    if outgoing:
        return 0
    known = [at_ms for at_ms in instants if at_ms is not None]
    return max(0, min(known) - tx.now_ms) if known else None


def question_next(tx: Transaction) -> Question:
    """What `next_due_ms` will ask, for `foresee`."""
    return SQL["next"], {"grace_ms": CANCEL_GRACE_MS, "now_ms": tx.now_ms, "never_ms": MAX_INSTANT_MS}


def questions_of_claim(tx: Transaction, limit: int) -> list[Question]:
    """What `promote` and `revoke` will ask, for `foresee`."""
    return [_question(tx, kind, limit) for kind in ("due", "expired")]


def _question(tx: Transaction, kind: str, limit: int) -> Question:
    return SQL[kind], {"now_ms": tx.now_ms, "requested_ms": tx.now_ms - CANCEL_GRACE_MS, "limit": limit}


def _sweep(tx: Transaction, kind: str, limit: int, act: Callable[[Transaction, Job], None]) -> int:
    """Act on what is due, in the order of (instant, id), and say on how many. Spec: TIME-4, CLAIM-9"""
    job_ids = [job_id for _, job_id in sorted(tx.table(*_question(tx, kind, limit)))]
    jobs = tx.fetch(job_ids)
    look_ahead(tx, jobs)
    running = [job.record for job in jobs if job.record.state is State.RUNNING]
    if running:
        admission(tx).ledger.fetch_ends(running)
    for job_id in job_ids:
        job = tx.job(job_id)
        assert job is not None
        act(tx, job)
    return len(job_ids)


def _promote(tx: Transaction, job: Job) -> None:
    move(tx, job, unchanged(job.record, "T2", State.READY))


def _revoke(tx: Transaction, job: Job) -> None:
    revoked(tx, job)
    change = after_expiry(job.record, tx.now_ms)
    told = add_error(tx, job, lease_expired(job.record)).message
    if job.record.resumes:
        job.record = replace(job.record, resumes=False)
    if change.state.terminal:
        end(tx, job, change, told=told)
    else:
        move(tx, job, change)


def _time_out(tx: Transaction, job: Job) -> None:
    remember(tx, job, Step(job.record.wait_key or "", StepKind.TIMEOUT, b"", fence=job.record.fence))
    move(tx, job, unchanged(job.record, "T13", State.READY, Lane.RETURNED))


def _lose_patience(tx: Transaction, job: Job) -> bool:
    record, lanes = job.record, admission(tx).lanes
    route = freer_route(record, lambda there: lanes.is_parked(there.queue, lanes.key_of(there)[1]))
    if route is None:
        tx.later(SQL["be_patient"], (job.n, tx.now_ms + patience_anew_ms(record)))
        return False
    move(tx, job, unchanged(record, "T19", State.READY), route=route)
    return True


def _end_grace(tx: Transaction, job: Job) -> None:
    revoked(tx, job)
    change = after_grace(job.record, tx.now_ms)
    told = add_error(tx, job, deadline_passed(job.record)).message if change.cause is Cause.DEADLINE else ""
    end(tx, job, change, told=told)


def _end_overdue(tx: Transaction, job: Job) -> None:
    record = job.record
    if record.state is State.RUNNING:
        request(tx, job)
        return
    told = add_error(tx, job, deadline_passed(record)).message
    change = Change("T23", State.DEAD, failures=record.failures, stalls=record.stalls, cause=Cause.DEADLINE)
    end(tx, job, change, told=told)
