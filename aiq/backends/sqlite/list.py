"""Reading jobs in the order they were enqueued."""

import json

from aiq.backends.sqlite.read import SQL
from aiq.backends.sqlite.rows import numbers, whole_records
from aiq.backends.sqlite.transaction import Transaction
from aiq.errors import InvalidInput
from aiq.model import JobFilter, Page
from aiq.rules.batches import page_length


def list_jobs(tx: Transaction, query: JobFilter, cursor: str | None, limit: int) -> Page:
    """Read one page. The cursor is the number of the last job given, so what is enqueued meanwhile comes later.

    Spec: STORE-8, STORE-13
    """
    wanted = {
        "after": _number(cursor),
        "queue": query.queue,
        "task": query.task,
        "flow": query.flow,
        "parent_id": query.parent_id,
        "fingerprint": query.fingerprint,
        "states": json.dumps([state.value for state in query.states]) if query.states else None,
        "limit": limit + 1,
    }
    ns = tx.numbers(SQL[_statement(query)], wanted)
    sizes = sorted(tx.table(SQL["sizes"], {"ns": numbers(ns[:limit])}))
    page = ns[: page_length(size for _, size in sizes)]
    jobs = tuple(whole_records(tx.connection, page))
    return Page(jobs, str(page[-1]) if len(page) < len(ns) else None)


def _statement(query: JobFilter) -> str:
    """The statement with the index that leaves the least to look at."""
    if query.fingerprint is not None:
        return "page_of_group"
    if query.parent_id is not None:
        return "page_of_parent"
    return "page" if query.flow is None else "page_of_flow"


def _number(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdecimal()):
        raise InvalidInput(f"{cursor!r} is not a cursor. Pass the one that came with the page before, or None.")
    return min(int(cursor), _LAST)


_LAST = 2**62
"""A number that no job reaches, and that SQLite can hold."""
