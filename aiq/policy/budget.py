"""Budgets: ceilings on tokens and money."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Final, Literal, Self, TypeAlias, get_args

from aiq import bounds
from aiq.errors import InvalidInput
from aiq.model import TOKENS, USD_MICROS, Amounts, BudgetSpec, OnExceeded, Window
from aiq.policy.figures import (
    Money,
    caps_of,
    check_name,
    check_text,
    dollars,
    thousandths,
    usd_micros,
    weights_of,
    whole,
    word,
)

OnExceededName: TypeAlias = Literal["hold", "fail", "degrade", "approve"]
"""What becomes of a job that its budget cannot hold; see `OnExceeded`."""

_TENANT: Final = "tenant:"
_CATEGORY: Final = f"{TOKENS}."


@dataclass(frozen=True, slots=True, init=False)
class Budget:
    """A ceiling on tokens, on money, or on tokens of single categories. What a call may need is set aside before it.

        aiq.Budget(usd="2.00")                              # enqueue(job, budget=…): of the job and its children
        aiq.Budget(tokens=500_000)                          # Flow("digest", budget=…): of all its jobs together
        aiq.Budget(tenant="acme", usd="50", window="day")   # queue.admin.put_budget(…): of every job of a tenant
        aiq.Budget("team-a", usd="500", window="month")     # by name, for whoever names it

    `parent` is the id of a budget from which this one draws as well. `per_category` bounds categories ("output",
    "cache_write") apart; `weights` say what a token of a category counts in `tokens`, 1.0 where nothing is said. With a
    `window` it begins anew with each day or month in UTC. A job that it cannot hold is held until there is room
    ("hold"), is dead ("fail"), takes its next route ("degrade"), or is held until somebody grants more ("approve").

    Raises:
        InvalidName: the name is outside the alphabet.
        InvalidInput: a number is out of its bounds, a word is unknown, nothing is bounded, or it is its own parent.
    """

    name: str | None
    tenant: str | None
    parent: str | None
    tokens: int | None
    usd: Decimal | None
    per_category: Mapping[str, int]
    weights: Mapping[str, float]
    window: Window | None
    on_exceeded: OnExceeded

    def __init__(
        self,
        name: str | None = None,
        *,
        tenant: str | None = None,
        parent: str | None = None,
        tokens: int | None = None,
        usd: Money | None = None,
        per_category: Mapping[str, int] = MappingProxyType({}),
        weights: Mapping[str, float] = MappingProxyType({}),
        window: Window | None = None,
        on_exceeded: OnExceededName | OnExceeded = "hold",
    ) -> None:
        keep = partial(object.__setattr__, self)
        _check_whose(name, tenant, parent)
        keep("name", name)
        keep("tenant", tenant)
        keep("parent", parent)
        if parent is not None and parent == self.id:
            raise InvalidInput(f"Budget {parent!r:.300} is its own parent; leave the parent out.")
        keep("tokens", None if tokens is None else whole("tokens of a budget", tokens, 0, bounds.MAX_AMOUNT))
        keep("usd", None if usd is None else dollars(usd_micros("usd of a budget", usd)))
        keep("per_category", caps_of("per_category of a budget", per_category))
        keep("weights", weights_of("weights of a budget", weights))
        if window is not None and window not in get_args(Window):
            raise InvalidInput(f"window of a budget is {window!r:.100}; it can be 'day', 'month' or None.")
        keep("window", window)
        keep("on_exceeded", word("on_exceeded of a budget", on_exceeded, OnExceeded))
        if tokens is None and usd is None and not self.per_category:
            raise InvalidInput("The budget bounds nothing; pass tokens=, usd= or per_category=.")

    @property
    def id(self) -> str | None:
        """What it is stored under; None until it comes with a job or a flow, whose id it takes."""
        return self.name if self.tenant is None else f"{_TENANT}{self.tenant}"

    def spec(self, own_id: str | None = None) -> BudgetSpec:
        """What a storage is handed. `own_id` is for a budget without name and tenant.

        Raises:
            InvalidInput: nothing says under which id it is to be stored.
        """
        found = self.id or own_id
        if found is None:
            raise InvalidInput('Say whose budget it is: Budget("team-a", …), or Budget(tenant="acme", …).')
        return BudgetSpec(
            id=found,
            parent=self.parent,
            caps=amounts(self.usd, self.tokens, self.per_category),
            weights=thousandths(self.weights),
            window=self.window,
            on_exceeded=self.on_exceeded,
        )

    @classmethod
    def of(cls, spec: BudgetSpec) -> Self:
        """The budget that a storage holds. One that came with a job or flow has no name."""
        own, by_category = ":" in spec.id, categories(spec.caps)
        micros = spec.caps.get(USD_MICROS)
        return cls(
            None if own else spec.id,
            tenant=spec.id.removeprefix(_TENANT) if spec.id.startswith(_TENANT) else None,
            parent=spec.parent,
            tokens=spec.caps.get(TOKENS),
            usd=None if micros is None else dollars(micros),
            per_category=by_category,
            weights={name: weight / 1000 for name, weight in spec.weights.items()},
            window=spec.window,
            on_exceeded=spec.on_exceeded,
        )

    def __hash__(self) -> int:
        return hash((self.name, self.tenant, self.tokens, self.usd))


def budget_of(value: object) -> Budget | str:
    """A budget, or the id of a stored one.

    Raises:
        InvalidInput: it is something else.
    """
    if isinstance(value, Budget):
        return value
    if not isinstance(value, str):
        raise InvalidInput(f'budget is {value!r:.200}; pass aiq.Budget(usd="2.00"), or the id of a stored one.')
    check_text("budget", value)
    return value


def amounts(usd: Decimal | None, tokens: int | None, by_category: Mapping[str, int]) -> Amounts:
    """Dollars and tokens as a storage counts them. What is None is not there."""
    found = {f"{_CATEGORY}{name}": count for name, count in by_category.items()}
    if tokens is not None:
        found[TOKENS] = tokens
    if usd is not None:
        found[USD_MICROS] = usd_micros("usd", usd)
    return MappingProxyType(found)


def categories(counted: Amounts) -> Mapping[str, int]:
    """The tokens of single categories among amounts."""
    return {name.removeprefix(_CATEGORY): count for name, count in counted.items() if name.startswith(_CATEGORY)}


def _check_whose(name: object, tenant: object, parent: object) -> None:
    if name is not None and tenant is not None:
        raise InvalidInput("A budget has a name or a tenant, not both. To draw from another one too, name its parent.")
    if name is not None:
        check_name("budget", name)
    if tenant is not None:
        check_text("tenant of a budget", tenant)
    if parent is not None:
        check_text("parent of a budget", parent)
