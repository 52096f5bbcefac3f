"""Following what happens to the jobs of a storage."""

from collections.abc import AsyncIterator
from typing import Final

from aiq.errors import EventsLost
from aiq.model import Event
from aiq.storage import Storage, events_topic

POLL_MS: Final = 1_000
"""A lost wake-up costs a reader of events at most this long."""


async def events(storage: Storage, after: str | None, *, follow: bool) -> AsyncIterator[Event]:
    """Every event behind a cursor, as it happens; without `follow`, those that have happened.

    Raises:
        EventsLost: the reader fell behind what is kept.
        Moved: after the last event of a storage that was moved.
    """
    topics = {events_topic()}
    mark = await storage.wait(topics, after=None, timeout_ms=0) if follow else None
    while True:
        page = await storage.read_events(after)
        if page.lost:
            raise EventsLost
        for event in page.events:
            yield event
        after = page.cursor
        if not page.more:
            if not follow:
                return
            mark = await storage.wait(topics, after=mark, timeout_ms=POLL_MS)
