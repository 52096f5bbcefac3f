"""Handing a signal to a job."""

from dataclasses import replace

from aiq.backends.memory.data import Signal
from aiq.backends.memory.transition import Transaction, move, readied, remember
from aiq.bounds import MAX_KEPT_SIGNALS
from aiq.errors import Conflict, NotFound, TooLarge
from aiq.model import JobRecord, Lane, Sent, Step, StepKind
from aiq.rules.validation import check_signal


def send(tx: Transaction, job_id: str, name: str, signal_id: str, payload: bytes) -> Sent:
    """Bind a signal to the wait that stands open for it (T13), or keep it. Spec: SIG-1, SIG-2, SIG-4, SIG-5, SIG-11

    A repeat gets its first answer even after the job has ended: it was accepted then.
    """
    check_signal(name, signal_id, payload)
    record = tx.tables.jobs.get(job_id)
    if record is None:
        raise NotFound(job_id)
    first = tx.tables.signals.get(job_id, {}).get(signal_id)
    if first is not None:
        return _again(first, name, signal_id, payload)
    if record.state.terminal:
        raise Conflict(f"Job {job_id} is {record.state}; nothing waits for a signal any more.", reason="terminal")
    bound = tx.tables.awaited.get(job_id) == name
    if bound:
        step = Step(record.wait_key or "", StepKind.SIGNAL, payload, fence=record.fence)
        move(tx, "T13", record, readied(remember(tx, record, step), Lane.RETURNED))
    else:
        _keep(tx, record)
    over_ms = tx.now_ms if bound else None
    tx.tables.signals[job_id][signal_id] = Signal(name, payload, over_ms=over_ms, bound=bound, kept=not bound)
    return Sent(bound)


def _again(first: Signal, name: str, signal_id: str, payload: bytes) -> Sent:
    if (first.name, first.payload) != (name, payload):
        raise Conflict(f"Signal {signal_id!r} was sent before, with another name or payload.", reason="signal")
    return Sent(first.bound, existed=True)


def _keep(tx: Transaction, record: JobRecord) -> None:
    count = record.kept_signals + 1
    if count > MAX_KEPT_SIGNALS:
        raise TooLarge(f"number of signals kept for job {record.id}", count, MAX_KEPT_SIGNALS, "Let it take some.")
    tx.tables.put(replace(record, kept_signals=count))
