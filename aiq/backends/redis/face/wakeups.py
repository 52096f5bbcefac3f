"""Wakeups of a Redis server: what its stream says is told to whoever waits here."""

from collections.abc import Collection

from aiq.backends.redis.door import Door
from aiq.bounds import MAX_BATCH
from aiq.errors import Moved
from aiq.rules.validation import check_count


class WakeupsFace(Door):
    """See `aiq.storage.Wakeups`."""

    async def wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        """See `aiq.storage.Wakeups`. A change by another process is told at once."""
        self._check_open()
        check_count("list of topics", len(topics), MAX_BATCH)
        if after is not None:
            await self._check_here()
        mark = await self._listener.wait(topics, after=after, timeout_ms=timeout_ms)
        if after is not None:
            await self._check_here()
        return mark

    async def _check_here(self) -> None:
        """Nothing will happen any more where a storage has moved from, unless it was opened again. Spec: MOVE-8"""
        if self._listener.moved_to is not None:
            await self._listener.catch_up()
        if self._listener.moved_to is not None:
            raise Moved(self._listener.moved_to)
