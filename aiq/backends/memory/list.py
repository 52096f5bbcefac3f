"""Reading jobs in the order they were enqueued."""

from itertools import islice

from aiq.backends.memory.transition import Transaction
from aiq.errors import InvalidInput
from aiq.model import JobFilter, JobRecord, Page
from aiq.rules.batches import page_length
from aiq.rules.validation import check_limit


def list_jobs(tx: Transaction, query: JobFilter, cursor: str | None, limit: int) -> Page:
    """Read one page. The cursor is the place of the last job given, so what is enqueued meanwhile comes later.

    Spec: STORE-8, STORE-13
    """
    check_limit(limit)
    listed = (record for record in tx.tables.listed(_place(cursor)) if _matches(query, record))
    found = (record for record in listed if _is_in_group(tx, query, record))
    ahead = list(islice(found, limit + 1))
    jobs = tuple(ahead[: page_length(_size(record) for record in ahead[:limit])])
    more = len(jobs) < len(ahead)
    return Page(jobs, str(tx.tables.numbers[jobs[-1].id] + 1) if more else None)


def _is_in_group(tx: Transaction, query: JobFilter, record: JobRecord) -> bool:
    """Spec: DEAD-9"""
    return query.fingerprint is None or record.id in tx.tables.graves.members.get(query.fingerprint, ())


def _size(record: JobRecord) -> int:
    return len(record.payload) + len(record.result or b"")


def _place(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdecimal()):
        raise InvalidInput(f"{cursor!r} is not a cursor. Pass the one that came with the page before, or None.")
    return int(cursor)


def _matches(query: JobFilter, record: JobRecord) -> bool:
    asked = (
        (query.queue, record.queue),
        (query.task, record.task),
        (query.flow, record.flow),
        (query.parent_id, record.parent_id),
    )
    return (not query.states or record.state in query.states) and all(
        wanted is None or wanted == found for wanted, found in asked
    )
