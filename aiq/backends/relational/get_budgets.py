"""Reading budgets as they stand."""

from collections.abc import Sequence
from typing import Final

from aiq.backends.relational.admission import admission
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.model import BudgetSpec, BudgetStatus, HeldFor
from aiq.rules.drawing import state_of

SQL: Final = load("get_budgets")


def get_budgets(tx: Transaction, ids: Sequence[str], after: str, limit: int) -> list[BudgetStatus]:
    """Read those named, or all behind an id, in their present window. Spec: BUDGET-7"""
    ledger = admission(tx).ledger
    asked = ids or tx.names(SQL["ids"], {"after": after, "limit": limit})
    ledger.fetch_chains(asked)
    return [status(tx, spec) for one in asked if (spec := ledger.budget(one)) is not None][:limit]


def status(tx: Transaction, spec: BudgetSpec) -> BudgetStatus:
    """A budget as it stands now."""
    waiting = admission(tx).holds.count((HeldFor.BUDGET, spec.id))
    return BudgetStatus(spec=spec, state=state_of(admission(tx).ledger, spec), waiting=waiting)
