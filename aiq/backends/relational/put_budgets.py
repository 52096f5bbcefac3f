"""Storing budgets."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from aiq.backends.relational.admission import admission
from aiq.backends.relational.shelf import decoder_of
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_CHAIN
from aiq.model import BudgetSpec
from aiq.rules.trees import to_store

SQL: Final = load("put_budgets")

_BUDGET: Final[Any] = tuple[str, BudgetSpec]


def put_budgets(tx: Transaction, budgets: Sequence[BudgetSpec], *, absent_only: bool) -> list[BudgetSpec]:
    """Store budgets by id, all of them or none; what was spent and held stays. Spec: BUDGET-9, HOLD-4"""
    ledger, stored = admission(tx).ledger, _relatives(tx, budgets)
    wanted = to_store(stored, budgets, absent_only=absent_only)
    for spec in wanted.values():
        ledger.budgets.put(spec.id, spec)
        ledger.room_appeared(spec.id)
    return [wanted.get(spec.id) or stored[spec.id] for spec in budgets]


def _relatives(tx: Transaction, budgets: Sequence[BudgetSpec]) -> Mapping[str, BudgetSpec]:
    """What is stored of budgets and their parents, and all that stand above and below them."""
    ids = {one for spec in budgets for one in (spec.id, spec.parent) if one is not None}
    asked = {"ids": msgspec.json.encode(sorted(ids)).decode(), "depth": MAX_CHAIN}
    return dict(tx.peek(SQL["relatives"], asked, decoder_of(_BUDGET)))
