"""Budgets as a tree: which of some are to be stored, and whether their chains stay short. Spec: chapter 11."""

from collections.abc import Mapping, Sequence

from aiq.bounds import MAX_CHAIN
from aiq.errors import Conflict, NotFound
from aiq.model import BudgetSpec


def to_store(
    stored: Mapping[str, BudgetSpec], budgets: Sequence[BudgetSpec], *, absent_only: bool
) -> dict[str, BudgetSpec]:
    """Those of some budgets that are to be stored, by id. A parent may come with them.

    `stored` are at least those that stand in their places, with all their ancestors and descendants.

    Raises:
        NotFound: a parent is neither stored nor among them.
        Conflict("parent"): one would be its own ancestor, or a chain longer than MAX_CHAIN.
    """
    wanted: dict[str, BudgetSpec] = {}
    for spec in budgets:
        if not absent_only or (spec.id not in stored and spec.id not in wanted):
            wanted[spec.id] = spec
    tree = {**stored, **wanted}
    for spec in wanted.values():
        if spec.parent is not None and spec.parent not in tree:
            raise NotFound(spec.parent, f'No budget "{spec.parent}" is stored, the parent of "{spec.id}".')
    # A budget that moves takes those below it along.
    for budget_id in sorted(tree) if wanted else ():
        _check_chain(tree, tree[budget_id])
    return wanted


def _check_chain(tree: Mapping[str, BudgetSpec], spec: BudgetSpec) -> None:
    length, parent = 1, spec.parent
    while parent is not None:
        length, parent = length + 1, tree[parent].parent
        if length > MAX_CHAIN:
            told = f'The chain from budget "{spec.id}" to its last ancestor is endless, or longer than {MAX_CHAIN}.'
            raise Conflict(told, reason="parent")
