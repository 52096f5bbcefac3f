"""Reading jobs by id."""

from collections.abc import Sequence

from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_PAGE
from aiq.model import JobRecord
from aiq.rules.validation import check_count


def get(tx: Transaction, job_ids: Sequence[str]) -> list[JobRecord | None]:
    """Read jobs whole, in the order asked; None where an id is not stored. Spec: STORE-9, STORE-10, STORE-11"""
    check_count("list of jobs", len(job_ids), MAX_PAGE)
    return [tx.tables.jobs.get(job_id) for job_id in job_ids]
