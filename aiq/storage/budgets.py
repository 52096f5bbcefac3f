"""Ceilings on tokens and money, prices, and what was used."""

from collections.abc import Sequence
from typing import Protocol

from aiq.bounds import MAX_PAGE
from aiq.model import Amounts, BudgetSpec, BudgetStatus, PriceRow, UsageFilter, UsagePage


class Budgets(Protocol):
    """Ceilings on tokens and money, prices, and what was used. Spec: chapters 11 and 13."""

    async def put_budgets(self, budgets: Sequence[BudgetSpec], *, absent_only: bool = False) -> list[BudgetSpec]:
        """Store budgets by id, and answer with what stands now. What was spent stays; more room wakes held jobs.

        Raises:
            NotFound: a parent is not stored.
            Conflict("parent"): a budget would be its own ancestor, or a chain longer than MAX_CHAIN.
            InvalidInput: a number is out of range.
        Spec: BUDGET-1, BUDGET-2, BUDGET-9
        """
        ...

    async def get_budgets(
        self, ids: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> list[BudgetStatus]:
        """Read budgets as they stand now: those named (what is not stored is left out), or all by id after `after`."""
        ...

    async def grant(self, budget_id: str, grant_id: str, amounts: Amounts) -> BudgetStatus:
        """Add to the caps of a budget, in its present window, and wake what it can hold now, in the order it was held.

        A repeat of `grant_id` changes nothing.

        Raises:
            NotFound: no such budget.
            InvalidInput: it does not cap one of the amounts.
        Spec: BUDGET-10, HOLD-4
        """
        ...

    async def put_prices(self, prices: Sequence[PriceRow], *, absent_only: bool = False) -> None:
        """Store prices by (model, category, from_ms). With `absent_only` a model that has any price is left alone.

        Spec: USAGE-7
        """
        ...

    async def get_prices(self, model: str) -> list[PriceRow]:
        """Read every price of a model, by category and instant."""
        ...

    async def usage(self, query: UsageFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> UsagePage:
        """Read what was used, a page at a time. Spec: USAGE-8"""
        ...
