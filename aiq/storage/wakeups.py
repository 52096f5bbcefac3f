"""Hints that something changed."""

from collections.abc import Collection
from typing import Protocol


class Wakeups(Protocol):
    """A hint that something changed. Never needed for correctness: a poll always finds the truth."""

    async def wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        """Wait until something has changed on one of `topics` since the mark `after`, at most `timeout_ms`.

        Topics are those of `queue_topic`, `job_topic` and `stream_topic`. The answer is a mark to wait from
        next time: take it (`after=None` answers at once), look at the storage, then wait from it, and no
        change is missed in between. It may return early, or by its time-out, without saying which.

        Raises:
            Moved: nothing will happen here any more. Whoever waits when that is decided is woken by it.
        Spec: LIVE-3, STORE-6, MOVE-8
        """
        ...
