"""Storing budgets."""

from collections.abc import Sequence

from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_BATCH
from aiq.model import BudgetSpec, HeldFor
from aiq.rules.budgets import check_budget
from aiq.rules.checks import check_count
from aiq.rules.trees import to_store


def put_budgets(tx: Transaction, budgets: Sequence[BudgetSpec], *, absent_only: bool) -> list[BudgetSpec]:
    """Store budgets by id, all of them or none; what was spent and held stays. Spec: BUDGET-9, HOLD-4"""
    check_count("list of budgets", len(budgets), MAX_BATCH)
    for spec in budgets:
        check_budget(spec)
    stored = tx.tables.accounts.budgets
    wanted = to_store(stored, budgets, absent_only=absent_only)
    stored |= wanted
    for budget_id in wanted:
        tx.rooms.setdefault((HeldFor.BUDGET, budget_id), False)
    return [stored[spec.id] for spec in budgets]
