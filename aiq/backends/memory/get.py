"""Reading jobs by id."""

from collections.abc import Sequence

from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_PAGE
from aiq.model import JobRecord
from aiq.rules.batches import page_length
from aiq.rules.validation import check_count


def get(tx: Transaction, job_ids: Sequence[str]) -> list[JobRecord | None]:
    """Read jobs whole, in the order asked; None where an id is not stored. Spec: STORE-9, STORE-10, STORE-11"""
    check_count("list of jobs", len(job_ids), MAX_PAGE)
    return answered(tx, job_ids)


def answered(tx: Transaction, job_ids: Sequence[str]) -> list[JobRecord | None]:
    """As much of it as one answer has room for. Spec: STORE-16"""
    records = [tx.tables.jobs.get(job_id) for job_id in job_ids]
    return records[: page_length(0 if record is None else record.content_size for record in records)]
