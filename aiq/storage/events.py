"""What happened, what was counted of it, and how long it is kept."""

from collections.abc import Sequence
from typing import Protocol

from aiq.bounds import MAX_PAGE
from aiq.model import Event, EventPage, MinuteFilter, MinutePage, RetentionSpec


class Events(Protocol):
    """The log of transitions, metrics by minute, and retention. Spec: chapter 17."""

    async def read_events(self, after: str | None = None, limit: int = MAX_PAGE) -> EventPage:
        """Read the log behind a cursor, at most `limit` events: from the oldest that is kept without one; with "now",
        none, and the cursor behind the newest. The topic `events` tells when there is more.

        Raises:
            InvalidInput: the text is no cursor of this storage.
            ForeignCursor: it is one of another storage.
        Spec: EVENT-1 to EVENT-5, EVENT-8, EVENT-9
        """
        ...

    async def events_of(self, job_id: str, *, after: int = 0, limit: int = MAX_PAGE) -> Sequence[Event]:
        """Read the events of one job that are still kept, by number, those with a number over `after`.

        Raises:
            NotFound: no such job.
        Spec: EVENT-6
        """
        ...

    async def metrics(self, query: MinuteFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> MinutePage:
        """Read what was counted by minute, queue and task. Reads no job. Spec: METRIC-1 to METRIC-4"""
        ...

    async def put_retention(self, spec: RetentionSpec) -> RetentionSpec:
        """Set how long, and how many of, what is over is kept. It counts from the next upkeep on.

        Raises:
            InvalidInput: a period or a number is out of range.
        Spec: KEEP-1 to KEEP-14
        """
        ...

    async def get_retention(self) -> RetentionSpec:
        """Read what was set, or what holds where nothing was. Spec: KEEP-3"""
        ...
