"""A token bucket in virtual time, which may also be drained at a constant rate: output as it is made."""

from dataclasses import dataclass, field
from typing import Final

ALMOST: Final = 1e-6
"""Sums of floats that should be a whole token may miss it by this."""


@dataclass(slots=True)
class Bucket:
    """Refilled at `rate` a second up to `capacity`, full at first. Between calls of `advance` it does not move."""

    rate: float
    capacity: float
    level: float = field(init=False)
    refilled: float = 0.0
    """What the rate gave since the start, that which overflowed included."""
    taken: float = 0.0
    returned: float = 0.0
    _drain: float = 0.0
    _now: float = 0.0

    def __post_init__(self) -> None:
        self.level = self.capacity

    def advance(self, now: float) -> None:
        """Let time pass until `now`."""
        seconds = now - self._now
        self._now = now
        self.refilled += self.rate * seconds
        self.taken += self._drain * seconds
        self.level = min(self.capacity, self.level + (self.rate - self._drain) * seconds)

    def wait_s(self, amount: float) -> float:
        """Say in how many seconds this much is there if nothing else happens: 0 for now, infinity for never."""
        missing = amount - self.level
        if missing <= ALMOST:
            return 0.0
        slope = self.rate - self._drain
        return missing / slope if slope > 0 and amount <= self.capacity else float("inf")

    def take(self, amount: float) -> None:
        """Take this much, whether it is there or not."""
        self.level -= amount
        self.taken += amount

    def give_back(self, amount: float) -> None:
        """Return what was taken and not used; what does not fit overflows."""
        self.level = min(self.capacity, self.level + amount)
        self.returned += amount

    def drain_by(self, rate: float) -> None:
        """From now on, take so much more a second."""
        self._drain += rate
