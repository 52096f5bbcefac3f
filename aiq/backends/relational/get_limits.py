"""Reading limits with what is left of them."""

from collections.abc import Sequence
from typing import Final

from aiq.backends.relational.admission import admission
from aiq.backends.relational.ledger import SQL as LEDGER
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.model import LimitSpec, LimitStatus
from aiq.rules.limits import status

SQL: Final = load("get_limits")


def get_limits(tx: Transaction, names: Sequence[str], after: str, limit: int) -> list[LimitStatus]:
    """Read those named, or all behind a name; each is told once at least, and of the parts as many as there is room.

    Spec: LIMIT-14
    """
    ledger = admission(tx).ledger
    asked = names or tx.names(LEDGER["limit_names"], {"after": after, "limit": limit})
    public = [name for name in asked if ":" not in name]
    ledger.limits.fetch(public)
    specs = [spec for name in public if (spec := ledger.limit(name)) is not None][:limit]
    found: list[LimitStatus] = []
    for told, spec in enumerate(specs, 1):
        found += _told(tx, spec, limit - len(found) - (len(specs) - told))
    return found


def _told(tx: Transaction, spec: LimitSpec, room: int) -> list[LimitStatus]:
    """A limit, or the first parts of one with a `by`, by key; without amounts while there are none."""
    ledger = admission(tx).ledger
    keys = tx.names(SQL["keys"], {"name": spec.name, "limit": room}) if spec.by else [""]
    if not keys:
        return [LimitStatus(spec=spec)]
    ledger.limit_states.fetch((spec.name, key) for key in keys)
    return [
        status(spec, key, ledger.limit_state(spec.name, key), tx.now_ms, len(ledger.waiting(spec.name, key)))
        for key in keys
    ]
