"""Unique keys: who has one. Spec: chapter 14"""

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from aiq.backends.relational.editing import edit_job
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.backends.relational.update import check_changed, complete
from aiq.model import Enqueued, JobRecord, JobSpec, State
from aiq.rules.unique import (
    Held,
    Holder,
    Key,
    Taken,
    answered,
    first_holder,
    heeded,
    holding,
    key_of,
    replaced,
    retaken,
)

SQL: Final = load("unique")


def look_up(tx: Transaction, batch: Sequence[JobSpec], stored: Collection[str]) -> dict[str, Taken]:
    """The jobs of a batch whose keys others have. Nothing is read for jobs without a key."""
    keys = {key_of(spec) for spec in batch if spec.unique is not None}
    if not keys:
        return {}
    holders = _read(tx, keys)
    jobs = {job.record.id: job for job in tx.fetch(holder.job_id for holder in holders.values())}
    held = {
        key: Held(holder, holding(jobs[holder.job_id].record if holder.job_id in jobs else None, key))
        for key, holder in holders.items()
    }
    return answered(batch, [spec.id for spec in batch if spec.id in stored], held, tx.now_ms)


def take_key(tx: Transaction, spec: JobSpec) -> None:
    """Let a new job have its key. Spec: UNIQ-1"""
    _write(tx, key_of(spec), first_holder(spec, tx.now_ms))


def answer(tx: Transaction, spec: JobSpec, taken: Taken) -> Enqueued:
    """Answer with the job that has the key, once it is changed as it is to be. Spec: UNIQ-1, UNIQ-6"""
    key = key_of(spec)
    holder, job = _read(tx, [key])[key], tx.job(taken.job_id)
    if job is not None and holding(job.record, key) is None:
        job = None
    state = job.record.state if job is not None else holder.state
    if taken.changes and job is not None and holder.last_id != spec.id:
        _write(tx, key, heeded(holder, spec))
        complete(tx, job)
        after = replaced(job.record, spec, tx.now_ms)
        check_changed(tx, after)
        edit_job(tx, job, after, content=True)
        state = after.state
    assert state is not None
    return Enqueued(taken.job_id, state, existed=True, by="unique", gone=job is None)


def free_key(tx: Transaction, ended: JobRecord, state: State) -> None:
    """Let others have the key of a job that ends, unless it is taken for a time. Spec: UNIQ-2, UNIQ-5"""
    task, key = key_of(ended)
    tx.later(SQL["keep"], (task, key, ended.id, state))
    tx.later(SQL["free"], (task, key, ended.id))


def retake_key(tx: Transaction, record: JobRecord) -> bool:
    """Let a job that is redriven have its key again; say whether it could. Spec: DEAD-23"""
    key = key_of(record)
    row = _read(tx, [key]).get(key)
    job = None if row is None else tx.job(row.job_id)
    there = None if row is None else Held(row, None if job is None else job.record)
    holder = retaken(there, record, tx.now_ms)
    if holder is not None:
        _write(tx, key, holder)
    return holder is not None


def _read(tx: Transaction, keys: Collection[Key]) -> dict[Key, Holder]:
    asked = msgspec.json.encode(list(keys)).decode()
    rows: list[list[Any]] = tx.table(SQL["holders"], {"keys": asked})
    return {
        (task, key): Holder(job_id, how, last_id, last_digest, until_ms, None if state is None else State(state))
        for task, key, job_id, how, last_id, last_digest, until_ms, state in rows
    }


def _write(tx: Transaction, key: Key, holder: Holder) -> None:
    row = (*key, holder.job_id, holder.how, holder.last_id, holder.last_digest, holder.until_ms)
    tx.later(SQL["take"], row, key=key)
