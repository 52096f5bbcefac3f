"""Reading budgets as they stand."""

from collections.abc import Sequence

from aiq.backends.memory.accounts import line_of
from aiq.backends.memory.books import MemoryBooks
from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_PAGE
from aiq.model import BudgetSpec, BudgetStatus, HeldFor
from aiq.rules.checks import check_count, check_limit
from aiq.rules.drawing import state_of


def get_budgets(tx: Transaction, ids: Sequence[str], after: str, limit: int) -> list[BudgetStatus]:
    """Read those named, or all behind an id, in their present window. Spec: BUDGET-7"""
    check_limit(limit)
    check_count("list of budgets", len(ids), MAX_PAGE)
    stored = tx.tables.accounts.budgets
    asked = ids or sorted(budget_id for budget_id in stored if budget_id > after)
    return [status(tx, stored[budget_id]) for budget_id in asked if budget_id in stored][:limit]


def status(tx: Transaction, spec: BudgetSpec) -> BudgetStatus:
    """A budget as it stands now."""
    waiting = tx.tables.accounts.holds.lines.get(line_of(HeldFor.BUDGET, spec.id), ())
    return BudgetStatus(spec=spec, state=state_of(MemoryBooks(tx), spec), waiting=len(waiting))
