"""Recording what became of one run. What is decided from the record alone is in rules.settling."""

from dataclasses import replace
from typing import Final

from aiq.backends.relational.admission import admission
from aiq.backends.relational.ending import end
from aiq.backends.relational.fan_in import end_wait, put_wait, read_wait
from aiq.backends.relational.holder import held
from aiq.backends.relational.holding import has_room, keep
from aiq.backends.relational.moves import By, add_error, add_event, move, settled, unchanged
from aiq.backends.relational.rows import Job
from aiq.backends.relational.statements import load
from aiq.backends.relational.steps import find_step, remember
from aiq.backends.relational.transaction import Transaction
from aiq.errors import LeaseLost, TooLarge
from aiq.model import (
    Cause,
    Deferred,
    Died,
    Held,
    HeldFor,
    Lane,
    Lease,
    Outcome,
    Retried,
    Settled,
    Settlement,
    Sleeping,
    State,
    Step,
    StepKind,
    Succeeded,
    Suspended,
    Waiting,
    none,
)
from aiq.rules.closing import close_run, close_runs, throttle
from aiq.rules.deadlines import deadline_passed
from aiq.rules.leases import expired
from aiq.rules.routes import Course, course
from aiq.rules.settling import Change, after
from aiq.rules.states import check
from aiq.rules.validation import check_result
from aiq.rules.waits import verdict

SQL: Final = load("settle")

_WELL: Final = Succeeded(b"")
_TELLS: Final = Retried | Died | Deferred
"""The outcomes that come with an error to be written down."""


def settle(tx: Transaction, settlement: Settlement) -> Settled | LeaseLost | TooLarge:
    """Record one outcome, if the run still owns the job; a repeat gets the first answer.

    Spec: STATE-6, LEASE-1, LEASE-2, LEASE-5, RETRY-11
    """
    lease, outcome = settlement.lease, settlement.outcome
    known_by = settled_id(lease, settlement.id)
    first = _first_answer(tx, lease, known_by)
    if first is not None:
        return first
    job = held(tx, lease)
    if isinstance(job, LeaseLost):
        return job
    if isinstance(outcome, Succeeded):
        try:
            check_result(outcome.result)
        except TooLarge as refusal:
            return refusal
    return _take_effect(tx, job, By(known_by, expired(job.record, tx.now_ms)), outcome)


def settled_id(lease: Lease, settlement_id: str) -> str:
    """By what a settlement is recognised when it comes again: the token of the run, and its own id."""
    return f"{lease.fence}:{lease.lease_id}:{settlement_id}"


def _first_answer(tx: Transaction, lease: Lease, known_by: str) -> Settled | None:
    job = tx.job(lease.job_id)
    if job is None or job.settled_id != known_by or job.settled_state is None:
        return None
    step = find_step(tx, job, job.settled_step) if job.settled_step is not None else None
    return Settled(State(job.settled_state), bool(job.settled_late), step)


def _take_effect(tx: Transaction, job: Job, by: By, outcome: Outcome) -> Settled:
    change = after(outcome, job.record, tx.now_ms)
    if change.state is State.SUSPENDED and isinstance(outcome, Suspended):
        return _suspend(tx, job, by, outcome, change)
    _close(tx, job, outcome)
    error = outcome.error if isinstance(outcome, _TELLS) else None
    if error is None and change.cause is Cause.DEADLINE:
        error = deadline_passed(job.record)
    told = "" if error is None else add_error(tx, job, error).message
    if isinstance(outcome, Succeeded):
        tx.later(SQL["result"], {"n": job.n}, result=outcome.result)
    if change.state.terminal:
        sample = outcome.sample if isinstance(outcome, Retried | Died) else None
        end(tx, job, change, by, told=told, sample=sample)
        return Settled(change.state, by.late)
    if change.state is State.HELD:
        return _hold(tx, job, by, outcome, change)
    if isinstance(outcome, Waiting):
        return _wait(tx, job, by, outcome, change)
    if isinstance(outcome, Sleeping) and find_step(tx, job, outcome.key) is None:
        # It cannot be claimed before it is due, so the sleep may be remembered as over already. Spec: TIME-6
        remember(tx, job, Step(outcome.key, StepKind.TIMER, b"", fence=job.record.fence))
    move(tx, job, change, by)
    return Settled(change.state, by.late)


