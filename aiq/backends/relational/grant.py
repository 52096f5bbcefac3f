"""Adding to a budget."""

from typing import Final

from msgspec.structs import replace

from aiq.backends.relational.admission import admission
from aiq.backends.relational.get_budgets import status
from aiq.backends.relational.holding import let_go_on_room
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.errors import NotFound
from aiq.model import Amounts, BudgetStatus, HeldFor
from aiq.rules.budgets import check_grant, total
from aiq.rules.drawing import state_of

SQL: Final = load("grant")


def grant(tx: Transaction, budget_id: str, grant_id: str, amounts: Amounts) -> BudgetStatus:
    """Add to the caps of a budget in its present window, once, and let held jobs go. Spec: BUDGET-10, HOLD-4"""
    ledger = admission(tx).ledger
    spec = ledger.budget(budget_id)
    if spec is None:
        raise NotFound(budget_id, f'No budget "{budget_id}" is stored. Store it with `queue.admin.put_budget` first.')
    if tx.row(SQL["find"], {"budget": budget_id, "grant_id": grant_id}) is None:
        check_grant(spec, amounts)
        state = state_of(ledger, spec)
        tx.run(SQL["add"], {"budget": budget_id, "grant_id": grant_id, "window_ms": state.window_ms})
        ledger.put_budget_state(budget_id, replace(state, granted=total(state.granted, amounts)))
        ledger.rooms[HeldFor.BUDGET, budget_id] = True
        let_go_on_room(tx)
    return status(tx, spec)
