"""Budgets: checked here, and made one step of the store."""

from collections.abc import Sequence

from aiq.backends.relational.door import Door
from aiq.backends.relational.get_budgets import get_budgets
from aiq.backends.relational.get_prices import get_prices
from aiq.backends.relational.grant import grant
from aiq.backends.relational.put_budgets import put_budgets
from aiq.backends.relational.put_prices import put_prices
from aiq.backends.relational.usage import usage
from aiq.bounds import MAX_BATCH, MAX_PAGE
from aiq.model import Amounts, BudgetSpec, BudgetStatus, PriceRow, UsageFilter, UsagePage
from aiq.rules.budgets import check_amounts, check_budget
from aiq.rules.prices import check_price
from aiq.rules.validation import check_count, check_limit, check_opaque, check_usage_filter


class BudgetsFace(Door):
    """See `aiq.storage.Budgets`."""

    async def put_budgets(self, budgets: Sequence[BudgetSpec], *, absent_only: bool = False) -> list[BudgetSpec]:
        """See `aiq.storage.Budgets`."""
        check_count("list of budgets", len(budgets), MAX_BATCH)
        for spec in budgets:
            check_budget(spec)
        return await self._write(put_budgets, budgets, absent_only=absent_only)

    async def get_budgets(
        self, ids: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> list[BudgetStatus]:
        """See `aiq.storage.Budgets`."""
        check_limit(limit)
        check_count("list of budgets", len(ids), MAX_PAGE)
        return await self._read(get_budgets, ids, after, limit)

    async def grant(self, budget_id: str, grant_id: str, amounts: Amounts) -> BudgetStatus:
        """See `aiq.storage.Budgets`."""
        check_opaque("id of a grant", grant_id)
        check_amounts("grant", amounts)
        return await self._write(grant, budget_id, grant_id, amounts)

    async def put_prices(self, prices: Sequence[PriceRow], *, absent_only: bool = False) -> None:
        """See `aiq.storage.Budgets`."""
        check_count("list of prices", len(prices), MAX_BATCH)
        for row in prices:
            check_price(row)
        await self._write(put_prices, prices, absent_only=absent_only)

    async def get_prices(self, model: str) -> list[PriceRow]:
        """See `aiq.storage.Budgets`."""
        return await self._read(get_prices, model)

    async def usage(self, query: UsageFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> UsagePage:
        """See `aiq.storage.Budgets`."""
        check_limit(limit)
        check_usage_filter(query)
        return await self._read(usage, query, cursor, limit)
