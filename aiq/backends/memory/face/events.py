"""Events, metrics and retention of the reference: each operation one transition under the lock."""

from collections.abc import Sequence

from aiq.backends.memory.door import Door
from aiq.backends.memory.events import events_of, read_events
from aiq.backends.memory.metrics import metrics
from aiq.backends.memory.retention import get_retention, put_retention
from aiq.bounds import MAX_PAGE
from aiq.model import Event, EventPage, MinuteFilter, MinutePage, RetentionSpec


class EventsFace(Door):
    """See `aiq.storage.Events`."""

    async def read_events(self, after: str | None = None, limit: int = MAX_PAGE) -> EventPage:
        """See `aiq.storage.Events`."""
        return await self._look(read_events, after, limit)

    async def events_of(self, job_id: str, *, after: int = 0, limit: int = MAX_PAGE) -> Sequence[Event]:
        """See `aiq.storage.Events`."""
        return await self._look(events_of, job_id, after, limit)

    async def metrics(self, query: MinuteFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> MinutePage:
        """See `aiq.storage.Events`."""
        return await self._look(metrics, query, cursor, limit)

    async def put_retention(self, spec: RetentionSpec) -> RetentionSpec:
        """See `aiq.storage.Events`."""
        return await self._run(put_retention, spec)

    async def get_retention(self) -> RetentionSpec:
        """See `aiq.storage.Events`."""
        return await self._look(get_retention)
