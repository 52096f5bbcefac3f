"""Storing limits."""

from collections.abc import Sequence

from aiq.backends.memory.books import MemoryBooks
from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_BATCH
from aiq.errors import Conflict
from aiq.model import LimitSpec, LimitState
from aiq.rules.checks import check_count
from aiq.rules.limits import check_limit, reshaped


def put_limits(tx: Transaction, limits: Sequence[LimitSpec], *, absent_only: bool) -> list[LimitSpec]:
    """Store limits by name, all of them or none; what is left of each goes along. Spec: LIMIT-1, LIMIT-2, LIMIT-3"""
    check_count("list of limits", len(limits), MAX_BATCH)
    for spec in limits:
        check_limit(spec)
    stored = tx.tables.accounts.limits
    wanted: dict[str, LimitSpec] = {}
    for spec in limits:
        standing = wanted.get(spec.name) or stored.get(spec.name)
        if standing is None or not absent_only:
            wanted[spec.name] = _checked(standing, spec)
    states = {name: reshape(tx, stored[name], spec) for name, spec in wanted.items() if name in stored}
    stored |= wanted
    for name, parts in states.items():
        put_parts(tx, name, parts)
    return [stored[spec.name] for spec in limits]


def reshape(tx: Transaction, old: LimitSpec, new: LimitSpec) -> dict[str, LimitState]:
    """What is left of a limit once its numbers have changed, by key. Writes nothing."""
    parts = {key: state for (name, key), state in tx.tables.accounts.states.items() if name == old.name}
    return {key: reshaped(old, new, state, tx.now_ms) for key, state in parts.items()}


def put_parts(tx: Transaction, name: str, parts: dict[str, LimitState]) -> None:
    """Write what is left of a limit by key, and wake those who may have room now."""
    books = MemoryBooks(tx)
    for key, state in parts.items():
        books.put_limit_state(name, key, state)
        books.freed(name, key)


def _checked(standing: LimitSpec | None, spec: LimitSpec) -> LimitSpec:
    if standing is not None and standing.by != spec.by:
        goes = f"goes by {standing.by}" if standing.by else "is one for all"
        raise Conflict(f'Limit "{spec.name}" {goes}, which never changes; make one of another name.', reason="by")
    return spec
