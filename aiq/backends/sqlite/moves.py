"""The one way a job changes its state: every move is a row of the table of states, checked here."""

from dataclasses import dataclass
from typing import Final

from aiq.backends.sqlite.rows import Job
from aiq.backends.sqlite.transaction import SQL, Transaction
from aiq.bounds import MAX_ERRORS
from aiq.model import JobError, JobRecord, Lane, State
from aiq.rules.failures import appended
from aiq.rules.settling import Change
from aiq.rules.states import check
from aiq.storage import job_topic, queue_topic

_PARKED: Final = frozenset({State.WAITING, State.SUSPENDED, State.SCHEDULED})
_TIMED: Final = frozenset({State.SCHEDULED, State.SUSPENDED})
_COMING_BACK: Final = frozenset({State.SCHEDULED, State.READY})


@dataclass(frozen=True, slots=True)
class By:
    """The settlement by which a job moves: its token and id together, and whether it came late."""

    settled_id: str
    late: bool


def move(tx: Transaction, job: Job, change: Change, by: By | None = None, *, signal: str | None = None) -> None:
    """Take a job to any state but running, with its event and its wake-ups. Spec: STATE-1, STATE-4

    What a state does not use is cleared here, so that no row of the table can leave it behind.
    """
    record, state = job.record, change.state
    check(change.number, record.state, state)
    tx.forget(job)
    if state is State.SUCCEEDED and by is not None:
        tx.later(SQL["succeed"], {"n": job.n, "id": by.settled_id, "late": by.late})
    else:
        tx.later(SQL["move"], _moved(tx, job, change, by, signal))
        if by is not None:
            settled(tx, job, state, by)
    add_event(tx, job, change.number, state)
    if state is State.READY:
        tx.topics.add(queue_topic(record.queue))


def settled(tx: Transaction, job: Job, state: State, by: By, step: str | None = None) -> None:
    """Keep what a settlement is answered; `step` is the key of the wait that it found over. Spec: STATE-6"""
    answer = {"n": job.n, "id": by.settled_id, "state": state, "late": by.late, "step": step}
    tx.later(SQL["settled"], answer, key=job.n)


def add_event(tx: Transaction, job: Job, transition: str, target: State) -> None:
    """Write a job's next event, and tell those who watch the job. Spec: STATE-4"""
    before = job.record
    event = (tx.next_change(), job.n, before.events + 1, transition, before.state, target, before.fence)
    tx.later(SQL["event"], event)
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
        },
    )
    if job.errors > MAX_ERRORS:
        tx.later(SQL["forget_error"], {"n": job.n, "number": job.errors - MAX_ERRORS})
    return told


def _moved(tx: Transaction, job: Job, change: Change, by: By | None, signal: str | None) -> dict[str, object]:
    record, state = job.record, change.state
    timed = state in _TIMED and change.delay_ms is not None
    return {
        "n": job.n,
        "state": state,
        "lane": change.lane if state in _COMING_BACK else record.lane,
        "position": tx.next_position() if state is State.READY else record.position,
        "due_ms": tx.now_ms + (change.delay_ms or 0) if timed else None,
        "wait_key": change.wait_key if state in _PARKED else None,
        "wait_signal": signal,
        "failures": change.failures,
        "stalls": change.stalls,
        "cause": change.cause,
        "late": record.late if by is None else by.late,
        "steps": job.steps,
        "errors": job.errors,
        "events": record.events + 1,
        "finished_at_ms": tx.now_ms if state.terminal else None,
    }
