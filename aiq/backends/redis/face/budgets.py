"""Budgets in Redis: each operation one call of the script of its name."""

from collections.abc import Sequence

from aiq.backends.redis.door import Door
from aiq.backends.redis.wire import heard, said
from aiq.bounds import MAX_BATCH, MAX_PAGE
from aiq.errors import InvalidInput
from aiq.model import Amounts, BudgetSpec, BudgetStatus, PriceRow, UsageFilter, UsagePage, UsageRow
from aiq.rules.budgets import check_amounts, check_budget
from aiq.rules.checks import check_count, check_limit, check_opaque
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
        scope, owner = _scope(query)
        args = {"scope": scope, "owner": owner, "after": _place(cursor), "limit": limit}
        args |= {"since_ms": query.since_ms, "until_ms": query.until_ms}
        answer = await self._step("usage", args)
        rows = tuple(_row(*row) for row in answer.value[:limit])
        return UsagePage(rows, _cursor(rows[-1]) if len(answer.value) > limit else None)


def _scope(query: UsageFilter) -> tuple[str, str]:
    for scope, owner in (("job", query.job_id), ("flow", query.flow), ("tenant", query.tenant)):
        if owner is not None:
            return scope, owner
    return "all", ""


def _row(
    minute_ms: int, model: str, category: str, tokens: int, usd_micros: int, unpriced: int, estimated: int
) -> UsageRow:
    return UsageRow(
        minute_ms=minute_ms,
        model=model,
        category=category,
        tokens=tokens,
        usd_micros=usd_micros,
        unpriced=unpriced,
        estimated=estimated,
    )


def _cursor(row: UsageRow) -> str:
    """A category has no space in it; a model may."""
    return f"{row.minute_ms} {row.category} {row.model}"


def _place(cursor: str | None) -> tuple[int, str, str] | None:
    if cursor is None:
        return None
    minute, _, rest = cursor.partition(" ")
    category, found, model = rest.partition(" ")
    if not (minute.isascii() and minute.isdecimal() and found):
        raise InvalidInput(f"{cursor!r} is not a cursor. Pass the one that came with the page before, or None.")
    return int(minute), model, category
