"""Reading jobs by id."""

from collections.abc import Sequence

from aiq.backends.sqlite.rows import SQL, ids, whole_records
from aiq.backends.sqlite.transaction import Transaction
from aiq.model import JobRecord


def get(tx: Transaction, job_ids: Sequence[str]) -> list[JobRecord | None]:
    """Read jobs whole, in the order asked; None where an id is not stored. Spec: STORE-10, STORE-11"""
    ns = tx.numbers(SQL["numbers"], {"ids": ids(dict.fromkeys(job_ids))})
    records = {record.id: record for record in whole_records(tx.connection, ns)}
    return [records.get(job_id) for job_id in job_ids]
