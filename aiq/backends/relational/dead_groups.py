"""Reading groups of dead jobs."""

import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from aiq.backends.relational.graves import SQL, read_groups
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_INSTANT_MS
from aiq.model import AGES_MS, DeadGroup, DeadQuery, GroupPage, GroupStatus, Sample
from aiq.rules.deaths import after_group, group_cursor, order_of

_PAGES: Final = {"last_seen": SQL["page_by_last_seen"], "dead": SQL["page_by_dead"]}
"""The statement for each order, with an index of its own."""


def dead_groups(tx: Transaction, query: DeadQuery, cursor: str | None, limit: int) -> GroupPage:
    """Read one page. The cursor is the place of the last group given. Spec: DEAD-7, DEAD-8"""
    figure, fingerprint = after_group(cursor)
    asked = {"fingerprint": query.fingerprint, "figure": -figure, "after": fingerprint, "limit": limit + 1}
    names = tx.names(_PAGES[query.by], asked)
    found = sorted((group for group, _ in read_groups(tx, names)), key=lambda group: order_of(query, group))
    page = tuple(_statuses(tx, found[:limit]))
    return GroupPage(page, group_cursor(query, found[limit - 1]) if len(found) > limit else None)


def _statuses(tx: Transaction, groups: Sequence[DeadGroup]) -> list[GroupStatus]:
    names = json.dumps([group.fingerprint for group in groups])
    ages = {name: told for name, *told in tx.table(SQL["ages"], {**_ages(tx), "fingerprints": names})}
    samples: dict[str, list[Sample]] = defaultdict(list)
    for name, at_ms, _, job_id, text in sorted(tx.table(SQL["samples"], {"fingerprints": names})):
        samples[name].append(Sample(job_id, at_ms, text))
    return [
        GroupStatus(
            group=group,
            oldest_ms=ages[group.fingerprint][0],
            ages=tuple(ages[group.fingerprint][1]),
            samples=tuple(samples[group.fingerprint]),
        )
        for group in groups
    ]


def _ages(tx: Transaction) -> dict[str, object]:
    """The ages between which deaths are counted: over the first, up to the second. The clock may have gone back."""
    edges = (-MAX_INSTANT_MS, *AGES_MS, MAX_INSTANT_MS)
    return {"now_ms": tx.now_ms, "ages": json.dumps(list(pairwise(edges)))}
