"""The one way a job changes its state: every move is a row of the table of states, checked here."""

from typing import Final

from aiq.backends.sqlite.rows import Job
from aiq.backends.sqlite.transaction import SQL, Transaction
from aiq.backends.wakeups import job_topic, queue_topic
from aiq.bounds import MAX_ERRORS
from aiq.model import JobError, JobRecord, Lane, State
from aiq.rules.failures import appended
from aiq.rules.settling import Change
from aiq.rules.states import check

_PARKED: Final = frozenset({State.WAITING, State.SUSPENDED, State.SCHEDULED})
_TIMED: Final = frozenset({State.SCHEDULED, State.SUSPENDED})
_COMING_BACK: Final = frozenset({State.SCHEDULED, State.READY})


def move(
    tx: Transaction,
    job: Job,
    change: Change,
    *,
    late: bool | None = None,
    signal: str | None = None,
    pending: int = 0,
    settled: str | None = None,
) -> None:
    """Take a job to any state but running, with its event and its wake-ups. Spec: STATE-1, STATE-4

    What a state does not use is cleared here, so that no row of the table can leave it behind. `settled`
    is the token and id of the settlement that does it, if one does.
    """
    record, state = job.record, change.state
    check(change.number, record.state, state)
    tx.forget(job)
    timed = state in _TIMED and change.delay_ms is not None
    tx.later(
        SQL["move_settled"] if settled else SQL["move"],
        {
            "n": job.n,
            "state": state.value,
            "lane": int(change.lane if state in _COMING_BACK else record.lane),
            "position": tx.next_position() if state is State.READY else record.position,
            "due_ms": tx.now_ms + (change.delay_ms or 0) if timed else None,
            "wait_key": change.wait_key if state in _PARKED else None,
            "wait_signal": signal,
            "pending": pending,
            "failures": change.failures,
            "stalls": change.stalls,
            "cause": change.cause and change.cause.value,
            "late": record.late if late is None else late,
            "events": record.events + 1,
            "finished_at_ms": tx.now_ms if state.terminal else None,
            "settled_id": settled,
        },
    )
    add_event(tx, job.n, record, change.number, state)
    if state is State.READY:
        tx.topics.add(queue_topic(record.queue))


def add_event(tx: Transaction, n: int, before: JobRecord, transition: str, target: State) -> None:
    """Write a job's next event, and tell those who watch the job. Spec: STATE-4"""
    tx.later(
        SQL["event"],
        {
            "change": tx.next_change(),
            "n": n,
            "number": before.events + 1,
            "at_ms": tx.now_ms,
            "transition": transition,
            "source": before.state.value,
            "target": target.value,
            "fence": before.fence,
        },
    )
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
    """Write down a failure of a job that has not moved yet, and forget the oldest over the bound. Spec: RETRY-10"""
    told = appended(job.record, error, tx.now_ms)[-1]
    number = job.errors + 1
    tx.run(
        SQL["error"],
        {
            "n": job.n,
            "number": number,
            "type": told.type,
            "message": told.message,
            "traceback": told.traceback,
            "cause": told.cause.value,
            "at_ms": told.at_ms,
            "fence": told.fence,
            "attempt": told.attempt,
        },
    )
    tx.run(SQL["count_errors"], {"n": job.n, "number": number})
    tx.run(SQL["forget_errors"], {"n": job.n, "number": number - MAX_ERRORS})
    return told
