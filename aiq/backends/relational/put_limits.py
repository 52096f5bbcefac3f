"""Storing limits."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from aiq.backends.relational.admission import admission
from aiq.backends.relational.shelf import decoder_of
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.errors import Conflict
from aiq.model import LimitSpec, LimitState
from aiq.rules.limits import reshaped

SQL: Final = load("put_limits")

_PART: Final[Any] = tuple[str, LimitState]


def put_limits(tx: Transaction, limits: Sequence[LimitSpec], *, absent_only: bool) -> list[LimitSpec]:
    """Store limits by name, all of them or none; what is left of each goes along. Spec: LIMIT-1, LIMIT-2, LIMIT-3"""
    stored = admission(tx).ledger.limits
    stored.fetch(spec.name for spec in limits)
    wanted: dict[str, LimitSpec] = {}
    for spec in limits:
        standing = wanted.get(spec.name) or stored.get(spec.name)
        if standing is None or not absent_only:
            _check_by(standing, spec)
            wanted[spec.name] = spec
    old = {name: standing for name in wanted if (standing := stored.get(name)) is not None}
    states = {name: reshape(tx, standing, wanted[name]) for name, standing in old.items()}
    for spec in wanted.values():
        stored.put(spec.name, spec)
    for name, parts in states.items():
        put_parts(tx, name, parts)
    return [wanted.get(spec.name) or stored.get(spec.name) or spec for spec in limits]


def reshape(tx: Transaction, old: LimitSpec, new: LimitSpec) -> dict[str, LimitState]:
    """What is left of a limit once its numbers have changed, by key. Writes nothing."""
    parts = tx.peek(SQL["parts"], {"name": old.name}, decoder_of(_PART))
    return {key: reshaped(old, new, state, tx.now_ms) for key, state in sorted(parts, key=itemgetter(0))}


def put_parts(tx: Transaction, name: str, parts: Mapping[str, LimitState]) -> None:
    """Write what is left of a limit by key, and wake those who may have room now."""
    books = admission(tx).ledger
    for key, state in parts.items():
        books.put_limit_state(name, key, state)
        books.freed(name, key)


def _check_by(standing: LimitSpec | None, spec: LimitSpec) -> None:
    if standing is not None and standing.by != spec.by:
        goes = f"goes by {standing.by}" if standing.by else "is one for all"
        raise Conflict(f'Limit "{spec.name}" {goes}, which never changes; make one of another name.', reason="by")
