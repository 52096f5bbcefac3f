"""Storing budgets."""

from collections import ChainMap
from collections.abc import Mapping, Sequence

from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_BATCH, MAX_CHAIN
from aiq.errors import Conflict, NotFound
from aiq.model import BudgetSpec, HeldFor
from aiq.rules.budgets import check_budget
from aiq.rules.checks import check_count


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


def to_store(
    stored: dict[str, BudgetSpec], budgets: Sequence[BudgetSpec], *, absent_only: bool
) -> dict[str, BudgetSpec]:
    """Those of some budgets that are to be stored, by id. A parent may come with them.

    Raises:
        NotFound: a parent is neither stored nor among them.
        Conflict("parent"): one would be its own ancestor, or a chain longer than MAX_CHAIN.
    """
    wanted: dict[str, BudgetSpec] = {}
    for spec in budgets:
        if not absent_only or (spec.id not in stored and spec.id not in wanted):
            wanted[spec.id] = spec
    tree = ChainMap(wanted, stored)
    for spec in wanted.values():
        if spec.parent is not None and spec.parent not in tree:
            raise NotFound(spec.parent, f'No budget "{spec.parent}" is stored, the parent of "{spec.id}".')
    # A budget that moves takes those below it along; a new one has none but those that come with it.
    moved = any(spec.id in stored and stored[spec.id].parent != spec.parent for spec in wanted.values())
    for spec in (tree if moved else wanted).values():
        _check_chain(tree, spec)
    return wanted


def _check_chain(tree: Mapping[str, BudgetSpec], spec: BudgetSpec) -> None:
    length, parent = 1, spec.parent
    while parent is not None:
        length, parent = length + 1, tree[parent].parent
        if length > MAX_CHAIN:
            told = f'The chain from budget "{spec.id}" to its last ancestor is endless, or longer than {MAX_CHAIN}.'
            raise Conflict(told, reason="parent")
