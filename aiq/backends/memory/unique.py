"""Unique keys: who has one. Spec: chapter 14"""

from collections.abc import Sequence
from dataclasses import replace

from aiq.backends.memory.editing import edit_job
from aiq.backends.memory.transition import Transaction
from aiq.model import Enqueued, JobRecord, JobSpec
from aiq.rules.unique import Held, Taken, answered, first_holder, heeded, holding, key_of, replaced, retaken


def look_up(tx: Transaction, batch: Sequence[JobSpec]) -> dict[str, Taken]:
    """The jobs of a batch whose keys others have."""
    tables = tx.tables
    keys = {key_of(spec) for spec in batch if spec.unique is not None}
    rows = {key: tables.unique.holders[key] for key in keys & tables.unique.holders.keys()}
    held = {key: Held(row, holding(tables.jobs.get(row.job_id), key)) for key, row in rows.items()}
    stored = {spec.id for spec in batch if spec.id in tables.jobs or spec.id in tables.tombstones}
    return answered(batch, stored, held, tx.now_ms) if keys else {}


def take_key(tx: Transaction, spec: JobSpec) -> None:
    """Let a new job have its key. Spec: UNIQ-1"""
    tx.tables.unique.put(key_of(spec), first_holder(spec, tx.now_ms))


def answer(tx: Transaction, spec: JobSpec, taken: Taken) -> Enqueued:
    """Answer with the job that has the key, once it is changed as it is to be. Spec: UNIQ-1, UNIQ-6"""
    keys, key = tx.tables.unique, key_of(spec)
    holder, standing = keys.holders[key], holding(tx.tables.jobs.get(taken.job_id), key)
    if taken.changes and standing is not None and holder.last_id != spec.id:
        keys.put(key, heeded(holder, spec))
        edit_job(tx, standing, replaced(standing, spec, tx.now_ms))
        standing = tx.tables.jobs[taken.job_id]
    state = standing.state if standing is not None else holder.state
    assert state is not None
    return Enqueued(taken.job_id, state, existed=True, by="unique", gone=standing is None)


def free_key(tx: Transaction, ended: JobRecord) -> None:
    """Let others have the key of a job that has ended, unless it is taken for a time. Spec: UNIQ-2, UNIQ-5"""
    key = key_of(ended)
    holder = tx.tables.unique.holders.get(key)
    if holder is None or holder.job_id != ended.id:
        return
    if holder.until_ms is None:
        tx.tables.unique.drop(key)
    else:
        tx.tables.unique.put(key, replace(holder, state=ended.state))


def retake_key(tx: Transaction, record: JobRecord) -> bool:
    """Let a job that is redriven have its key again; say whether it could. Spec: DEAD-23"""
    tables, key = tx.tables, key_of(record)
    row = tables.unique.holders.get(key)
    there = None if row is None else Held(row, tables.jobs.get(row.job_id))
    holder = retaken(there, record, tx.now_ms)
    if holder is not None:
        tables.unique.put(key, holder)
    return holder is not None


def forget_keys(tx: Transaction, limit: int) -> bool:
    """Forget keys whose time is over, the oldest first, and say whether more are. Spec: UNIQ-10"""
    windows = tx.tables.unique.windows
    for until_ms, *key in windows.first(limit):
        if until_ms <= tx.now_ms:
            tx.tables.unique.drop((key[0], key[1]))
    return any(until_ms <= tx.now_ms for until_ms, *_ in windows.first(1))
