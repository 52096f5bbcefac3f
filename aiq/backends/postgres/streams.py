"""Streams, to which most items are added a shorter way."""

from collections.abc import Sequence

from aiq.backends.postgres.door import ServerDoor
from aiq.backends.postgres.plain.append import append, may_be_plain
from aiq.backends.relational.face.streams import StreamsFace
from aiq.model import Appended, Lease, NewChunk
from aiq.rules.validation import check_chunks


class ServerStreams(ServerDoor, StreamsFace):
    """As all stores in SQL have them. A function of the schema is asked first, and answers nothing where it cannot."""

    async def append(self, lease: Lease, chunks: Sequence[NewChunk]) -> Appended:
        """See `aiq.storage.Streams`."""
        check_chunks(chunks)
        answer = await self._plain(append, lease, chunks) if may_be_plain(chunks) else None
        return await super().append(lease, chunks) if answer is None else answer
