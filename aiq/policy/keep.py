"""How long what is over is kept, as users say it."""

from dataclasses import dataclass

from aiq.bounds import MAX_KEEP_MS, MAX_KEPT
from aiq.model import Keep
from aiq.policy.durations import Duration, duration_ms
from aiq.policy.figures import whole


def keep_ms_of(value: Duration) -> int:
    """How long something is kept that is over, in ms: at most ten years."""
    return duration_ms("keep", value, high_ms=MAX_KEEP_MS)


@dataclass(frozen=True, slots=True)
class Kept:
    """How long rows of one kind are kept (seconds, or a timedelta), and how many; None is not bounded.

    aiq.Kept(timedelta(days=7))
    aiq.Kept(count=100_000)
    """

    period: Duration | None = None
    count: int | None = None

    def spec(self) -> Keep:
        """The same in the storage's units.

        Raises:
            InvalidInput: the period is none of at most ten years, or the count no whole number from 0 to MAX_KEPT.
        """
        count = None if self.count is None else whole("The count kept", self.count, 0, MAX_KEPT)
        return Keep(for_ms=None if self.period is None else keep_ms_of(self.period), count=count)

    @classmethod
    def of(cls, keep: Keep) -> "Kept":
        """As a storage has it."""
        return cls(None if keep.for_ms is None else keep.for_ms / 1000, keep.count)
