"""Wakeups of the reference: each operation one transition under the lock."""

from collections.abc import Collection

from aiq.backends.memory.door import Door
from aiq.bounds import MAX_BATCH
from aiq.errors import Moved
from aiq.rules.validation import check_count


class WakeupsFace(Door):
    """See `aiq.storage.Wakeups`."""

    async def wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        """See `aiq.storage.Wakeups`."""
        self._check_open()
        check_count("list of topics", len(topics), MAX_BATCH)
        if after is not None:
            self._check_here()
        mark = await self._home.wakeups.wait(topics, after=after, timeout_ms=timeout_ms)
        if after is not None:
            self._check_here()
        return mark

    def _check_here(self) -> None:
        """Nothing will happen any more where a storage has moved from. Spec: MOVE-8"""
        moved_to = self._home.tables.moved_to
        if moved_to is not None:
            raise Moved(moved_to)
