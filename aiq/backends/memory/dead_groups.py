"""Reading groups of dead jobs."""

from aiq.backends.memory.graves import Graves
from aiq.backends.memory.transition import Transaction
from aiq.model import DeadGroup, DeadQuery, GroupPage, GroupStatus, Sample
from aiq.rules.deaths import after_group, ages_of, group_cursor, order_of
from aiq.rules.validation import check_limit


def dead_groups(tx: Transaction, query: DeadQuery, cursor: str | None, limit: int) -> GroupPage:
    """Read one page. The cursor is the place of the last group given. Spec: DEAD-7, DEAD-8"""
    check_limit(limit)
    graves, after = tx.tables.graves, after_group(cursor)
    asked = graves.groups.values() if query.fingerprint is None else _one(graves, query.fingerprint)
    found = sorted((group for group in asked if order_of(query, group) > after), key=lambda one: order_of(query, one))
    page = tuple(_status(tx, group) for group in found[:limit])
    return GroupPage(page, group_cursor(query, found[limit - 1]) if len(found) > limit else None)


def _one(graves: Graves, fingerprint: str) -> list[DeadGroup]:
    return [graves.groups[fingerprint]] if fingerprint in graves.groups else []


def _status(tx: Transaction, group: DeadGroup) -> GroupStatus:
    graves = tx.tables.graves
    at_ms = {job_id: graves.deaths[job_id].died_at_ms for job_id in graves.members.get(group.fingerprint, ())}
    samples = sorted(graves.samples(group.fingerprint), key=lambda job_id: (at_ms[job_id], tx.tables.numbers[job_id]))
    return GroupStatus(
        group=group,
        oldest_ms=min(at_ms.values(), default=None),
        ages=ages_of(list(at_ms.values()), tx.now_ms),
        samples=tuple(Sample(job_id, at_ms[job_id], graves.deaths[job_id].sample or "") for job_id in samples),
    )
