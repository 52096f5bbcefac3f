"""Budgets of the reference: each operation one transition under the lock."""

from collections.abc import Sequence

from aiq.backends.memory.door import Door
from aiq.backends.memory.get_budgets import get_budgets
from aiq.backends.memory.get_prices import get_prices
from aiq.backends.memory.grant import grant
from aiq.backends.memory.put_budgets import put_budgets
from aiq.backends.memory.put_prices import put_prices
from aiq.backends.memory.usage import usage
from aiq.bounds import MAX_PAGE
from aiq.model import Amounts, BudgetSpec, BudgetStatus, PriceRow, UsageFilter, UsagePage


class BudgetsFace(Door):
    """See `aiq.storage.Budgets`."""

    async def put_budgets(self, budgets: Sequence[BudgetSpec], *, absent_only: bool = False) -> list[BudgetSpec]:
        """See `aiq.storage.Budgets`."""
        return await self._run(put_budgets, budgets, absent_only=absent_only)

    async def get_budgets(
        self, ids: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> list[BudgetStatus]:
        """See `aiq.storage.Budgets`."""
        return await self._look(get_budgets, ids, after, limit)

    async def grant(self, budget_id: str, grant_id: str, amounts: Amounts) -> BudgetStatus:
        """See `aiq.storage.Budgets`."""
        return await self._run(grant, budget_id, grant_id, amounts)

    async def put_prices(self, prices: Sequence[PriceRow], *, absent_only: bool = False) -> None:
        """See `aiq.storage.Budgets`."""
        await self._run(put_prices, prices, absent_only=absent_only)

    async def get_prices(self, model: str) -> list[PriceRow]:
        """See `aiq.storage.Budgets`."""
        return await self._look(get_prices, model)

    async def usage(self, query: UsageFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> UsagePage:
        """See `aiq.storage.Budgets`."""
        return await self._look(usage, query, cursor, limit)
