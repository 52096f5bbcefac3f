"""The one way a job changes its state: every move is a row of the table of states, checked here."""

from dataclasses import dataclass, replace
from typing import Any, Final

from aiq.backends.relational.admission import admission
from aiq.backends.relational.gates import Gate
from aiq.backends.relational.heads import Place
from aiq.backends.relational.keys import follow, keep_out
from aiq.backends.relational.rows import Job
from aiq.backends.relational.transaction import SQL, Transaction
from aiq.bounds import MAX_ERRORS
from aiq.model import Cause, JobError, JobRecord, JobSpec, Lane, State
from aiq.rules.failures import appended
from aiq.rules.fairness import PLAIN
from aiq.rules.keys import parked, position
from aiq.rules.metrics import tally, told_cause
from aiq.rules.settling import Change
from aiq.rules.states import check
from aiq.storage import job_topic, queue_topic

_PARKED: Final = frozenset({State.WAITING, State.SUSPENDED, State.SCHEDULED})
_TIMED: Final = frozenset({State.SCHEDULED, State.SUSPENDED})
_COMING_BACK: Final = frozenset({State.SCHEDULED, State.READY})
_UNSTARTED: Final = frozenset({State.SCHEDULED, State.READY})
"""Where a job that has not run counts against the bound of its queue. Spec: QUEUE-1"""


@dataclass(frozen=True, slots=True)
class By:
    """The settlement by which a job moves: its token and id together, and whether it came late."""

    settled_id: str
    late: bool


def move(
    tx: Transaction,
    job: Job,
    change: Change,
    by: By | None = None,
    *,
    signal: str | None = None,
    route: int | None = None,
    held_by: str = "",
) -> None:
    """Take a job to any state but running, with its event, its place among those that are ready, and its wake-ups.

    What a state does not use is cleared here, so that no row of the table can leave it behind. Spec: STATE-1, STATE-4
    """
    record, state = job.record, change.state
    check(change.number, record.state, state)
    tx.forget(job)
    in_lane = job.keyed is None or follow(tx, job, job.keyed, state, parks=parked(state, change.wait_key))
    if state is State.SUCCEEDED and by is not None:
        tx.later(SQL["succeed"], {"n": job.n, "id": by.settled_id, "late": by.late})
        add_event(tx, job, change.number, state)
        return
    after = record if route is None else replace(record, route=route)
    row = _moved(tx, job, after, change, by)
    tx.later(SQL["move"], {**row, "wait_signal": signal, "held_by": held_by if state is State.HELD else ""})
    if by is not None:
        settled(tx, job, state, by)
    add_event(tx, job, change.number, state, change.cause)
    _count(tx, record, state)
    if record.state is State.HELD and record.held is not None:
        admission(tx).holds.drop(job.n, record.held, record.held_by)
    if record.state is State.READY:
        leave(tx, job)
    if state is State.READY and in_lane:
        join(tx, job, after, (row["lane"], row["position"], record.id))
    elif state is State.READY:
        keep_out(tx, job.n)


def settled(tx: Transaction, job: Job, state: State, by: By, step: str | None = None) -> None:
    """Keep what a settlement is answered; `step` is the key of the wait that it found over. Spec: STATE-6"""
    answer = {"n": job.n, "id": by.settled_id, "state": state, "late": by.late, "step": step}
    tx.later(SQL["settled"], answer, key=job.n)


def add_event(tx: Transaction, job: Job, transition: str, target: State, cause: Cause | None = None) -> None:
    """Write a job's next event, count it, and tell those who watch the job. Spec: STATE-4, METRIC-1, METRIC-2"""
    before = job.record
    told = told_cause(target, cause)
    event = (tx.next_change(), job.n, before.events + 1, transition, before.state, target, before.fence, told)
    tx.later(SQL["event"], event)
    tx.logged += 1
    lasted_ms = max(0, tx.now_ms - job.since_ms)
    tally(tx.figures(before.queue, before.task), transition, before.state, target, lasted_ms)
    tx.topics.add(job_topic(before.id))


def unchanged(record: JobRecord, number: str, state: State, lane: Lane | None = None) -> Change:
    """A move that leaves the counts of failures as they are, and the lane too if none is named."""
    return Change(
        number,
        state,
        record.lane if lane is None else lane,
        failures=record.failures,
        stalls=record.stalls,
        cause=record.cause,
    )


