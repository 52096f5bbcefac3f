"""Token buckets in whole numbers: no store rounds a level, so all of them agree to the last unit. Spec: chapter 10.

Source: the token bucket of ATM and DiffServ policers (RFC 2697), whose level may go below zero here: a debt, which is
paid by waiting, so that what was underestimated is not lost.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import gcd

from aiq.bounds import MAX_LEVEL

FULL_PACE = 1000
"""The pace of a limit that nobody slows down, per mille."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How a rate is counted: `sub` sub-units make one unit, a ms at pace 1 per mille adds `step` of them, and
    `capacity` of them is the most that a level holds."""

    sub: int
    step: int
    capacity: int

    @property
    def whole(self) -> int:
        """The capacity in whole units, rounded down."""
        return self.capacity // self.sub


NOTHING = Scale(1, 0, 0)
"""The scale of a bucket that a limit does not have."""


@lru_cache(maxsize=1024)
def scale(rate: int, per_ms: int, burst_ms: int) -> Scale:
    """Choose sub-units so small that `rate` units in `per_ms` are a whole number of them in a ms, at every pace."""
    common = gcd(rate, per_ms)
    step = rate // common
    return Scale(FULL_PACE * (per_ms // common), step, burst_ms * step * FULL_PACE)


def fits_numbers(found: Scale) -> bool:
    """Whether twice the capacity stays below 2^53, which every store keeps exactly."""
    return 2 * found.capacity <= MAX_LEVEL


def opening(found: Scale, span_ms: int) -> int:
    """The level that so much time fills at full pace, at most the capacity. Spec: LIMIT-4"""
    return min(span_ms * found.step * FULL_PACE, found.capacity)


def refilled(found: Scale, level: int, pace: int, elapsed_ms: int) -> int:
    """The level after some time at one pace. The time is cut to what fills the bucket, which bounds the product."""
    if level >= found.capacity:
        return found.capacity
    rate = found.step * pace
    return min(found.capacity, level + min(elapsed_ms, ceiling(found.capacity - level, rate)) * rate)


def wait_ms(found: Scale, lack: int, pace: int) -> int:
    """The time that refills what is lacking, rounded up; 0 when nothing is."""
    return ceiling(lack, found.step * pace) if lack > 0 else 0


def bounded(found: Scale, level: int) -> int:
    """A level within what a bucket can say: its capacity above, and below the largest debt that is kept exactly."""
    if level > found.capacity:
        return found.capacity
    return max(-MAX_LEVEL, level)


def ceiling(value: int, divisor: int) -> int:
    """A quotient, rounded up."""
    return -(-value // divisor)
