"""Streams of the reference: each operation one transition under the lock."""

from collections.abc import Sequence

from aiq.backends.memory.append import append
from aiq.backends.memory.door import Door
from aiq.backends.memory.read import read
from aiq.bounds import MAX_PAGE
from aiq.model import Appended, Lease, NewChunk, StreamPage


class StreamsFace(Door):
    """See `aiq.storage.Streams`."""

    async def append(self, lease: Lease, chunks: Sequence[NewChunk]) -> Appended:
        """See `aiq.storage.Streams`."""
        return await self._run(append, lease, chunks)

    async def read(self, job_id: str, *, after: int = 0, limit: int = MAX_PAGE) -> StreamPage:
        """See `aiq.storage.Streams`."""
        return await self._look(read, job_id, after, limit)
