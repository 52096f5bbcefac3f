"""What becomes of a job whose run has ended, by its outcome or by its lease. Spec: chapters 1 to 3.

A decision is a value: a store computes it here (or, where its language is another, by the same table)
and does only that. Fan-in, signals and streams are the store's part of the same step.
"""

from dataclasses import dataclass
from typing import TypeAlias, assert_never

from aiq.bounds import MAX_DELAY_MS
from aiq.model import (
    Cancelled,
    Cause,
    Deferred,
    Died,
    Held,
    HeldFor,
    JobRecord,
    Lane,
    Outcome,
    Released,
    Retried,
    Sleeping,
    State,
    Succeeded,
    Suspended,
    Waiting,
)
from aiq.rules.deadlines import overdue
from aiq.rules.routes import next_route

_Parking: TypeAlias = Released | Sleeping | Suspended | Waiting | Deferred | Held


@dataclass(frozen=True, slots=True)
class Change:
    """Where a step takes a job. `delay_ms` is the time to its next move by itself, None for never;
    `lane` is the line it will stand in when it is ready again."""

    number: str
    state: State
    lane: Lane = Lane.RETURNED
    delay_ms: int | None = None
    failures: int = 0
    stalls: int = 0
    cause: Cause | None = None
    wait_key: str | None = None
    held: HeldFor | None = None


def after(outcome: Outcome, record: JobRecord, now_ms: int) -> Change:
    """Decide where a settlement takes a running job whose lease is the settler's.

    A deadline that has passed and a cancel that was asked for end every run but one that succeeded. For `Suspended`
    and `Waiting` the answer is where the job goes if its wait is not over yet, and for `Held` if its budget has no
    room.

    Spec: CANCEL-3, CANCEL-4, DEADLINE-5, DEADLINE-6, RETRY-1, RETRY-2, RETRY-5
    """
    failures, stalls = record.failures, record.stalls
    if isinstance(outcome, Succeeded):
        return Change("T5", State.SUCCEEDED, failures=failures, stalls=stalls)
    if overdue(record, now_ms):
        return _too_late(record, stalls)
    if record.cancel_requested_at_ms is not None or isinstance(outcome, Cancelled):
        return Change("T16", State.CANCELLED, failures=failures, stalls=stalls)
    return _going_on(outcome, record, now_ms)


def _going_on(outcome: Retried | Died | _Parking, record: JobRecord, now_ms: int) -> Change:
    """Where a run leaves a job that may go on."""
    failures, stalls = record.failures, record.stalls
    match outcome:
        case Retried() | Died():
            return _after_failure(outcome, record)
        case Released(delay_ms):
            number = "T20" if delay_ms > 0 else "T8"
            return _timed(number, delay_ms, Lane.RETURNED, failures, stalls)
        case Sleeping(key, delay_ms):
            # Never straight to ready: a sleep of nothing is still one step that lets others go first.
            return Change("T20", State.SCHEDULED, Lane.RETURNED, clamp(delay_ms), failures, stalls, wait_key=key)
        case Suspended(key, _, timeout_ms):
            limit_ms = None if timeout_ms is None else clamp(timeout_ms)
            return Change("T11", State.SUSPENDED, Lane.RETURNED, limit_ms, failures, stalls, wait_key=key)
        case Waiting(key):
            return Change("T10", State.WAITING, Lane.RETURNED, None, failures, stalls, wait_key=key)
        case Deferred():
            return _after_deferral(outcome, record, now_ms)
        case Held(reason=reason):
            return Change("T21", State.HELD, Lane.RETURNED, None, failures, stalls, held=reason)
        case _:
            assert_never(outcome)


def after_expiry(record: JobRecord, now_ms: int) -> Change:
    """Decide what becomes of a running job whose lease is revoked. Spec: RETRY-7, RETRY-8, CANCEL-4, DEADLINE-6"""
    failures, stalls = record.failures + 1, record.stalls + 1
    if overdue(record, now_ms):
        return _too_late(record, stalls)
    if record.cancel_requested_at_ms is not None:
        return Change("T9", State.CANCELLED, failures=failures, stalls=stalls)
    if failures >= record.max_attempts or stalls >= record.max_stalls:
        return Change("T9", State.DEAD, failures=failures, stalls=stalls, cause=Cause.STALLED)
    return Change("T9", State.READY, Lane.RETURNED, failures=failures, stalls=stalls)


def after_grace(record: JobRecord, now_ms: int) -> Change:
    """Decide what becomes of a running job that has not heeded a request to stop. Spec: CANCEL-5, DEADLINE-6"""
    if overdue(record, now_ms):
        return _too_late(record, record.stalls)
    return Change("T16", State.CANCELLED, failures=record.failures, stalls=record.stalls)


def clamp(delay_ms: int) -> int:
    """A delay within what a store takes. Spec: RETRY-4."""
    return max(0, min(delay_ms, MAX_DELAY_MS))


def _too_late(record: JobRecord, stalls: int) -> Change:
    """The run is over without success, and its deadline has passed: it is the last one."""
    return Change("T23", State.DEAD, failures=record.failures + 1, stalls=stalls, cause=Cause.DEADLINE)


def _after_failure(outcome: Retried | Died, record: JobRecord) -> Change:
    failures = record.failures + 1
    if isinstance(outcome, Died) or failures >= record.max_attempts:
        cause = outcome.error.cause
        return Change("T7", State.DEAD, failures=failures, stalls=record.stalls, cause=cause)
    return _timed("T6", outcome.delay_ms, Lane.FRESH, failures, record.stalls)


def _after_deferral(outcome: Deferred, record: JobRecord, now_ms: int) -> Change:
    """Spec: DEFER-1, DEFER-2, ROUTE-4"""
    since_ms = now_ms if record.deferred_at_ms is None else record.deferred_at_ms
    if now_ms - since_ms >= record.max_deferral_ms:
        cause = Cause.RATE_LIMITED
        return Change("T7", State.DEAD, failures=record.failures + 1, stalls=record.stalls, cause=cause)
    if not outcome.close_route:
        number = "T20" if outcome.delay_ms > 0 else "T8"
        return _timed(number, outcome.delay_ms, Lane.RETURNED, record.failures, record.stalls)
    if next_route(record, record.closed_routes | 1 << record.route) is None:
        held = HeldFor.QUOTA
        return Change("T21", State.HELD, Lane.RETURNED, None, record.failures, record.stalls, held=held)
    return _timed("T8", 0, Lane.RETURNED, record.failures, record.stalls)


def _timed(number: str, delay_ms: int, lane: Lane, failures: int, stalls: int) -> Change:
    if delay_ms <= 0:
        return Change(number, State.READY, lane, failures=failures, stalls=stalls)
    return Change(number, State.SCHEDULED, lane, clamp(delay_ms), failures, stalls)
