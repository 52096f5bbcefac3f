"""What a worker has done so far, in numbers."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal, TypeAlias

Count: TypeAlias = Literal[
    "claimed",
    "succeeded",
    "failed",
    "died",
    "cancelled",
    "released",
    "deferred",
    "parked",
    "lost",
    "stuck",
    "exchanges",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What a worker has done since it was made. `running` is of this moment, the rest only rise.

    `failed` counts runs that will be tried again, `died` those that will not. A run for which a provider had no room
    is `deferred`. One that waits (for a signal, children, time or a budget) is `parked`, and claimed again when it
    goes on. `lost` counts runs whose job was taken away, `stuck` handlers that did not end within the cancel grace
    after they were told to. `exchanges` are round trips.
    """

    claimed: int = 0
    succeeded: int = 0
    failed: int = 0
    died: int = 0
    cancelled: int = 0
    released: int = 0
    deferred: int = 0
    parked: int = 0
    lost: int = 0
    stuck: int = 0
    exchanges: int = 0
    running: int = 0


class Tally:
    """The same numbers while they are being counted; only the worker's loop adds to them."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, what: Count, count: int = 1) -> None:
        """Count some more."""
        self._counts[what] += count

    def snapshot(self, *, running: int = 0) -> Statistics:
        """The numbers as they stand."""
        return Statistics(**self._counts, running=running)
