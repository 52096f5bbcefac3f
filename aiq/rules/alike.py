"""What calls that are alike have in common: worked out once in a step, and not once for each of them.

Most jobs of a task ask for as much of the same model, on the same limits and under budgets with the same kinds of caps.
What that comes to does not depend on how a limit or a budget stands, so a step keeps it, by value, and what is left
to be done for each job are comparisons and sums of whole numbers.
"""

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from aiq.model import Amounts, BudgetSpec, LimitSpec, Need, Part, Usage
from aiq.rules import budgets, charging

if TYPE_CHECKING:
    from aiq.rules.planning import Ask


class Counted(NamedTuple):
    """What one category of one model counts for: tokens, what they cost, those without a price, those estimated."""

    tokens: int = 0
    usd_micros: int = 0
    unpriced: int = 0
    estimated: int = 0


Lines = Mapping[tuple[str, str], Counted]
"""By model and category."""


class Want:
    """What a call needs, at the prices of its model, and what that is of each budget."""

    __slots__ = ("_amounts", "need", "prices")

    def __init__(self, need: Need, prices: Mapping[str, int]) -> None:
        self.need, self.prices = need, prices
        self._amounts: dict[Hashable, Amounts] = {}

    def amounts(self, spec: BudgetSpec) -> Amounts:
        """What a call reserves of a budget. Two with the same kinds of caps and the same weights are one here."""
        kinds = (*spec.caps, *spec.weights.items()) if spec.weights else (*spec.caps,)
        found = self._amounts.get(kinds)
        if found is None:
            found = self._amounts[kinds] = budgets.amounts(spec, self.need, self.prices)
        return found


class Account:
    """What stands for a call: the use that is `counted` and what that is worth (`lines`), and the use that its limits
    are `charged`. `guessed` says that nobody reported it."""

    __slots__ = ("_on_budgets", "_on_limits", "_on_parts", "charged", "counted", "guessed", "lines", "usd_micros")

    def __init__(
        self, counted: tuple[Usage, ...], charged: tuple[Usage, ...], lines: Lines, *, guessed: bool = False
    ) -> None:
        self.counted, self.charged, self.lines, self.guessed = counted, charged, lines, guessed
        self.usd_micros = sum([line.usd_micros for line in lines.values()])
        self._on_limits: dict[str, int] = {}
        self._on_parts: dict[Part, tuple[int, Part]] = {}
        self._on_budgets: dict[Hashable, Amounts] = {}

    def on_limit(self, spec: LimitSpec) -> int:
        """The weighted tokens that count on a limit. CALL-9"""
        found = self._on_limits.get(spec.name)
        if found is None:
            found = self._on_limits[spec.name] = charging.counted(spec, self.charged)
        return found

    def on_part(self, spec: LimitSpec, part: Part) -> tuple[int, Part]:
        """What counts in the end of what a call took of a limit, and the part that says so. CALL-9, CALL-12"""
        found = self._on_parts.get(part)
        if found is None:
            used = self.on_limit(spec)
            # A guess never takes more than was reserved by it.
            used = min(used, part.charge + part.rest) if self.guessed else used
            found = self._on_parts[part] = used, charged(part, used if spec.refund else max(used, part.charge))
        return found

    def on_budget(self, spec: BudgetSpec) -> Amounts:
        """What was spent of a budget. BUDGET-3"""
        kind = tuple(spec.weights.items()) if spec.weights else ()
        found = self._on_budgets.get(kind)
        if found is None:
            found = self._on_budgets[kind] = budgets.amounts_used(spec, self.counted, {}, self.usd_micros)
        return found


def charged(part: Part, charge: int) -> Part:
    """A part that is closed: what it held is over, and so much stands charged."""
    return Part(limit=part.limit, key=part.key, requests=part.requests, charge=charge, slot=part.slot)


class Alike:
    """What was worked out in one step so far. It holds for the limits, prices and estimates of that step alone."""

    __slots__ = ("accounts", "asks", "fitting", "wants")

    def __init__(self) -> None:
        self.fitting: set[Hashable] = set()
        """What new jobs take of limits that are stored and can give it."""
        self.asks: dict[Hashable, Ask] = {}
        self.wants: dict[Need, Want] = {}
        self.accounts: dict[Hashable, Account] = {}
