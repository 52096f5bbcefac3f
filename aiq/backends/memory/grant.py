"""Adding to a budget."""

from msgspec.structs import replace

from aiq.backends.memory.books import MemoryBooks
from aiq.backends.memory.get_budgets import status
from aiq.backends.memory.holding import let_go_on_room
from aiq.backends.memory.transition import Transaction
from aiq.errors import NotFound
from aiq.model import Amounts, BudgetStatus, HeldFor
from aiq.rules.budgets import check_amounts, check_grant, total
from aiq.rules.checks import check_opaque
from aiq.rules.drawing import state_of


def grant(tx: Transaction, budget_id: str, grant_id: str, amounts: Amounts) -> BudgetStatus:
    """Add to the caps of a budget in its present window, once, and let held jobs go. Spec: BUDGET-10, HOLD-4"""
    check_opaque("id of a grant", grant_id)
    check_amounts("grant", amounts)
    accounts = tx.tables.accounts
    spec = accounts.budgets.get(budget_id)
    if spec is None:
        raise NotFound(budget_id, f'No budget "{budget_id}" is stored. Store it with `queue.admin.put_budget` first.')
    if grant_id not in accounts.grants[budget_id]:
        check_grant(spec, amounts)
        books = MemoryBooks(tx)
        state = state_of(books, spec)
        accounts.grants[budget_id][grant_id] = state.window_ms
        books.put_budget_state(budget_id, replace(state, granted=total(state.granted, amounts)))
        tx.rooms[HeldFor.BUDGET, budget_id] = True
        let_go_on_room(tx)
    return status(tx, spec)
