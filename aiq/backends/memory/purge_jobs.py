"""Letting jobs go before their time, because a person says so."""

from collections.abc import Sequence

from aiq.backends.memory.gone import gone, may_go
from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_BATCH
from aiq.model import JobRecord, Purged
from aiq.rules.checks import check_count


def purge_jobs(tx: Transaction, job_ids: Sequence[str]) -> list[Purged]:
    """Purge each job that may go as the storage stands. Spec: PURGE-1, PURGE-2, PURGE-3"""
    check_count("list of jobs", len(job_ids), MAX_BATCH)
    found = {job_id: tx.tables.jobs.get(job_id) for job_id in job_ids}
    going = {job_id: record for job_id, record in found.items() if record is not None and may_go(tx, record)}
    for record in going.values():
        gone(tx, record)
    return [_answer(tx, job_id, found[job_id], going=job_id in going) for job_id in job_ids]


def _answer(tx: Transaction, job_id: str, record: JobRecord | None, *, going: bool) -> Purged:
    if record is not None:
        return Purged(job_id, record.state, gone=going)
    stone = tx.tables.tombstones.get(job_id)
    return Purged(job_id, None if stone is None else stone.state, gone=stone is not None)
