"""Which jobs a filter means. Spec: STORE-14, STORE-15"""

from aiq.bounds import MAX_INSTANT_MS
from aiq.model import JobFilter, JobRecord, TimeRange
from aiq.rules.checks import check_range


def check_filter(query: JobFilter) -> None:
    """Refuse instants that are none."""
    for name, range_ in (("created", query.created), ("ended", query.ended), ("due", query.due)):
        for at_ms in () if range_ is None else (range_.since_ms, range_.until_ms):
            if at_ms is not None:
                check_range(f"an instant of `{name}`", at_ms, 0, MAX_INSTANT_MS)


def matches(query: JobFilter, record: JobRecord) -> bool:
    """Whether a job is meant, but for the group of dead jobs in which it stands, which the record does not tell."""
    asked = (
        (query.queue, record.queue),
        (query.task, record.task),
        (query.flow, record.flow),
        (query.parent_id, record.parent_id),
        (query.tenant, record.tenant),
    )
    same = all(wanted is None or wanted == found for wanted, found in asked)
    return same and (not query.states or record.state in query.states) and _is_in_time(query, record)


def _is_in_time(query: JobFilter, record: JobRecord) -> bool:
    ranges: tuple[tuple[TimeRange | None, int | None], ...] = (
        (query.created, record.created_at_ms),
        (query.ended, record.finished_at_ms),
        (query.due, record.due_ms),
    )
    return all(range_ is None or at_ms in range_ for range_, at_ms in ranges)
