"""Handing a signal to a job."""

from typing import Final

from aiq.backends.relational.connection import Row
from aiq.backends.relational.moves import move, unchanged
from aiq.backends.relational.rows import Job
from aiq.backends.relational.statements import load
from aiq.backends.relational.steps import remember
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_KEPT_SIGNALS
from aiq.errors import Conflict, NotFound, TooLarge
from aiq.model import Lane, Sent, State, Step, StepKind

SQL: Final = load("send")


def send(tx: Transaction, job_id: str, name: str, signal_id: str, payload: bytes) -> Sent:
    """Bind a signal to the wait that stands open for it (T13), or keep it. Spec: SIG-1, SIG-2, SIG-4, SIG-5, SIG-11

    A repeat gets its first answer even after the job has ended: it was accepted then.
    """
    job = tx.job(job_id)
    if job is None:
        raise NotFound(job_id)
    first = tx.row(SQL["first"], {"n": job.n, "signal_id": signal_id})
    if first is not None:
        return _again(first, name, signal_id, payload)
    if job.record.state.terminal:
        text = f"Job {job_id} is {job.record.state}; nothing waits for a signal any more."
        raise Conflict(text, reason="terminal")
    bound = job.record.state is State.SUSPENDED and job.signal == name
    if bound:
        _bind(tx, job, payload)
    else:
        _keep(tx, job)
    signal = {"n": job.n, "signal_id": signal_id, "name": name, "payload": payload}
    tx.run(SQL["add"], {**signal, "kept": not bound, "bound": bound, "over_ms": tx.now_ms if bound else None})
    return Sent(bound)


def _again(first: Row, name: str, signal_id: str, payload: bytes) -> Sent:
    if first[:2] != (name, payload):
        raise Conflict(f"Signal {signal_id!r} was sent before, with another name or payload.", reason="signal")
    return Sent(bool(first[2]), existed=True)


def _bind(tx: Transaction, job: Job, payload: bytes) -> None:
    record = job.record
    remember(tx, job, Step(record.wait_key or "", StepKind.SIGNAL, payload, fence=record.fence))
    move(tx, job, unchanged(record, "T13", State.READY, Lane.RETURNED))


def _keep(tx: Transaction, job: Job) -> None:
    count = job.record.kept_signals + 1
    if count > MAX_KEPT_SIGNALS:
        text = f"number of signals kept for job {job.record.id}"
        raise TooLarge(text, count, MAX_KEPT_SIGNALS, "Let it take some.")
    tx.run(SQL["count"], {"n": job.n})
    tx.forget(job)
