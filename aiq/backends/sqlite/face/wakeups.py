"""Wakeups of a SQLite file: checked here, and made one step in a thread of its own."""

from collections.abc import Collection

from aiq.backends.sqlite.door import Door
from aiq.bounds import MAX_BATCH
from aiq.rules.validation import check_count


class WakeupsFace(Door):
    """See `aiq.storage.Wakeups`."""

    async def wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        """See `aiq.storage.Wakeups`. A change by another process is seen within 35 ms."""
        self._check_usable()
        check_count("list of topics", len(topics), MAX_BATCH)
        return await self._watch.wait(topics, after=after, timeout_ms=timeout_ms)
