"""Letting jobs go before their time, because a person says so."""

from collections.abc import Sequence
from typing import Final

from aiq.backends.relational.gone import gone, may_go
from aiq.backends.relational.rows import ids
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.model import Purged, State

SQL: Final = load("purge_jobs")


def purge_jobs(tx: Transaction, job_ids: Sequence[str]) -> list[Purged]:
    """Purge each job that may go as the storage stands. Spec: PURGE-1, PURGE-2, PURGE-3"""
    found = {job.record.id: (job.n, job.record.state) for job in tx.fetch(job_ids)}
    unknown = [job_id for job_id in job_ids if job_id not in found]
    stones = {job_id: State(state) for job_id, state in tx.table(SQL["stones"], {"ids": ids(unknown)})}
    going = may_go(tx, [n for n, _ in found.values()])
    gone(tx, sorted(going))
    return [
        Purged(job_id, found[job_id][1], gone=found[job_id][0] in going)
        if job_id in found
        else Purged(job_id, stones.get(job_id), gone=job_id in stones)
        for job_id in job_ids
    ]
