"""Reading jobs in the order they were enqueued."""

import json
from typing import Final

from aiq.backends.relational.rows import numbers, whole_records
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_LOOKED
from aiq.model import JobFilter, Page, State, TimeRange
from aiq.rules.batches import page_length
from aiq.rules.filtering import check_filter
from aiq.rules.paging import job_place

SQL: Final = load("list")

AT_ONCE: Final = 512
"""Jobs that are looked at in one go: most pages are full after the first."""


def list_jobs(tx: Transaction, query: JobFilter, cursor: str | None, limit: int) -> Page:
    """Read one page. The cursor is the number of the last job given, so what is enqueued meanwhile comes later.

    Spec: STORE-8, STORE-13, STORE-14
    """
    check_filter(query)
    ns, last = _ahead(tx, query, job_place(cursor), limit)
    sizes = sorted(tx.table(SQL["sizes"], {"ns": numbers(ns[:limit])}))
    page = ns[: page_length(size for _, size in sizes)]
    jobs = tuple(whole_records(tx.connection, page))
    if len(page) < len(ns):
        return Page(jobs, str(page[-1]))
    return Page(jobs, None if last is None else str(last))


def _ahead(tx: Transaction, query: JobFilter, after: int, limit: int) -> tuple[list[int], int | None]:
    """Up to one more number than are asked for, and the last that was looked at; None if there is nothing more."""
    name, asked = _way(query), _asked(query)
    found: list[int] = []
    looked = 0
    while looked < MAX_LOOKED and len(found) <= limit:
        count = min(max(AT_ONCE, limit + 1), MAX_LOOKED - looked)
        seen = tx.numbers(SQL[name], {**asked, "after": after, "count": count})
        found += tx.numbers(SQL["matching"], {**asked, "ns": numbers(seen)}) if seen else []
        if len(seen) < count:
            return found[: limit + 1], None
        looked, after = looked + count, seen[-1]
    return found[: limit + 1], after


def _way(query: JobFilter) -> str:
    """The statement with the index that leaves the least to look at."""
    if query.parent_id is not None:
        return "of_parent"
    if query.flow is not None:
        return "of_flow"
    if query.fingerprint is not None:
        return "of_group"
    by_state = _BY_STATE.get(frozenset(query.states))
    return by_state or ("of_tenant" if query.tenant else "of_all")


_BY_STATE: Final = {frozenset({State.DEAD}): "of_the_dead", frozenset({State.RUNNING}): "of_the_running"}


def _asked(query: JobFilter) -> dict[str, object]:
    states = json.dumps([state.value for state in query.states]) if query.states else None
    return {
        "queue": query.queue,
        "task": query.task,
        "flow": query.flow,
        "parent_id": query.parent_id,
        "fingerprint": query.fingerprint,
        "tenant": query.tenant,
        "states": states,
        **_bounds("created", query.created),
        **_bounds("ended", query.ended),
        **_bounds("due", query.due),
    }


def _bounds(name: str, asked: TimeRange | None) -> dict[str, object]:
    if asked is None:
        return {f"{name}_since": None, f"{name}_until": None}
    # What has no instant is in no range, also not in one that is open on both sides.
    since_ms = 0 if asked.since_ms is None else asked.since_ms
    return {f"{name}_since": since_ms, f"{name}_until": asked.until_ms}
