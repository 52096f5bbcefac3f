"""Changing a job that does not run (T19). It keeps its position, so that it stands between the same others."""

from dataclasses import replace
from typing import Final

from aiq.backends.relational.admission import admission
from aiq.backends.relational.moves import add_event, join, leave, move, unchanged
from aiq.backends.relational.rows import Job
from aiq.backends.relational.statements import load
from aiq.backends.relational.terms import brings, terms_of
from aiq.backends.relational.transaction import Transaction
from aiq.model import JobRecord, State
from aiq.rules.fairness import PLAIN
from aiq.rules.states import check
from aiq.storage import queue_topic

SQL: Final = load("update")


def edit_job(tx: Transaction, job: Job, after: JobRecord, *, content: bool) -> None:
    """Write a job as it was edited; with `content` its payload too. Spec: EDIT-2, EDIT-3"""
    before = job.record
    check("T19", before.state, after.state)
    tx.later(SQL["columns"], _columns(job, after))
    if content:
        row = {"n": job.n, "timeout_ms": after.timeout_ms}
        tx.later(SQL["content"], row, payload=after.payload)
        if after.estimate != before.estimate:
            tx.run(SQL["terms"], {"n": job.n, "terms": terms_of(after) or "{}"})
    if after.state is before.state:
        _stay(tx, job, after)
    else:
        _move(tx, job, after)
    tx.tell(queue_topic(after.queue))


def _columns(job: Job, after: JobRecord) -> dict[str, object]:
    return {
        "n": job.n,
        "band": after.band,
        "delay_ms": after.delay_ms,
        "at_ms": after.at_ms,
        "lease_ms": after.lease_ms,
        "max_attempts": after.max_attempts,
        "max_stalls": after.max_stalls,
        "max_deferral_ms": after.max_deferral_ms,
        "deadline_ms": after.deadline_ms,
        "gated": bool(job.gated) or brings(after),
    }


def _stay(tx: Transaction, job: Job, after: JobRecord) -> None:
    """Leave a job in its state; one that is ready may have to stand in another line."""
    tx.forget(job)
    tx.later(SQL["stay"], (job.n, after.due_ms))
    add_event(tx, job, "T19", after.state)
    edited = replace(job, record=after, gated=bool(job.gated) or brings(after))
    if after.state is not State.READY or _line(tx, edited) == (job.pool, job.record.band):
        return
    patience_ms = after.routes[after.route].patience_ms if after.routes else None
    pool, _ = _line(tx, edited)
    where = (job.n, pool, None if patience_ms is None else tx.now_ms + patience_ms)
    if job.keyed is not None and job.keyed.aside:
        # It stands in no lane, and comes into that of its pool and band when its key calls it.
        tx.later(SQL["pool"], where)
        return
    leave(tx, job)
    tx.later(SQL["shift"], where)
    join(tx, edited, after, (after.lane, after.position, after.id))


def _line(tx: Transaction, job: Job) -> tuple[str, int]:
    """The pool and the band in which a ready job stands."""
    record = job.record
    return (admission(tx).lanes.key_of(record)[1] if job.gated else PLAIN), record.band


def _move(tx: Transaction, job: Job, after: JobRecord) -> None:
    """Make a ready job wait for its instant, or one that is scheduled ready."""
    if after.state is State.READY:
        job.record = replace(after, state=job.record.state)
        job.gated = bool(job.gated) or brings(after)
        move(tx, job, unchanged(after, "T19", State.READY))
        return
    delay_ms = (after.due_ms or 0) - tx.now_ms
    move(tx, job, replace(unchanged(after, "T19", State.SCHEDULED), delay_ms=delay_ms))
