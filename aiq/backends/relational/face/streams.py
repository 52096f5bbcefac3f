"""Streams: checked here, and made one step of the store."""

from collections.abc import Sequence

from aiq.backends.relational.append import append
from aiq.backends.relational.door import Door
from aiq.backends.relational.read import read
from aiq.bounds import MAX_INSTANT_MS, MAX_PAGE
from aiq.model import Append, Appended, StreamPage
from aiq.rules.validation import check_appends, check_limit, check_range
from aiq.storage import AppendRefused


class StreamsFace(Door):
    """See `aiq.storage.Streams`."""

    async def append(self, appends: Sequence[Append]) -> list[Appended | AppendRefused]:
        """See `aiq.storage.Streams`."""
        check_appends(appends)
        return await self._write(append, appends)

    async def read(self, job_id: str, *, after: int = 0, limit: int = MAX_PAGE) -> StreamPage:
        """See `aiq.storage.Streams`."""
        check_limit(limit)
        check_range("number of an item", after, 0, MAX_INSTANT_MS)
        return await self._read(read, job_id, after, limit)
