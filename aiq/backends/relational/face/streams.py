"""Streams: checked here, and made one step of the store."""

from collections.abc import Sequence

from aiq.backends.relational.append import append
from aiq.backends.relational.door import Door
from aiq.backends.relational.read import read
from aiq.bounds import MAX_PAGE
from aiq.errors import NotFound
from aiq.model import Append, Appended, Read, StreamPage
from aiq.rules.validation import check_appends, check_reads
from aiq.storage import AppendRefused, ReadRefused


class StreamsFace(Door):
    """See `aiq.storage.Streams`."""

    async def append(self, appends: Sequence[Append]) -> list[Appended | AppendRefused]:
        """See `aiq.storage.Streams`."""
        check_appends(appends)
        return await self._go_on(append, appends)

    async def read(self, reads: Sequence[Read], *, limit: int = MAX_PAGE) -> list[StreamPage | ReadRefused]:
        """See `aiq.storage.Streams`."""
        check_reads(reads, limit)
        pages = await self._read_beside(read, reads, limit)
        if any(isinstance(page, NotFound) for page in pages):
            return await self._read(read, reads, limit)
        return pages
