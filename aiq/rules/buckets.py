"""Token buckets in whole numbers. Spec: chapter 10."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """How a rate is counted: `sub` sub-units make one unit, a ms at pace 1 per mille adds `step` of them, and
    `capacity` of them is the most that a level holds."""

    sub: int
    step: int
    capacity: int


def scale(rate: int, per_ms: int, burst_ms: int) -> Scale:
    raise NotImplementedError
