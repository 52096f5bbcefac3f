"""Reading jobs by id."""

from collections.abc import Sequence

from aiq.backends.relational.rows import SQL, ids, whole_records
from aiq.backends.relational.transaction import Transaction
from aiq.model import JobRecord
from aiq.rules.batches import page_length


def get(tx: Transaction, job_ids: Sequence[str]) -> list[JobRecord | None]:
    """Read jobs whole, in the order asked, as many as one answer has room for; None where an id is not stored.

    Spec: STORE-10, STORE-11, STORE-16
    """
    sizes = dict(tx.table(SQL["sizes"], {"ids": ids(dict.fromkeys(job_ids))}))
    return get_whole(tx, job_ids[: page_length(sizes.get(job_id, 0) for job_id in job_ids)])


def get_whole(tx: Transaction, job_ids: Sequence[str]) -> list[JobRecord | None]:
    """The same, all of them."""
    ns = tx.numbers(SQL["numbers"], {"ids": ids(dict.fromkeys(job_ids))})
    records = {record.id: record for record in whole_records(tx.connection, ns)}
    return [records.get(job_id) for job_id in job_ids]