def add_error(tx: Transaction, job: Job, error: JobError) -> JobError:
    """Write down a failure of a job that is about to move, and forget the oldest over the bound. Spec: RETRY-10"""
    told = appended(job.record, error, tx.now_ms)[-1]
    job.errors += 1
    job.last_error = told
    tx.later(
        SQL["error"],
        {
            "n": job.n,
            "number": job.errors,
            "type": told.type,
            "message": told.message,
            "traceback": told.traceback,
            "cause": told.cause,
            "at_ms": told.at_ms,
            "fence": told.fence,
            "attempt": told.attempt,
            "fingerprint": told.fingerprint,
            "code": told.code,
            "place": told.place,
            "pattern": told.pattern,
        },
    )
    if job.errors > MAX_ERRORS:
        tx.later(SQL["forget_error"], {"n": job.n, "number": job.errors - MAX_ERRORS})
    return told


def position_of(tx: Transaction, job: JobSpec, lane: Lane) -> int:
    """The position of a job that becomes ready in a lane. Spec: LIFO-1"""
    number = tx.next_position()
    lifo = tx.any_lifo and admission(tx).queues.settings(job.queue).lifo
    return position(number, job, fresh=lane is Lane.FRESH, lifo=lifo)


def _moved(tx: Transaction, job: Job, after: JobRecord, change: Change, by: By | None) -> dict[str, Any]:
    """The columns that a move writes; of as many types as they are, hence Any."""
    record, state = job.record, change.state
    timed = state in _TIMED and change.delay_ms is not None
    ready = state is State.READY
    patience_ms = after.routes[after.route].patience_ms if ready and after.routes else None
    return {
        "n": job.n,
        "state": state,
        "pool": admission(tx).lanes.key_of(after)[1] if ready and job.gated else job.pool,
        "lane": change.lane if state in _COMING_BACK else record.lane,
        "position": position_of(tx, record, change.lane) if ready else record.position,
        "patience_end_ms": None if patience_ms is None else tx.now_ms + patience_ms,
        "due_ms": tx.now_ms + (change.delay_ms or 0) if timed else None,
        "wait_key": change.wait_key if state in _PARKED else None,
        "failures": change.failures,
        "stalls": change.stalls,
        "cause": change.cause,
        "late": record.late if by is None else by.late,
        "route": after.route,
        "closed_routes": after.closed_routes,
        "resumes": after.resumes,
        "deferred_at_ms": after.deferred_at_ms,
        "held": change.held if state is State.HELD else None,
        "steps": job.steps,
        "errors": job.errors,
        "events": record.events + 1,
        "finished_at_ms": tx.now_ms if state.terminal else None,
        "since_ms": job.since_ms if state is record.state else tx.now_ms,
    }


def leave(tx: Transaction, job: Job) -> None:
    """Take a job that was ready out of its lane, or from behind its gate, and wake those whom that lets go on."""
    if job.keyed is not None and job.keyed.aside:
        return
    record, lanes = job.record, admission(tx).lanes
    key = (record.queue, job.pool, record.band, record.tenant if job.gated else "")
    if job.aside is not None:
        lanes.leave_gate(Gate(*key, *job.aside), record)
        return
    lanes.leave(key, (record.lane, record.position, record.id), record)
    if record.key is not None:
        # The next job of its key may have come back into its lane.
        tx.topics.add(queue_topic(record.queue))


def join(tx: Transaction, job: Job, after: JobRecord, place: Place) -> None:
    """Let a job that is ready stand in its lane, and wake those who wait for one."""
    tx.topics.add(queue_topic(after.queue))
    if job.gated:
        lanes = admission(tx).lanes
        lanes.join(lanes.key_of(after), place)
    elif tx.admission is not None:
        tx.admission.lanes.join((after.queue, PLAIN, after.band, ""), place)


def _count(tx: Transaction, before: JobRecord, state: State) -> None:
    """Count a job that comes under the bound of its queue, or leaves it. Spec: QUEUE-1"""
    counted = before.fence == 0 and before.parent_id is None
    more = (state in _UNSTARTED) - (before.state in _UNSTARTED)
    if counted and more:
        admission(tx).queues.count(before.queue, more)
