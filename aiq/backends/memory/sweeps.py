"""Bounded acts of maintenance: what an instant that has come does to jobs. Safe to repeat at any time."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from aiq.backends.memory.books import MemoryBooks
from aiq.backends.memory.ending import end
from aiq.backends.memory.index import Index, TimeKey, due
from aiq.backends.memory.transition import Transaction, begin_patience, move, readied, remember
from aiq.model import Cause, JobRecord, Lane, State, Step, StepKind
from aiq.rules.batches import Wakes
from aiq.rules.closing import revoke_run
from aiq.rules.deadlines import deadline_passed
from aiq.rules.failures import appended, lease_expired
from aiq.rules.routes import freer_route, patience_anew_ms
from aiq.rules.settling import after_expiry, after_grace


def promote(tx: Transaction, limit: int) -> int:
    """Make scheduled jobs ready whose instant has come (T2), in the lane they were scheduled for. Spec: TIME-3"""
    return _sweep(tx, tx.tables.indexes.scheduled, limit, _promote)


def revoke(tx: Transaction, limit: int) -> int:
    """End runs whose lease has expired (T9). Spec: LIVE-2, RETRY-7, RETRY-8, LEASE-9"""
    return _sweep(tx, tx.tables.indexes.leases, limit, _revoke)


def time_out(tx: Transaction, limit: int) -> int:
    """End waits for a signal that did not come in time (T13). Spec: SIG-7, SIG-8"""
    return _sweep(tx, tx.tables.indexes.timeouts, limit, _time_out)


def end_graces(tx: Transaction, limit: int) -> int:
    """End running jobs that did not heed a request (T16, T23), live lease or not. Spec: CANCEL-5, LEASE-7"""
    return _sweep(tx, tx.tables.indexes.graces, limit, _end_grace)


def end_overdue(tx: Transaction, limit: int) -> int:
    """End jobs whose deadline has passed (T23), and ask those that run to stop (T15). Spec: DEADLINE-2 to DEADLINE-4"""
    return _sweep(tx, tx.tables.indexes.deadlines, limit, _end_overdue)


def wake_aside(tx: Transaction, queues: Iterable[str]) -> bool:
    """Open the pools, lines and gates of some queues whose instant has come; say whether there may be more of them.

    Spec: POOL-1, POOL-3, LIMIT-15, LIMIT-16
    """
    wakes = Wakes()
    for queue in queues:
        if queue in tx.tables.lanes:
            tx.tables.lanes[queue].wake_due(tx.now_ms, wakes)
    return wakes.used_up


def lose_patience(tx: Transaction, queues: Iterable[str], limit: int) -> int:
    """Give ready jobs of some queues another route whose patience with a parked pool is over (T19); say how many.

    At most `limit` are looked at. One whose pool is not parked, or that has no freer route, waits anew. Spec: ROUTE-5
    """
    lanes = [tx.tables.lanes[queue] for queue in queues if queue in tx.tables.lanes]
    over = sorted(key for one in lanes for key in one.patience.ends.first(limit) if key[0] <= tx.now_ms)
    return sum(_lose_patience(tx, tx.tables.jobs[job_id]) for _, job_id in over[:limit])


def reroute(tx: Transaction, record: JobRecord, route: int) -> None:
    """Let a ready job take another route, in the lane in which it stands (T19). Spec: ROUTE-5, HOLD-6"""
    move(tx, "T19", record, replace(record, route=route))


def next_due_ms(tx: Transaction) -> int | None:
    """How long until a sweep finds something, or something that stands aside may open; 0 for now, None for never.

    Spec: TIME-7, POOL-4
    """
    holds = tx.tables.accounts.holds
    if tx.tables.outbox or holds.letting_go:
        return 0
    indexes = tx.tables.indexes
    timed = (indexes.scheduled, indexes.timeouts, indexes.leases, indexes.graces, indexes.deadlines)
    instants = [at_ms for index in timed for at_ms, _ in index.first(1)]
    instants += [at_ms for lanes in tx.tables.lanes.values() for at_ms in lanes.next_ms(tx.now_ms)]
    instants += holds.renewals.values()
    instants += [at_ms for at_ms, _ in tx.tables.calendar.due.first(1)]
    return max(0, min(instants) - tx.now_ms) if instants else None


def _sweep(tx: Transaction, index: Index[TimeKey], limit: int, act: Callable[[Transaction, JobRecord], object]) -> int:
    """Act on what is due, in the order of (instant, id), and say on how many. Spec: TIME-4, CLAIM-9

    The list is made first: an act may put a job back into the index, and it must not come twice.
    """
    job_ids = due(index, tx.now_ms, limit)
    for job_id in job_ids:
        act(tx, tx.tables.jobs[job_id])
    return len(job_ids)


def _promote(tx: Transaction, record: JobRecord) -> None:
    move(tx, "T2", record, readied(record, record.lane))


def _revoke(tx: Transaction, record: JobRecord) -> None:
    revoke_run(MemoryBooks(tx), record)
    change = after_expiry(record, tx.now_ms)
    after = replace(
        record,
        state=change.state,
        lane=change.lane if change.state is State.READY else record.lane,
        failures=change.failures,
        stalls=change.stalls,
        cause=change.cause,
        errors=appended(record, lease_expired(record), tx.now_ms),
        resumes=False,
    )
    if change.state.terminal:
        end(tx, change.number, record, after)
    else:
        move(tx, change.number, record, after)


def _lose_patience(tx: Transaction, record: JobRecord) -> bool:
    lanes = tx.tables.lanes[record.queue]
    route = freer_route(record, lambda there: lanes.is_parked(tx.tables.pool(there), tx.now_ms))
    if route is None:
        begin_patience(tx, record, patience_anew_ms(record))
        return False
    reroute(tx, record, route)
    return True


def _time_out(tx: Transaction, record: JobRecord) -> None:
    step = Step(record.wait_key or "", StepKind.TIMEOUT, b"", fence=record.fence)
    move(tx, "T13", record, readied(remember(tx, record, step), Lane.RETURNED))


def _end_grace(tx: Transaction, record: JobRecord) -> None:
    change = after_grace(record, tx.now_ms)
    revoke_run(MemoryBooks(tx), record)
    after = replace(record, state=change.state, failures=change.failures, cause=change.cause)
    if change.cause is Cause.DEADLINE:
        after = replace(after, errors=appended(record, deadline_passed(record), tx.now_ms))
    end(tx, change.number, record, after)


def _end_overdue(tx: Transaction, record: JobRecord) -> None:
    if record.state is State.RUNNING:
        move(tx, "T15", record, replace(record, cancel_requested_at_ms=tx.now_ms))
        return
    errors = appended(record, deadline_passed(record), tx.now_ms)
    end(tx, "T23", record, replace(record, state=State.DEAD, cause=Cause.DEADLINE, errors=errors))
