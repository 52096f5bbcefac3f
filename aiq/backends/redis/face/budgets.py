"""Budgets in Redis: each operation one call of the script of its name."""

from collections.abc import Sequence

from aiq.backends.redis.door import Door
from aiq.backends.redis.wire import heard, said
from aiq.bounds import MAX_BATCH, MAX_PAGE
from aiq.model import Amounts, BudgetSpec, BudgetStatus, PriceRow, UsageFilter, UsagePage
from aiq.rules.budgets import check_amounts, check_budget
from aiq.rules.checks import check_count, check_limit, check_opaque
from aiq.rules.paging import usage_owner, usage_page, usage_place, usage_row
from aiq.rules.prices import check_price
from aiq.rules.validation import check_usage_filter


class BudgetsFace(Door):
    """See `aiq.storage.Budgets`."""

    async def put_budgets(self, budgets: Sequence[BudgetSpec], *, absent_only: bool = False) -> list[BudgetSpec]:
        """See `aiq.storage.Budgets`."""
        check_count("list of budgets", len(budgets), MAX_BATCH)
        for spec in budgets:
            check_budget(spec)
        answer = await self._step("put_budgets", {"budgets": said(budgets), "absent_only": absent_only})
        return [heard(BudgetSpec, spec) for spec in answer.value]

    async def get_budgets(
        self, ids: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> list[BudgetStatus]:
        """See `aiq.storage.Budgets`."""
        check_limit(limit)
        check_count("list of budgets", len(ids), MAX_PAGE)
        answer = await self._step("get_budgets", {"ids": list(ids), "after": after, "limit": limit})
        return [heard(BudgetStatus, status) for status in answer.value]

    async def grant(self, budget_id: str, grant_id: str, amounts: Amounts) -> BudgetStatus:
        """See `aiq.storage.Budgets`."""
        check_opaque("id of a grant", grant_id)
        check_amounts("grant", amounts)
        answer = await self._step("grant", {"budget": budget_id, "grant": grant_id, "amounts": dict(amounts)})
        return heard(BudgetStatus, answer.value)

    async def put_prices(self, prices: Sequence[PriceRow], *, absent_only: bool = False) -> None:
        """See `aiq.storage.Budgets`."""
        check_count("list of prices", len(prices), MAX_BATCH)
        for row in prices:
            check_price(row)
        told = [(row.model, row.category, row.from_ms, row.usd_micros_per_million) for row in prices]
        await self._step("put_prices", {"prices": told, "absent_only": absent_only})

    async def get_prices(self, model: str) -> list[PriceRow]:
        """See `aiq.storage.Budgets`."""
        answer = await self._step("get_prices", {"model": model})
        return [
            PriceRow(model=model, category=category, from_ms=from_ms, usd_micros_per_million=price)
            for category, from_ms, price in answer.value
        ]

    async def usage(self, query: UsageFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> UsagePage:
        """See `aiq.storage.Budgets`."""
        check_limit(limit)
        check_usage_filter(query)
        scope, owner = usage_owner(query)
        args = {"scope": scope, "owner": owner, "after": usage_place(cursor), "limit": limit}
        args |= {"since_ms": query.since_ms, "until_ms": query.until_ms}
        answer = await self._step("usage", args)
        return usage_page([usage_row(*row) for row in answer.value], limit)
