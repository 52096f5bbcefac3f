"""Recording what became of one run. What is decided from the record alone is in rules.settling."""

from dataclasses import replace

from aiq.backends.memory.books import MemoryBooks
from aiq.backends.memory.data import LastSettlement
from aiq.backends.memory.ending import end
from aiq.backends.memory.fan_in import end_wait
from aiq.backends.memory.holder import held
from aiq.backends.memory.holding import has_room, keep
from aiq.backends.memory.transition import Transaction, move, readied, remember
from aiq.errors import LeaseLost, TooLarge
from aiq.model import (
    Cause,
    Deferred,
    Died,
    Held,
    HeldFor,
    JobRecord,
    Lane,
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
    Wait,
    Waiting,
    none,
)
from aiq.rules.closing import close_run, throttle
from aiq.rules.deadlines import deadline_passed
from aiq.rules.failures import appended
from aiq.rules.leases import expired
from aiq.rules.routes import course
from aiq.rules.settling import Change, after
from aiq.rules.validation import check_result
from aiq.rules.waits import verdict

_TELLS = Retried | Died | Deferred
"""The outcomes that come with an error to be written down."""


def settle(tx: Transaction, settlement: Settlement) -> Settled | LeaseLost | TooLarge:
    """Record one outcome, if the run still owns the job; a repeat gets the first answer.

    Spec: STATE-6, LEASE-1, LEASE-2, LEASE-5, RETRY-11
    """
    lease, outcome = settlement.lease, settlement.outcome
    last = tx.tables.settlements.get(lease.job_id)
    if last is not None and (last.fence, last.lease_id, last.id) == (lease.fence, lease.lease_id, settlement.id):
        return last.answer
    record = held(tx, lease)
    if isinstance(record, LeaseLost):
        return record
    try:
        check_result(outcome.result if isinstance(outcome, Succeeded) else b"")
    except TooLarge as refusal:
        return refusal
    late = expired(record, tx.now_ms)
    answer = _take_effect(tx, record if record.late is late else replace(record, late=late), outcome)
    tx.tables.settlements[record.id] = LastSettlement(lease.fence, lease.lease_id, settlement.id, answer)
    return answer


def _take_effect(tx: Transaction, record: JobRecord, outcome: Outcome) -> Settled:
    change = after(outcome, record, tx.now_ms)
    if change.state is State.SUSPENDED and isinstance(outcome, Suspended):
        return _suspend(tx, record, change, outcome)
    record = _closed(tx, record, outcome)
    changed = _changed(tx, record, outcome, change)
    if change.state.terminal:
        sample = outcome.sample if isinstance(outcome, Retried | Died) else None
        return Settled(end(tx, change.number, record, changed, sample=sample).state, record.late)
    if change.state is State.HELD:
        return Settled(_hold(tx, record, changed, outcome).state, record.late)
    if isinstance(outcome, Waiting):
        return Settled(_wait(tx, record, changed, outcome).state, record.late)
    if isinstance(outcome, Sleeping):
        # It cannot be claimed before it is due, so the sleep may be remembered as over already. Spec: TIME-6
        changed = remember(tx, changed, Step(outcome.key, StepKind.TIMER, b"", fence=record.fence))
    return Settled(move(tx, change.number, record, changed).state, record.late)


def _closed(tx: Transaction, record: JobRecord, outcome: Outcome) -> JobRecord:
    """Close what a run that is over has reserved, and say what it leaves to the next one. Spec: CALL-12, DEFER-1"""
    books = MemoryBooks(tx)
    close_run(books, record, outcome)
    if isinstance(outcome, Deferred):
        for one in outcome.throttles:
            throttle(books, one, record)
    left = course(outcome, record, tx.now_ms)
    return replace(
        record,
        route=left.route,
        closed_routes=left.closed_routes,
        resumes=left.resumes,
        deferred_at_ms=left.deferred_at_ms,
    )


def _changed(tx: Transaction, record: JobRecord, outcome: Outcome, change: Change) -> JobRecord:
    """The record with what was decided, and with what the run left: its result, or its error. Spec: RETRY-10"""
    comes_back = change.state in (State.READY, State.SCHEDULED)
    error = outcome.error if isinstance(outcome, _TELLS) else None
    if error is None and change.cause is Cause.DEADLINE:
        error = deadline_passed(record)
    return replace(
        record,
        state=change.state,
        lane=change.lane if comes_back else record.lane,
        due_ms=None if change.delay_ms is None else tx.now_ms + change.delay_ms,
        wait_key=change.wait_key,
        failures=change.failures,
        stalls=change.stalls,
        cause=change.cause,
        errors=record.errors if error is None else appended(record, error, tx.now_ms),
        result=outcome.result if isinstance(outcome, Succeeded) else None,
        held=change.held,
    )


def _hold(tx: Transaction, record: JobRecord, held: JobRecord, outcome: Outcome) -> JobRecord:
    """Hold a job that its run, or a spent quota, wants held; one whose budget has room by now is ready. Spec: HOLD-7"""
    if not isinstance(outcome, Held):
        return keep(tx, record, held, none())
    if held.held in (HeldFor.BUDGET, HeldFor.APPROVAL) and has_room(tx, outcome.by, outcome.need):
        return move(tx, "T21", record, readied(held, Lane.RETURNED))
    return keep(tx, record, replace(held, held_by=outcome.by), outcome.need)


def _suspend(tx: Transaction, record: JobRecord, change: Change, outcome: Suspended) -> Settled:
    """Wait for a signal, unless what the wait is for is there already; then the run goes on.

    A late run may not go on, so its job is ready again with the signal bound. Spec: SIG-2, SIG-6, SIG-9
    """
    step = tx.tables.step(record.id, outcome.key)
    if step is None:
        step, record = _take_signal(tx, record, outcome)
    if step is not None and not record.late:
        return Settled(move(tx, "T11", record, record).state, record.late, step)
    record = _closed(tx, record, outcome)
    if step is not None:
        return Settled(move(tx, "T11", record, readied(record, Lane.RETURNED)).state, record.late, step)
    tx.tables.awaited[record.id] = outcome.signal
    suspended = _changed(tx, record, outcome, change)
    return Settled(move(tx, "T11", record, suspended).state, record.late)


def _take_signal(tx: Transaction, record: JobRecord, outcome: Suspended) -> tuple[Step | None, JobRecord]:
    """Bind the oldest kept signal of a name to a wait, if there is one. Spec: SIG-3"""
    for signal in tx.tables.signals.get(record.id, {}).values():
        if signal.kept and signal.name == outcome.signal:
            signal.kept = False
            signal.over_ms = tx.now_ms
            step = Step(outcome.key, StepKind.SIGNAL, signal.payload, fence=record.fence)
            return step, replace(remember(tx, record, step), kept_signals=record.kept_signals - 1)
    return None, record


def _wait(tx: Transaction, record: JobRecord, waiting: JobRecord, outcome: Waiting) -> JobRecord:
    """Wait for children, unless the wait is over already. Spec: FLOW-9, FLOW-10"""
    if tx.tables.step(record.id, outcome.key) is not None:
        return move(tx, "T10", record, readied(record, Lane.RETURNED))
    place = (record.id, outcome.key)
    spawned = tx.tables.waits.get(place, Wait(outcome.key, 0))
    wait = tx.tables.waits[place] = replace(spawned, need=outcome.need, rest=outcome.rest)
    kind = verdict(wait)
    if kind is not None:
        return end_wait(tx, "T10", record, wait, kind)
    return move(tx, "T10", record, replace(waiting, pending=wait.pending))
