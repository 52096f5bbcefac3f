"""A token bucket as a provider keeps it: continuous refill, whole numbers, and the instant always given. Pure.

The level is counted in parts of a token so small that each nanosecond refills a whole number of them: with `rate`
tokens in `per_ns` nanoseconds a token is `per_ns` parts, and a nanosecond refills `rate`. So nothing is ever rounded
but what is told, and the account balances to the part:

    level = capacity + refilled - overflowed - taken + returned - hidden

Source: Turner 1986, "New directions in communications" (the leaky bucket as a meter).
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

HIDDEN_CALLS: Final = 100
"""One call of the hidden client takes one part in this many of the tokens of a period; of requests it takes one."""


@dataclass(slots=True, eq=False)
class Production:
    """The tokens of one answer as they are made: the first at `first_at_ns`, each other `per_token_ns` later."""

    first_at_ns: int
    per_token_ns: int
    total: int
    counted: int = 0
    """Those that a bucket has counted already."""

    def count(self, now_ns: int) -> int:
        """Count the tokens made since the last time; the instants of one answer never go back."""
        # Every look at a bucket asks each answer under way, so this is the simulator's innermost loop.
        if now_ns < self.first_at_ns:
            return 0
        made = self.total
        if self.per_token_ns:
            made = min(made, 1 + (now_ns - self.first_at_ns) // self.per_token_ns)
        new = made - self.counted
        self.counted = made
        return new


@dataclass(slots=True)
class TokenBucket:
    """Starts full. Every instant is of one clock; one that goes back is taken for the latest there was."""

    rate: int
    """Tokens in `per_ns`."""
    per_ns: int
    burst_ns: int
    """The capacity, as the time that fills it."""
    at_ns: int
    """At first when it starts, then how far its account has come."""
    hidden_calls: Iterator[tuple[int, int]] = field(default_factory=lambda: iter(()))
    """What another client takes: (instant, tokens), in order of time. It asks nobody, and may leave a debt."""
    taken: int = 0
    """Tokens that calls took, on arrival or as they were made; `returned` and `hidden` are tokens too."""
    returned: int = 0
    hidden: int = 0
    _level: int = field(init=False)
    _refilled: int = field(default=0, init=False)
    _overflowed: int = field(default=0, init=False)
    _open: set[Production] = field(default_factory=set, init=False)
    _next_hidden: tuple[int, int] | None = field(init=False)

    def __post_init__(self) -> None:
        self._level = self._capacity
        self._next_hidden = next(self.hidden_calls, None)

    @property
    def capacity(self) -> int:
        """The whole tokens of a full bucket."""
        return self._capacity // self.per_ns

    @property
    def level(self) -> int:
        """The whole tokens that are in it; negative, rounded down, in debt."""
        return self._level // self.per_ns

    @property
    def refilled(self) -> int:
        """The whole tokens of the rate since the start, also those that found it full."""
        return self._refilled // self.per_ns

    @property
    def overflowed(self) -> int:
        """The whole tokens of those refilled or returned that found it full."""
        return self._overflowed // self.per_ns

    @property
    def _capacity(self) -> int:
        return self.rate * self.burst_ns

    def advance(self, now_ns: int) -> None:
        """Bring the account to an instant: refill, and count what answers and the hidden client have used.

        Between two looks an answer is counted as if it were made evenly, so that the refill it uses cannot
        overflow; the simulator looks at every arrival and end of a call.
        """
        while self._next_hidden is not None and self._next_hidden[0] <= now_ns:
            instant, tokens = self._next_hidden
            self._flow(instant)
            self.hidden += tokens
            self._level -= tokens * self.per_ns
            self._next_hidden = next(self.hidden_calls, None)
        self._flow(now_ns)

    def wait_ns(self, need: int) -> int | None:
        """Say in how many nanoseconds it holds this much if nobody else comes; 0 if it does now, None for never."""
        if need > self.capacity:
            return None
        lack = need * self.per_ns - self._level
        return max(0, -(-lack // self.rate))

    def full_in_ns(self) -> int:
        """Say in how many nanoseconds it is full if nobody comes."""
        return -(-(self._capacity - self._level) // self.rate)

    def take(self, tokens: int) -> None:
        """Take tokens, into debt if need be."""
        self.taken += tokens
        self._level -= tokens * self.per_ns

    def take_at_most(self, tokens: int) -> None:
        """Take tokens as far as there are any, so that a crowd of refused calls does not pile up a debt."""
        self.take(min(tokens, max(0, self.level)))

    def give_back(self, tokens: int) -> None:
        """Return tokens that were taken; what does not fit any more overflows."""
        self.returned += tokens
        self._add(tokens * self.per_ns)

    def follow(self, production: Production) -> None:
        """Count the tokens of an answer from now on as they are made."""
        self._open.add(production)

    def finish(self, production: Production, tokens_out: int) -> None:
        """Stop counting an answer of which so many tokens were made in the end."""
        self._open.discard(production)
        self.correct(tokens_out - production.counted)

    def correct(self, tokens: int) -> None:
        """Take a difference, or give it back if it is negative."""
        if tokens < 0:
            self.give_back(-tokens)
        else:
            self.take(tokens)

    def _flow(self, now_ns: int) -> None:
        elapsed = max(0, now_ns - self.at_ns)
        self.at_ns += elapsed
        refill = elapsed * self.rate
        self._refilled += refill
        made = sum(production.count(self.at_ns) for production in self._open)
        self.taken += made
        self._add(refill - made * self.per_ns)

    def _add(self, parts: int) -> None:
        level = self._level + parts
        self._level = min(level, self._capacity)
        self._overflowed += level - self._level


def hidden_calls(tokens: int, mean_ns: int, *, start_ns: int, seed: str) -> Iterator[tuple[int, int]]:
    """Yield for ever the calls of a client that nobody sees: a Poisson stream, the same for the same seed."""
    dice = random.Random(seed)  # noqa: S311 (it must be the same again, not unforeseeable)
    instant_ns = start_ns
    while True:
        instant_ns += round(dice.expovariate(1.0) * mean_ns)
        yield instant_ns, tokens
