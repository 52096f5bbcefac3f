"""Wakeups: checked here, and made one step of the store."""

from collections.abc import Collection

from aiq.backends.relational.door import Door
from aiq.bounds import MAX_BATCH
from aiq.rules.validation import check_count


class WakeupsFace(Door):
    """See `aiq.storage.Wakeups`."""

    async def wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        """See `aiq.storage.Wakeups`."""
        self._check_usable()
        check_count("list of topics", len(topics), MAX_BATCH)
        return await self._wait(topics, after=after, timeout_ms=timeout_ms)
