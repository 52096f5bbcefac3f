"""Default prices, from the package `genai-prices` where it is installed (the extra `prices`).

It is imported at the first model that anybody names, since it brings a table of thousands of models with it, or when a
worker starts whose tasks take limits. What a storage already has of a model is left alone, so a price that an operator
stored always wins.
"""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

from aiq.model import PriceRow

_SUFFIX: Final = "_mtok"
_NAMES: Final[Mapping[str, str]] = {"output_reasoning": "reasoning"}
"""Categories that are called something else there."""
_MICRO: Final = Decimal("0.000001")


def default_prices(model: str) -> list[PriceRow]:
    """What a million tokens of each category of a model cost at present; nothing where nobody knows.

    Of a price that rises with the length of the input it is the first step, which holds for most calls. Reasoning
    costs what output does where it has no price of its own. Takes a quarter of a second the first time.
    """
    found = {_NAMES.get(name, name): _micros(price) for name, price in _listed(model).items()}
    if "output" in found:
        found.setdefault("reasoning", found["output"])
    return [
        PriceRow(model=model, category=category, usd_micros_per_million=micros)
        for category, micros in sorted(found.items())
    ]


def load() -> None:
    """Have the table at hand, so that whoever names the first model need not wait for it."""
    _listed("")


def _listed(model: str) -> Mapping[str, Decimal]:
    """Dollars for a million tokens, by the names of that package."""
    try:
        import genai_prices
    except ImportError:
        return {}
    try:
        table = genai_prices.calc_price(genai_prices.Usage(), model).model_price
    except (LookupError, ValueError):
        return {}
    # Any: a price is a Decimal, or steps of them by the length of the input.
    prices: dict[str, Any] = {
        name.removesuffix(_SUFFIX): price for name, price in vars(table).items() if name.endswith(_SUFFIX)
    }
    return {name: getattr(price, "base", price) for name, price in prices.items() if price is not None}


def _micros(price: Decimal) -> int:
    return int(price.quantize(_MICRO, rounding=ROUND_CEILING).scaleb(6))
