"""Events, metrics and retention: checked here, and made one step of the store."""

from collections.abc import Sequence

from aiq.backends.relational.door import Door
from aiq.backends.relational.events import events_of, read_events
from aiq.backends.relational.metrics import metrics
from aiq.backends.relational.retention import get_retention, put_retention
from aiq.bounds import MAX_PAGE
from aiq.model import Event, EventPage, MinuteFilter, MinutePage, RetentionSpec
from aiq.rules.checks import check_limit
from aiq.rules.retention import check_retention


class EventsFace(Door):
    """See `aiq.storage.Events`."""

    async def read_events(self, after: str | None = None, limit: int = MAX_PAGE) -> EventPage:
        """See `aiq.storage.Events`."""
        check_limit(limit)
        return await self._read(read_events, after, limit)

    async def events_of(self, job_id: str, *, after: int = 0, limit: int = MAX_PAGE) -> Sequence[Event]:
        """See `aiq.storage.Events`."""
        check_limit(limit)
        return await self._read(events_of, job_id, after, limit)

    async def metrics(self, query: MinuteFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> MinutePage:
        """See `aiq.storage.Events`."""
        check_limit(limit)
        return await self._read(metrics, query, cursor, limit)

    async def put_retention(self, spec: RetentionSpec) -> RetentionSpec:
        """See `aiq.storage.Events`."""
        check_retention(spec)
        return await self._write(put_retention, spec)

    async def get_retention(self) -> RetentionSpec:
        """See `aiq.storage.Events`."""
        return await self._read(get_retention)
