"""Prices: what tokens cost."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Self

from aiq.errors import InvalidInput
from aiq.model import PriceRow
from aiq.model.usage import check_category, check_model
from aiq.policy.durations import instant_ms, instant_of
from aiq.policy.figures import Money, dollars, usd_micros


@dataclass(frozen=True, slots=True, init=False)
class Price:
    """What a million tokens of one category of a model cost, in dollars, from an instant on (always, if none is named).

        aiq.Price("gpt", "input", "2.50")
        aiq.Price("gpt", "output", "12", from_=datetime(2027, 1, 1, tzinfo=UTC))

    The newest one that has begun holds. A call keeps the price at which it was admitted.

    Raises:
        InvalidInput: no model, a category outside the alphabet, no amount of money, or an instant without time zone.
    """

    model: str
    category: str
    usd_per_million: Decimal
    from_: datetime | None

    def __init__(self, model: str, category: str, usd_per_million: Money, *, from_: datetime | None = None) -> None:
        if not model:
            raise InvalidInput('The price has no model; write Price("gpt", "input", "2.50").')
        check_model(model)
        check_category(category)
        keep = partial(object.__setattr__, self)
        keep("model", model)
        keep("category", category)
        keep("usd_per_million", dollars(usd_micros(f"price of {model} {category}", usd_per_million)))
        keep("from_", None if from_ is None else instant_of(instant_ms("from_", from_)))

    def row(self) -> PriceRow:
        """What a storage is handed."""
        return PriceRow(
            model=self.model,
            category=self.category,
            usd_micros_per_million=usd_micros("price", self.usd_per_million),
            from_ms=0 if self.from_ is None else instant_ms("from_", self.from_),
        )

    @classmethod
    def of(cls, row: PriceRow) -> Self:
        """The price that a storage holds."""
        begun = instant_of(row.from_ms) if row.from_ms else None
        return cls(row.model, row.category, dollars(row.usd_micros_per_million), from_=begun)
