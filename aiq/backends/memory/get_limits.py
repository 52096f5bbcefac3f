"""Reading limits with what is left of them."""

from collections.abc import Sequence

from aiq.backends.memory.books import MemoryBooks
from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_PAGE
from aiq.model import LimitSpec, LimitStatus
from aiq.rules.checks import check_count, check_limit
from aiq.rules.limits import status


def get_limits(tx: Transaction, names: Sequence[str], after: str, limit: int) -> list[LimitStatus]:
    """Read those named, or all behind a name; each is told once at least, and of the parts as many as there is room.

    Spec: LIMIT-14
    """
    check_limit(limit)
    check_count("list of limits", len(names), MAX_PAGE)
    stored = tx.tables.accounts.limits
    asked = names or sorted(name for name in stored if name > after)
    specs = [stored[name] for name in asked if name in stored][:limit]
    found: list[LimitStatus] = []
    for told, spec in enumerate(specs, 1):
        found += _told(tx, spec, limit - len(found) - (len(specs) - told))
    return found


def _told(tx: Transaction, spec: LimitSpec, room: int) -> list[LimitStatus]:
    """A limit, or the first parts of one with a `by`, by key; without amounts while there are none."""
    books, states = MemoryBooks(tx), tx.tables.accounts.states
    keys = sorted(key for name, key in states if name == spec.name) if spec.by else [""]
    if not keys:
        return [LimitStatus(spec=spec)]
    return [
        status(spec, key, states.get((spec.name, key)), tx.now_ms, len(books.waiting(spec.name, key)))
        for key in keys[:room]
    ]
