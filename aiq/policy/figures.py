"""Numbers, names and words as users write them, checked where they are written.

What a type checker has not seen is only told at run time, so every check takes any object. `kind` begins each
sentence, and says what of which thing is wrong.
"""

from collections.abc import Iterable, Mapping
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow, localcontext
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar

from aiq import bounds
from aiq.errors import InvalidInput, InvalidName, TooLarge
from aiq.model.usage import check_category

Money: TypeAlias = str | int | float | Decimal
"""Dollars, with at most six decimals: "2.50", 2, Decimal("0.000125"). A float counts as what it is written as."""

W = TypeVar("W", bound=StrEnum)

_EXACT: Final = Context(prec=60, traps=[Inexact, InvalidOperation, Overflow])
_PER_MILLE: Final = 1000


def check_name(kind: str, name: object) -> None:
    """Refuse a name outside the alphabet of aiq.bounds."""
    if not isinstance(name, str) or not bounds.NAME.fullmatch(name):
        raise InvalidName(kind, name)


def check_text(kind: str, text: object) -> None:
    """Refuse what is no text of 1 to MAX_OPAQUE_BYTES bytes that every store can keep."""
    if not isinstance(text, str) or not text or "\0" in text or _size(text) > bounds.MAX_OPAQUE_BYTES:
        raise InvalidInput(f"{kind} is {text!r:.300}; pass a text of 1 to {bounds.MAX_OPAQUE_BYTES} bytes.")


def whole(kind: str, value: object, low: int, high: int) -> int:
    """A whole number from low to high.

    Raises:
        InvalidInput: it is another one, or no whole number: a float never is, not even 60.0.
    """
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise InvalidInput(f"{kind} is {shown(value)}; pass a whole number from {low:,} to {high:,}.")


def shown(value: object) -> str:
    """What somebody wrote, as a sentence shows it: a number as a number, anything else as Python does."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value!s:.100}" if isinstance(value, Decimal) else f"{value!r:.100}"


def per_mille(kind: str, value: object, *, low: int = 0, high: int = bounds.MAX_WEIGHT) -> int:
    """A weight as whole thousandths, from `low` to `high` of them.

    Raises:
        InvalidInput: it is no number, out of range, or has more than three decimals.
    """
    try:
        exact = Fraction(str(value)) * _PER_MILLE if _is_number(value) else None
    except ValueError:  # NaN and infinity
        exact = None
    if exact is None or exact.denominator != 1 or not low <= exact <= high:
        least, most = low / _PER_MILLE, high / _PER_MILLE
        raise InvalidInput(
            f"{kind} is {value!r:.100}; pass a number from {least:g} to {most:,g} with at most three decimals."
        )
    return int(exact)


def weights_of(kind: str, weights: object) -> Mapping[str, float]:
    """Weights by category, 1.0 for a token as it is.

    Raises:
        InvalidInput: it is no mapping of at most MAX_CATEGORIES categories to weights.
    """
    pairs = _pairs(kind, weights, '{"output": 5.0}')
    return MappingProxyType({name: per_mille(f"{name!r} in {kind}", pairs[name]) / _PER_MILLE for name in pairs})


def thousandths(weights: Mapping[str, float]) -> Mapping[str, int]:
    """Weights that were checked, in whole thousandths."""
    return MappingProxyType({name: round(weight * _PER_MILLE) for name, weight in weights.items()})


def caps_of(kind: str, caps: object) -> Mapping[str, int]:
    """Tokens by category.

    Raises:
        InvalidInput: it is no mapping of at most MAX_CATEGORIES categories to whole numbers.
    """
    pairs = _pairs(kind, caps, '{"output": 100_000}')
    return MappingProxyType({name: whole(f"{name!r} in {kind}", pairs[name], 0, bounds.MAX_AMOUNT) for name in pairs})


def usd_micros(kind: str, value: Money) -> int:
    """Dollars as whole micro-dollars, exactly.

    Raises:
        InvalidInput: it is no amount of money, negative, over MAX_MONEY, or finer than a micro-dollar.
    """
    micros = _micros(value)
    if micros is None:
        raise InvalidInput(
            f'{kind} is {shown(value)}; pass dollars, with at most six decimals: "2.50", 2 or Decimal("0.000125").'
        )
    if not 0 <= micros <= bounds.MAX_MONEY:
        raise InvalidInput(f"{kind} is {shown(value)}; it must be from 0 to {bounds.MAX_MONEY // 1_000_000:,} dollars.")
    return int(micros)


def dollars(micros: int) -> Decimal:
    """Whole micro-dollars as dollars, exactly."""
    return Decimal(micros) / 1_000_000


def word(kind: str, value: object, words: type[W]) -> W:
    """One of the words that an option knows.

    Raises:
        InvalidInput: it is another one.
    """
    if not isinstance(value, str) or value not in set(words):
        raise InvalidInput(f"{kind} is {value!r:.100}; it can be {' or '.join(repr(known.value) for known in words)}.")
    return words(value)


def listed(kind: str, given: object, example: str) -> tuple[object, ...]:
    """What stands in a list, which `kind` names in the plural.

    Raises:
        InvalidInput: it is no list, or has more than MAX_LIMITS.
    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidInput(f"{kind} is {given!r:.200}; pass a list, even of a single one: {example}.")
    found = tuple(given)
    if len(found) > bounds.MAX_LIMITS:
        raise TooLarge(f"list of {kind}", len(found), bounds.MAX_LIMITS, "Every claim looks at each of them.")
    return found


def _micros(value: object) -> Decimal | None:
    """A whole number of micro-dollars, or None for what is none exactly."""
    if not _is_number(value) and not isinstance(value, str):
        return None
    try:
        with localcontext(_EXACT):
            micros = (Decimal(str(value)) * 1_000_000).to_integral_exact()
    except ArithmeticError:
        return None
    return micros if micros.is_finite() else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _size(text: str) -> int:
    return len(text.encode(errors="replace"))


# Any: the values are checked by the callers, one by one.
def _pairs(kind: str, given: object, example: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidInput(f"{kind} is {given!r:.200}; pass a mapping by category: {example}.")
    if len(given) > bounds.MAX_CATEGORIES:
        raise TooLarge(kind, len(given), bounds.MAX_CATEGORIES, "Name the categories that differ.", unit=" categories")
    for name in given:
        check_category(name)
    return given