def _close(tx: Transaction, job: Job, outcome: Outcome) -> None:
    """Close what a run that is over has reserved, and say what it leaves to the next one. Spec: CALL-12, DEFER-1"""
    record, ledger = job.record, admission(tx).ledger
    if isinstance(outcome, Succeeded) and _ends_alone(job) and not ledger.calls.any():
        if ledger.concerns(record.id, record.fence):
            admission(tx).succeeded.append(record)
        return
    close_succeeded(tx)
    if ledger.concerns(record.id, record.fence):
        close_run(ledger, record, outcome)
    if isinstance(outcome, Succeeded):
        return
    if isinstance(outcome, Deferred):
        for one in outcome.throttles:
            throttle(ledger, one, record)
    left = course(outcome, record, tx.now_ms)
    if left != Course(record.route, record.closed_routes, record.resumes, record.deferred_at_ms):
        job.record = replace(
            record,
            route=left.route,
            closed_routes=left.closed_routes,
            resumes=left.resumes,
            deferred_at_ms=left.deferred_at_ms,
        )


def _ends_alone(job: Job) -> bool:
    """Whether nothing but what a job has reserved is changed by its good end, so that others may end before that is
    closed."""
    return not job.dependents and job.keyed is None and job.record.unique is None


def close_succeeded(tx: Transaction) -> None:
    """Close what those runs have reserved of which only their end is written yet, together: most are alike."""
    succeeded = admission(tx).succeeded
    if succeeded:
        close_runs(admission(tx).ledger, succeeded, _WELL)
        succeeded.clear()


def _hold(tx: Transaction, job: Job, by: By, outcome: Outcome, change: Change) -> Settled:
    """Hold a job that its run, or a spent quota, wants held; one whose budget has room by now is ready. Spec: HOLD-7"""
    if not isinstance(outcome, Held):
        keep(tx, job, change, "", none(), by)
    elif change.held in (HeldFor.BUDGET, HeldFor.APPROVAL) and has_room(tx, outcome.by, outcome.need):
        move(tx, job, unchanged(job.record, "T21", State.READY, Lane.RETURNED), by)
        return Settled(State.READY, by.late)
    else:
        keep(tx, job, change, outcome.by, outcome.need, by)
    return Settled(State.HELD, by.late)


def _suspend(tx: Transaction, job: Job, by: By, outcome: Suspended, change: Change) -> Settled:
    """Wait for a signal, unless what the wait is for is there already; then the run goes on.

    A late run may not go on, so its job is ready again with the signal bound. Spec: SIG-2, SIG-6, SIG-9
    """
    step = find_step(tx, job, outcome.key) or _take_signal(tx, job, outcome)
    if step is not None and not by.late:
        _go_on(tx, job)
        settled(tx, job, State.RUNNING, by, step=outcome.key)
        return Settled(State.RUNNING, by.late, step)
    _close(tx, job, outcome)
    if step is None:
        move(tx, job, change, by, signal=outcome.signal)
        return Settled(State.SUSPENDED, by.late)
    move(tx, job, unchanged(job.record, "T11", State.READY, Lane.RETURNED), by)
    settled(tx, job, State.READY, by, step=outcome.key)
    return Settled(State.READY, by.late, step)


def _go_on(tx: Transaction, job: Job) -> None:
    """Let a run keep its lease: what it would wait for is there."""
    check("T11", State.RUNNING, State.RUNNING)
    tx.run(SQL["go_on"], {"n": job.n, "steps": job.steps})
    add_event(tx, job, "T11", State.RUNNING)
    tx.forget(job)


def _take_signal(tx: Transaction, job: Job, outcome: Suspended) -> Step | None:
    """Bind the oldest kept signal of a name to a wait, if there is one. Spec: SIG-3"""
    if not job.record.kept_signals:
        return None
    row = tx.row(SQL["oldest_signal"], {"n": job.n, "name": outcome.signal})
    if row is None:
        return None
    number, payload = row
    tx.run(SQL["take_signal"], {"number": number, "now_ms": tx.now_ms})
    tx.run(SQL["count_taken"], {"n": job.n})
    step = Step(outcome.key, StepKind.SIGNAL, payload, fence=job.record.fence)
    remember(tx, job, step)
    return step


def _wait(tx: Transaction, job: Job, by: By, outcome: Waiting, change: Change) -> Settled:
    """Wait for children, unless the wait is over already. Spec: FLOW-9, FLOW-10"""
    if find_step(tx, job, outcome.key) is not None:
        move(tx, job, unchanged(job.record, "T10", State.READY, Lane.RETURNED), by)
        return Settled(State.READY, by.late)
    wait = replace(read_wait(tx, job.n, outcome.key), need=outcome.need, rest=outcome.rest)
    put_wait(tx, job.n, wait)
    kind = verdict(wait)
    if kind is not None:
        end_wait(tx, "T10", job, wait, kind, by)
        return Settled(State.READY, by.late)
    move(tx, job, change, by)
    return Settled(State.WAITING, by.late)
