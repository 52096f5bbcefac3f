"""What tokens cost, in whole micro-dollars. Spec: USAGE-5 to USAGE-9."""

from collections.abc import Iterable, Mapping
from typing import Final

from aiq import bounds
from aiq.model import PriceRow
from aiq.model.usage import check_category
from aiq.rules.buckets import ceiling
from aiq.rules.checks import check_opaque, check_range

_MILLION: Final = 1_000_000


def check_price(row: PriceRow) -> None:
    """Refuse a price without a model or category, below zero, or over MAX_MONEY.

    Raises:
        InvalidInput: the text says what to pass instead.
    """
    check_opaque("model of a price", row.model)
    check_category(row.category)
    check_range("price of a million tokens in micro-dollars", row.usd_micros_per_million, 0, bounds.MAX_MONEY)
    check_range("start of a price in ms since 1970", row.from_ms, 0, bounds.MAX_INSTANT_MS)


def in_force(rows: Iterable[PriceRow], now_ms: int) -> Mapping[str, int]:
    """The prices of one model by category: of each the newest row that has begun, in the order of the categories.

    Spec: USAGE-6, USAGE-7
    """
    begun = sorted((row for row in rows if row.from_ms <= now_ms), key=lambda row: (row.category, row.from_ms))
    return {row.category: row.usd_micros_per_million for row in begun}


def cost(tokens: Mapping[str, int], prices: Mapping[str, int]) -> tuple[int, int]:
    """What tokens by category cost in micro-dollars, rounded up once, and how many of them have no price of their own.

    Those cost what the dearest category does; where nothing has a price, nothing costs anything. More than MAX_MONEY
    counts as that. Spec: USAGE-5, USAGE-9
    """
    if not prices:
        return 0, sum(tokens.values())
    unpriced = sum([count for category, count in tokens.items() if category not in prices])
    sums = so_far(tokens, prices)
    return sums[-1] if sums else 0, unpriced


def so_far(tokens: Mapping[str, int], prices: Mapping[str, int]) -> list[int]:
    """What each category costs together with those before it, in their order; there is a price. See `cost`.

    All sums of money are made here, so that what a call costs and what its categories cost are rounded alike.
    """
    total, sums = 0, []
    for category, count in tokens.items():
        total += count * _price_of(category, prices)
        sums.append(min(bounds.MAX_MONEY, ceiling(total, _MILLION)))
    return sums


def _price_of(category: str, prices: Mapping[str, int]) -> int:
    price = prices.get(category)
    return max(prices.values()) if price is None else price
