"""Streams of the reference: each operation one transition under the lock."""

from collections.abc import Sequence

from aiq.backends.memory.append import append
from aiq.backends.memory.door import Door
from aiq.backends.memory.read import read
from aiq.bounds import MAX_PAGE
from aiq.model import Append, Appended, Read, StreamPage
from aiq.storage import AppendRefused, ReadRefused


class StreamsFace(Door):
    """See `aiq.storage.Streams`."""

    async def append(self, appends: Sequence[Append]) -> list[Appended | AppendRefused]:
        """See `aiq.storage.Streams`."""
        return await self._run(append, appends)

    async def read(self, reads: Sequence[Read], *, limit: int = MAX_PAGE) -> list[StreamPage | ReadRefused]:
        """See `aiq.storage.Streams`."""
        return await self._look(read, reads, limit)
