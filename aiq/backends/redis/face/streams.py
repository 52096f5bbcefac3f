"""Streams in Redis: each operation one call of the script of its name."""

from collections.abc import Sequence
from typing import Any

import msgspec

from aiq.backends.redis import wire
from aiq.backends.redis.door import Answer, Blobs, Door
from aiq.backends.redis.refusals import refusal
from aiq.bounds import MAX_PAGE
from aiq.model import Append, Appended, Chunk, ChunkKind, Read, State, StreamPage
from aiq.rules.validation import check_appends, check_reads
from aiq.storage import AppendRefused, ReadRefused

_decode = msgspec.msgpack.Decoder(tuple[str, int, int, str | bool, int | bool]).decode


class StreamsFace(Door):
    """See `aiq.storage.Streams`."""

    async def append(self, appends: Sequence[Append]) -> list[Appended | AppendRefused]:
        """See `aiq.storage.Streams`."""
        check_appends(appends)
        blobs = Blobs()
        told = [
            {
                "lease": wire.said(one.lease),
                "chunks": [{**wire.said(chunk), "data": blobs.add(chunk.data)} for chunk in one.chunks],
            }
            for one in appends
        ]
        answer = await self._step("append", {"appends": told}, blobs)
        return [_appended(**one) for one in answer.value]

    async def read(self, reads: Sequence[Read], *, limit: int = MAX_PAGE) -> list[StreamPage | ReadRefused]:
        """See `aiq.storage.Streams`."""
        check_reads(reads, limit)
        args = {"ids": [one.job_id for one in reads], "afters": [one.after for one in reads], "limit": limit}
        answer = await self._step("read", args)
        return [_page(answer, one.after, **told) for one, told in zip(reads, answer.value, strict=True)]


def _appended(refused: str = "", detail: Any = None, **told: Any) -> Appended | AppendRefused:
    """What was answered to one run."""
    if not refused:
        return Appended(**told)
    error = refusal(refused, detail)
    # Only what is refused to a run comes so; another error ends the script.
    assert isinstance(error, AppendRefused)
    return error


def _page(
    answer: Answer, after: int, *, refused: str = "", detail: Any = None, items: int = 0, place: int = 0, **told: Any
) -> StreamPage | ReadRefused:
    """What was answered to one read."""
    if refused:
        error = refusal(refused, detail)
        assert isinstance(error, ReadRefused)
        return error
    chunks = [_chunk(answer, place + 2 * number, after + number + 1) for number in range(items)]
    return StreamPage(tuple(chunks), State(told["state"]), told["more"])


def _chunk(answer: Answer, place: int, number: int) -> Chunk:
    """An item from its two pieces. See lua/_items.lua."""
    kind, fence, at_ms, step, _ = _decode(answer.blob(place) or b"")
    return Chunk(number, ChunkKind(kind), answer.blob(place + 1) or b"", fence, at_ms, str(step) if step else None)
