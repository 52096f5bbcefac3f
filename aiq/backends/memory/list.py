"""Reading jobs in the order they were enqueued."""

from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_LOOKED
from aiq.model import JobFilter, JobRecord, Page
from aiq.rules.batches import page_length
from aiq.rules.filtering import check_filter, matches
from aiq.rules.paging import job_place
from aiq.rules.validation import check_limit


def list_jobs(tx: Transaction, query: JobFilter, cursor: str | None, limit: int) -> Page:
    """Read one page. The cursor is the place of the last job given, so what is enqueued meanwhile comes later.

    Spec: STORE-8, STORE-13, STORE-14
    """
    check_limit(limit)
    check_filter(query)
    found, place = _ahead(tx, query, job_place(cursor), limit)
    length = page_length(record.content_size for record in found[:limit])
    if length == len(found):
        return Page(tuple(found), None if place is None else str(place))
    return Page(tuple(found[:length]), str(tx.tables.numbers[found[length - 1].id] + 1))


def _ahead(tx: Transaction, query: JobFilter, place: int, limit: int) -> tuple[list[JobRecord], int | None]:
    """Up to one more job than are asked for, and where to go on; None if there is nothing more to look at."""
    found: list[JobRecord] = []
    for looked, (place_of, record) in enumerate(tx.tables.listed(place)):
        if looked == MAX_LOOKED or len(found) > limit:
            return found, place_of
        if matches(query, record) and _is_in_group(tx, query, record):
            found.append(record)
    return found, None


def _is_in_group(tx: Transaction, query: JobFilter, record: JobRecord) -> bool:
    """Spec: DEAD-9"""
    return query.fingerprint is None or record.id in tx.tables.graves.members.get(query.fingerprint, ())
