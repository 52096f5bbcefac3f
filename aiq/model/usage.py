"""Tokens and money: what is expected, what was used, and what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from aiq import bounds
from aiq.errors import InvalidInput

INPUT: Final = "input"
OUTPUT: Final = "output"
PRODUCED: Final = frozenset({"output", "reasoning"})
"""Categories that a model makes; every other one goes into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a job's first call, or any call, is expected to need, in tokens. None is not known, and is learned.

    `max_output` is the most the provider is asked for, `output` what is expected of it, `min_output` the least that
    is still of use when a budget holds less.

    Raises:
        InvalidInput: a number is negative, no whole number, or over MAX_AMOUNT; `min_output` is over what is asked for.
    """

    input: int | None = None
    output: int | None = None
    max_output: int | None = None
    min_output: int | None = None
    model: str = ""

    def __post_init__(self) -> None:
        for name in ("input", "output", "max_output", "min_output"):
            value = getattr(self, name)
            if value is not None:
                check_amount(f"{name} of an estimate", value)
        check_model(self.model)
        most = self.output if self.max_output is None else self.max_output
        if most is not None and self.min_output is not None and self.min_output > most:
            raise InvalidInput(
                f"The min_output of an estimate is {self.min_output:,}, more than the {most:,} that are asked for. "
                "Raise max_output, or lower min_output."
            )


@dataclass(frozen=True, slots=True, init=False)
class Usage:
    """What a call has used, in tokens by category. Categories do not overlap: cached input is not in `input` too.

        Usage(model="gpt", input=980, output=800)
        Usage(model="claude", input=40, cache_read=9_000, output=350, reasoning=120)

    Raises:
        InvalidInput: a number is negative, no whole number, or over MAX_AMOUNT.
    """

    model: str
    tokens: Mapping[str, int]
    """By category, without those of which there are none."""

    def __init__(self, model: str = "", input: int = 0, output: int = 0, **categories: int) -> None:
        counted = {INPUT: input, OUTPUT: output, **categories}
        check_model(model)
        for name, value in counted.items():
            check_category(name)
            check_amount(f"{name} of a usage", value)
        object.__setattr__(self, "model", model)
        kept = {name: counted[name] for name in sorted(counted) if counted[name]}
        object.__setattr__(self, "tokens", MappingProxyType(kept))

    @classmethod
    def known(cls, model: str, tokens: Mapping[str, int]) -> "Usage":
        """Of tokens that were checked before, in the order of their names: in a third of the constructor's time."""
        made = object.__new__(cls)
        object.__setattr__(made, "model", model)
        object.__setattr__(made, "tokens", MappingProxyType({name: count for name, count in tokens.items() if count}))
        return made

    def __add__(self, other: "Usage") -> "Usage":
        """Both together; the model is that of the first that names one."""
        names = self.tokens.keys() | other.tokens.keys()
        total = {name: self.tokens.get(name, 0) + other.tokens.get(name, 0) for name in names}
        return Usage(self.model or other.model, total.pop(INPUT, 0), total.pop(OUTPUT, 0), **total)

    def __hash__(self) -> int:
        return hash((self.model, tuple(self.tokens.items())))


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRow:
    """What a million tokens of one category of a model cost, from an instant on."""

    model: str
    category: str
    usd_micros_per_million: int
    from_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageFilter:
    """Whose use is asked for: at most one of job, flow and tenant, all if none; minutes from and up to an instant."""

    job_id: str | None = None
    flow: str | None = None
    tenant: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """What was used in one minute of one model and category. `unpriced` is the part of `tokens` without a price of
    its own; `estimated` the part that nobody reported, so that an estimate stands for it."""

    minute_ms: int
    model: str
    category: str
    tokens: int
    usd_micros: int
    unpriced: int = 0
    estimated: int = 0


@dataclass(frozen=True, slots=True)
class UsagePage:
    """A part of a report, in the order of (minute, model, category). `cursor` asks for the next part."""

    rows: tuple[UsageRow, ...]
    cursor: str | None


def check_amount(kind: str, value: object) -> None:
    """Refuse what is no whole number from 0 to MAX_AMOUNT."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidInput(f"The {kind} is {value!r:.100}; pass a whole number of tokens.")
    if not 0 <= value <= bounds.MAX_AMOUNT:
        raise InvalidInput(f"The {kind} is {value:,}; it must be from 0 to {bounds.MAX_AMOUNT:,}.")


def check_category(name: object) -> None:
    """Refuse a category whose name is outside the alphabet."""
    if not isinstance(name, str) or not bounds.NAME.fullmatch(name):
        raise InvalidInput(f"{name!r:.100} is no name for a category; use letters, digits, _ . and -.")


def check_model(name: object) -> None:
    """Refuse a model that is no text of at most MAX_OPAQUE_BYTES bytes. The empty one means: not said."""
    if not isinstance(name, str) or len(name.encode(errors="replace")) > bounds.MAX_OPAQUE_BYTES or "\0" in name:
        raise InvalidInput(f"The model is {name!r:.100}; pass its name, at most {bounds.MAX_OPAQUE_BYTES} bytes.")
