"""The rate limits of the simulator as data, and what each charge model debits, and when. Pure.

What providers take when a call arrives, and what at its end, differs; sources as of 2026:

    stream   Anthropic counts input on arrival and output as it is produced; `max_tokens` does not count
             (platform.claude.com/docs/en/api/rate-limits).
    max      OpenAI takes the greater of `max_tokens` and an estimate from the characters, and is not known to return
             any of it (help.openai.com/en/articles/5955604; developers.openai.com, guide "Rate limits").
    reserve  Azure OpenAI and Bedrock take input and `max_tokens`, and return at the end what was not used
             (learn.microsoft.com, "Manage Azure OpenAI quota"; docs.aws.amazon.com, "Token burndown").
    input    Gemini counts input alone (ai.google.dev/gemini-api/docs/rate-limits).
"""

from collections.abc import Mapping
from typing import Final, Literal, assert_never

from msgspec import Struct

from aiq.testing.provider.calls import Call
from aiq.testing.provider.extract import MAX_ANSWER_TOKENS
from aiq.testing.provider.styles import Kind, Style

MAX_RATE: Final = 10**12
"""Tokens or requests a period."""
MIN_SECONDS: Final = 0.001
MAX_SECONDS: Final = 7 * 86_400.0
MAX_HIDDEN_SHARE: Final = 0.99
NS_PER_S: Final = 1_000_000_000

Charge = Literal["stream", "max", "reserve", "input"]


class RateLimit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What calls may use in a time: one token bucket, full at first, for each rate that is given.

    A call is let in if every bucket holds what it takes on arrival, and otherwise takes nothing of any.

    Raises:
        ValueError: a figure is out of its bounds, or there is no rate at all; the message names it.
    """

    requests: int | None = None
    """In `per` seconds, as the other rates."""
    tokens: int | None = None
    """Input and output in one bucket."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    per: float = 60.0
    """Seconds."""
    burst: float = 60.0
    """The capacity, as the seconds that fill it."""
    model: str | None = None
    """The model whose calls it counts; None: those of all models together."""
    charge: Charge = "stream"
    style: Style = "openai"
    """Whose headers and bodies are sent."""
    refund: bool | None = None
    """Whether what `max` or `reserve` took and was not used comes back; None: as the provider does, `reserve` alone."""
    rejected_count: bool | None = None
    """Whether a refused call costs a request all the same; None: as the provider does, `openai` alone."""
    hidden_share: float = 0.0
    """The share of each rate that another client takes, at instants of chance."""
    seed: int = 0
    """Of those instants."""
    exact_retry: bool = False
    """Send `retry-after-ms` in every style: where time runs faster, whole seconds are too coarse."""
    retry_header: bool = True
    """Say in the headers of a refusal when to come again. Some who speak like `openai` say only how full they are."""

    def __post_init__(self) -> None:
        if not self.rates:
            raise ValueError("a limit needs a rate: requests, tokens, input_tokens or output_tokens")
        for name, seconds in (("per", self.per), ("burst", self.burst)):
            if not MIN_SECONDS <= seconds <= MAX_SECONDS:
                raise ValueError(f"{name} must be from {MIN_SECONDS} to {MAX_SECONDS} seconds, not {seconds}")
        for kind, rate in self.rates.items():
            if not 1 <= rate <= MAX_RATE:
                raise ValueError(f"{kind} must be from 1 to {MAX_RATE}, not {rate}")
            if rate * self.burst_ns < self.per_ns:
                raise ValueError(
                    f"a burst of {self.burst} s is too short: {rate} {kind} in {self.per} s do not fill one"
                )
        if not 0 <= self.hidden_share <= MAX_HIDDEN_SHARE:
            raise ValueError(f"hidden_share must be from 0 to {MAX_HIDDEN_SHARE}, not {self.hidden_share}")
        if self.exact_retry and not self.retry_header:
            raise ValueError("exact_retry asks for a header that retry_header=False leaves out")
        if self.charge != "stream" and (self.input_tokens or self.output_tokens):
            raise ValueError(f"input_tokens and output_tokens are apart only with charge 'stream', not {self.charge!r}")

    @property
    def rates(self) -> Mapping[Kind, int]:
        """The rates that are given, by what they count."""
        every: Mapping[Kind, int | None] = {
            "requests": self.requests,
            "tokens": self.tokens,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
        }
        return {kind: rate for kind, rate in every.items() if rate is not None}

    @property
    def per_ns(self) -> int:
        """The period in nanoseconds."""
        return round(self.per * NS_PER_S)

    @property
    def burst_ns(self) -> int:
        """The time that fills a bucket, in nanoseconds."""
        return round(self.burst * NS_PER_S)

    @property
    def counts_rejected(self) -> bool:
        """Whether a refused call costs a request."""
        return self.style == "openai" if self.rejected_count is None else self.rejected_count

    @property
    def refunds(self) -> bool:
        """Whether what was taken and not used comes back."""
        return self.charge == "reserve" if self.refund is None else self.refund


class BucketState(Struct, frozen=True, kw_only=True):
    """How a bucket stood at one instant, in whole tokens (or requests), rounded down.

    But for that rounding, level = capacity + refilled - overflowed - taken + returned - hidden.
    """

    model: str | None
    kind: Kind
    rate: int
    """In `per` seconds."""
    per: float
    capacity: int
    level: int
    """Negative in debt."""
    refilled: int
    """The rate times the time since the limits were set: also what overflowed."""
    overflowed: int
    taken: int
    """By calls: on arrival, and as their output was made."""
    returned: int
    """To calls at their end."""
    hidden: int
    """Taken by the hidden client."""
    admitted: int
    """Calls that it counted."""
    rejected: int
    """Calls that were refused because it was short, perhaps among others."""


def arrival_charge(limit: RateLimit, kind: Kind, call: Call) -> int:
    """Say what a bucket is debited when a call arrives."""
    match kind:
        case "requests":
            return 1
        case "input_tokens":
            return call.tokens_in
        case "output_tokens":
            return 0
        case "tokens":
            return _token_charge(limit.charge, call)
        case _:
            assert_never(kind)


def counts_output(limit: RateLimit, kind: Kind) -> bool:
    """Say whether a bucket counts output as it is made."""
    return limit.charge == "stream" and kind in {"tokens", "output_tokens"}


def final_correction(limit: RateLimit, kind: Kind, call: Call, *, charged: int, tokens_out: int) -> int:
    """Say what the end of a call debits a bucket; negative, what it returns.

    A provider that reserved too little (`max_tokens` was not set) debits the rest. One that takes the greater of two
    figures has had its due.
    """
    if kind != "tokens" or limit.charge not in {"reserve", "max"}:
        return 0
    difference = call.tokens_in + tokens_out - charged
    if difference < 0:
        return difference if limit.refunds else 0
    return difference if limit.charge == "reserve" else 0


def _token_charge(charge: Charge, call: Call) -> int:
    match charge:
        case "stream" | "input":
            return call.tokens_in
        case "max":
            return max(call.max_tokens or 0, call.estimated_tokens_in)
        case "reserve":
            return call.tokens_in + (call.max_tokens or MAX_ANSWER_TOKENS)
        case _:
            assert_never(charge)
