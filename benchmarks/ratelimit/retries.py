"""What others do after a 429, in simulated seconds."""

import random
from dataclasses import dataclass
from typing import Protocol


class Retry(Protocol):
    """How often a call is tried, and when again."""

    @property
    def tries(self) -> int:
        """After so many, its job is given up."""
        ...

    def delay_s(self, tried: int, advice_s: float | None, rng: random.Random) -> float:
        """Say how long to wait after the try of this number, 1 for the first; `advice_s` is the provider's."""
        ...


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits a random time up to twice as long each try, from 1 s to at most 60 s, whatever the provider says.

    Source: `wait_random_exponential(min=1, max=60)`, `stop_after_attempt(6)` of the OpenAI cookbook's example.
    """

    tries: int = 6
    longest_s: float = 60.0

    def delay_s(self, tried: int, advice_s: float | None, rng: random.Random) -> float:
        """Wait from a second to 2, 4, 8… seconds."""
        del advice_s
        return rng.uniform(1.0, min(self.longest_s, 2.0**tried))


@dataclass(frozen=True, slots=True)
class Obedient:
    """Waits as long as the provider says, and up to a tenth longer; backs off when it says nothing."""

    tries: int = 10

    def delay_s(self, tried: int, advice_s: float | None, rng: random.Random) -> float:
        """Wait as told."""
        return Backoff().delay_s(tried, None, rng) if advice_s is None else advice_s * rng.uniform(1.0, 1.1)
