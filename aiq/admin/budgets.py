"""Budgets and what is granted to them, and the prices that they are counted by."""

from collections.abc import Iterable
from functools import partial
from typing import Final

from aiq.admin.room import Room
from aiq.bounds import MAX_AMOUNT, MAX_PAGE
from aiq.errors import InvalidInput, NotFound, Unavailable
from aiq.job import fresh_id, until_known
from aiq.misuse import check_kind
from aiq.needs import parts
from aiq.policy import Budget, Money, Price, amounts, dollars, usd_micros, whole
from aiq.reports import BudgetReport
from aiq.rules.validation import check_opaque

_NO_BUDGET: Final = (
    'No budget "{}" is stored here. A tenant\'s is "tenant:T", those of flows and jobs "flow:ID", "job:ID".'
)


class BudgetAdmin(Room):
    """The part of `Admin` that is about budgets and prices."""

    async def put_budget(self, budget: Budget) -> BudgetReport:
        """Store a budget with a name or a tenant, in the place of what stood there. What was spent stays; more room
        lets held jobs go.

        Raises:
            NotFound: its parent is not stored.
            Conflict("parent"): it would be its own ancestor, or the chain would be too long.
            InvalidInput: nothing says whose budget it is.
        """
        check_kind("budget", budget, Budget, 'aiq.Budget("team-a", usd="50")')
        spec = budget.spec()
        await until_known(partial(self._storage.put_budgets, [spec]))
        return await self.budget(spec.id)

    async def budget(self, id: str) -> BudgetReport:
        """One budget as it stands: a name, "tenant:T", "flow:ID" or "job:ID".

        Raises:
            NotFound: no such budget.
        """
        found = await self._storage.get_budgets([id])
        if not found:
            raise NotFound(id, _NO_BUDGET.format(id))
        return BudgetReport.of(found[0])

    async def budgets(self, *ids: str) -> list[BudgetReport]:
        """Budgets as they stand, by id: those named, if they are stored, or all, with those of jobs and flows."""
        found: list[BudgetReport] = []
        while page := await self._storage.get_budgets(ids, after=found[-1].id if found else ""):
            found += map(BudgetReport.of, page)
            if ids or len(page) < MAX_PAGE:
                break
        return found

    async def grant(
        self,
        budget: str,
        /,
        *,
        usd: Money | None = None,
        tokens: int | None = None,
        id: str | None = None,
        **categories: int,
    ) -> BudgetReport:
        """Add to the caps of a budget, for its present window, and let held jobs go that it can hold now.

            await queue.admin.grant("tenant:acme", usd="10", output=100_000)

        The same grant counts once however often it is repeated: give it an `id` of your own to repeat it yourself.

        Raises:
            NotFound: no such budget.
            InvalidInput: it does not cap one of these amounts; the text says what it caps.
            Unavailable: a note says under which id to repeat the call.
        """
        check_opaque("budget", budget)
        counted = {name: whole(f"grant of {name}", count, 0, MAX_AMOUNT) for name, count in categories.items()}
        added = amounts(
            None if usd is None else dollars(usd_micros("grant of usd", usd)),
            None if tokens is None else whole("grant of tokens", tokens, 0, MAX_AMOUNT),
            counted,
        )
        if not added:
            raise InvalidInput(f"Say how much: grant({budget!r}, usd=10), tokens=50_000, or a category, output=10_000.")
        grant_id = fresh_id() if id is None else id
        check_opaque("grant id", grant_id)
        try:
            return BudgetReport.of(await until_known(partial(self._storage.grant, budget, grant_id, added)))
        except Unavailable as error:
            error.add_note(f"To repeat it without granting twice: grant(…, id={grant_id!r}).")
            raise

    async def put_prices(self, prices: Iterable[Price]) -> None:
        """Store what tokens cost. A price of the same model, category and instant takes the place of the stored one;
        jobs that are held because their model has no price go on."""
        given = list(prices)
        for price in given:
            check_kind("price", price, Price, 'aiq.Price("gpt", "input", "2.50")')
        for batch in parts(price.row() for price in given):
            await until_known(partial(self._storage.put_prices, batch))

    async def prices(self, model: str) -> list[Price]:
        """Every price of a model, by category and instant, also those that have not begun."""
        return [Price.of(row) for row in await self._storage.get_prices(model)]
