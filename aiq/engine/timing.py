"""The worker's own clock, and how long it leaves a storage alone that does not answer.

A worker compares durations only, never its clock with the storage's. Both can be injected, so that a test turns
the clock by hand.
"""

import time
from collections.abc import Callable
from random import Random
from typing import Final, TypeAlias

BootClock: TypeAlias = Callable[[], int]
"""Milliseconds that never step back, from an arbitrary start."""

FIRST_BACKOFF_MS: Final = 50
MAX_BACKOFF_MS: Final = 5_000
"""A storage that comes back is found within this time, without a restart. Spec: OUTAGE-1"""


def boot_ms() -> int:
    """Milliseconds since the machine booted.

    CLOCK_BOOTTIME goes on while a laptop sleeps, and so do leases in a storage elsewhere; on Linux the usual monotonic
    clock stands still, and would let a run believe in a lease that was given away hours ago. Other systems have no
    such clock, or need none.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return (time.monotonic_ns() if clock is None else time.clock_gettime_ns(clock)) // 1_000_000


class Backoff:
    """Growing pauses between tries: doubling to MAX_BACKOFF_MS, each between half and all of that, at random, so
    that the workers that lost one storage do not come back to it in one crowd."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._ceiling_ms = FIRST_BACKOFF_MS

    def next_ms(self) -> int:
        """The next pause; the one after it may be twice as long."""
        ceiling_ms = self._ceiling_ms
        self._ceiling_ms = min(ceiling_ms * 2, MAX_BACKOFF_MS)
        return self._rng.randint(ceiling_ms // 2, ceiling_ms)

    def reset(self) -> None:
        """Begin again with the shortest pause."""
        self._ceiling_ms = FIRST_BACKOFF_MS
