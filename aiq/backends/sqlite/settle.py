"""Recording what became of one run. What is decided from the record alone is in rules.settling."""

from dataclasses import dataclass, replace
from typing import Final

from aiq.backends.sqlite.ending import end
from aiq.backends.sqlite.fan_in import end_wait, read_wait
from aiq.backends.sqlite.holder import held
from aiq.backends.sqlite.moves import add_error, add_event, move, unchanged
from aiq.backends.sqlite.rows import Job
from aiq.backends.sqlite.sql import load
from aiq.backends.sqlite.steps import find_step, remember
from aiq.backends.sqlite.transaction import Transaction
from aiq.errors import LeaseLost, TooLarge
from aiq.model import (
    Died,
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
)
from aiq.rules.leases import expired
from aiq.rules.settling import Change, after
from aiq.rules.states import check
from aiq.rules.validation import check_result
from aiq.rules.waits import verdict

SQL: Final = load("settle")


@dataclass(frozen=True, slots=True)
class _Settling:
    """One settlement that takes effect: the job as the run leaves it, how late, and by what a repeat is known."""

    tx: Transaction
    job: Job
    late: bool
    id: str


def settle(tx: Transaction, settlement: Settlement) -> Settled | LeaseLost | TooLarge:
    """Record one outcome, if the run still owns the job; a repeat gets the first answer.

    Spec: STATE-6, LEASE-1, LEASE-2, LEASE-5, RETRY-11
    """
    lease, outcome = settlement.lease, settlement.outcome
    settled_id = _settled_id(lease, settlement.id)
    first = _first_answer(tx, lease, settled_id)
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
    return _take_effect(_Settling(tx, job, expired(job.record, tx.now_ms), settled_id), outcome)


def _settled_id(lease: Lease, settlement_id: str) -> str:
    """By what a settlement is recognised when it comes again: the token of the run, and its own id."""
    return f"{lease.fence}:{lease.lease_id}:{settlement_id}"


def _first_answer(tx: Transaction, lease: Lease, settled_id: str) -> Settled | None:
    job = tx.job(lease.job_id)
    if job is None or job.settled_id != settled_id or job.settled_state is None:
        return None
    step = find_step(tx, job, job.settled_step) if job.settled_step is not None else None
    return Settled(State(job.settled_state), bool(job.settled_late), step)


def _take_effect(at: _Settling, outcome: Outcome) -> Settled:
    tx, job = at.tx, at.job
    change = after(outcome, job.record)
    told = add_error(tx, job, outcome.error).message if isinstance(outcome, Retried | Died) else ""
    if isinstance(outcome, Succeeded):
        tx.later(SQL["result"], {"n": job.n, "result": outcome.result})
    if change.state.terminal:
        end(tx, job, change, told=told, late=at.late, settled=at.id)
        return Settled(change.state, at.late)
    if isinstance(outcome, Suspended):
        return _suspend(at, change, outcome)
    if isinstance(outcome, Waiting):
        return _wait(at, change, outcome)
    if isinstance(outcome, Sleeping):
        # It cannot be claimed before it is due, so the sleep may be remembered as over already. Spec: TIME-6
        remember(tx, job, Step(outcome.key, StepKind.TIMER, b"", fence=job.record.fence))
    move(tx, job, change, late=at.late, settled=at.id)
    return Settled(change.state, at.late)


def _suspend(at: _Settling, change: Change, outcome: Suspended) -> Settled:
    """Wait for a signal, unless what the wait is for is there already; then the run goes on.

    A late run may not go on, so its job is ready again with the signal bound. Spec: SIG-2, SIG-6, SIG-9
    """
    tx, job = at.tx, at.job
    step = find_step(tx, job, outcome.key) or _take_signal(tx, job, outcome)
    if step is None:
        move(tx, job, change, late=at.late, signal=outcome.signal, settled=at.id)
        return Settled(State.SUSPENDED, at.late)
    if at.late:
        move(tx, job, unchanged(job.record, "T11", State.READY, Lane.RETURNED), late=True, settled=at.id)
        tx.run(SQL["found"], {"n": job.n, "key": outcome.key})
        return Settled(State.READY, late=True, step=step)
    check("T11", State.RUNNING, State.RUNNING)
    tx.run(SQL["go_on"], {"n": job.n, "settled_id": at.id, "key": outcome.key})
    add_event(tx, job.n, job.record, "T11", State.RUNNING)
    tx.forget(job)
    return Settled(State.RUNNING, step=step)


def _take_signal(tx: Transaction, job: Job, outcome: Suspended) -> Step | None:
    """Bind the oldest kept signal of a name to a wait, if there is one. Spec: SIG-3"""
    if not job.record.kept_signals:
        return None
    row = tx.row(SQL["oldest_signal"], {"n": job.n, "name": outcome.signal})
    if row is None:
        return None
    number, payload = row
    tx.run(SQL["take_signal"], {"number": number})
    tx.run(SQL["count_taken"], {"n": job.n})
    step = Step(outcome.key, StepKind.SIGNAL, payload, fence=job.record.fence)
    remember(tx, job, step)
    return step


def _wait(at: _Settling, change: Change, outcome: Waiting) -> Settled:
    """Wait for children, unless the wait is over already. Spec: FLOW-9, FLOW-10"""
    tx, job = at.tx, at.job
    if find_step(tx, job, outcome.key) is not None:
        move(tx, job, unchanged(job.record, "T10", State.READY, Lane.RETURNED), late=at.late, settled=at.id)
        return Settled(State.READY, at.late)
    place = {"n": job.n, "wait_key": outcome.key}
    tx.run(SQL["await"], {**place, "need": outcome.need, "rest": outcome.rest})
    wait = replace(read_wait(tx, job.n, outcome.key), need=outcome.need, rest=outcome.rest)
    kind = verdict(wait)
    if kind is not None:
        end_wait(tx, "T10", job, wait, kind, late=at.late, settled=at.id)
        return Settled(State.READY, at.late)
    move(tx, job, change, late=at.late, pending=wait.pending, settled=at.id)
    return Settled(State.WAITING, at.late)
