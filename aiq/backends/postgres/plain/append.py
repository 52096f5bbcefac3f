"""Adding items to a stream by one function of the schema, see migrations/0004_plain/5_append.sql."""

from collections.abc import Callable, Sequence

from aiq.backends.postgres.atomic import Home, alone, call, tell
from aiq.backends.postgres.line import Line
from aiq.bounds import MAX_STREAM_BYTES
from aiq.model import Appended, ChunkKind, Lease, NewChunk
from aiq.rules.streams import stored_bytes
from aiq.storage import stream_topic


def may_be_plain(_lease: Lease, chunks: Sequence[NewChunk]) -> bool:
    """Whether these are items one after the other, whose data belong to one step or to none."""
    if not chunks:
        return False
    first = chunks[0].seq
    follow = all(chunk.seq == first + place for place, chunk in enumerate(chunks))
    return follow and len({chunk.step for chunk in chunks if chunk.kind is ChunkKind.DATA}) <= 1


def append(
    home: Home, line: Line, unwanted: Callable[[], bool], lease: Lease, chunks: Sequence[NewChunk]
) -> Appended | None:
    """Add items that may be plain, all of them, or answer nothing. Spec: STREAM-1"""
    run = (lease.job_id, lease.fence, lease.lease_id, chunks[0].seq)
    columns = ([chunk.kind for chunk in chunks], [chunk.data for chunk in chunks], [chunk.step for chunk in chunks])
    of_step = next((chunk.step for chunk in chunks if chunk.kind is ChunkKind.DATA), None)
    given = (*alone(home), *run, *columns, of_step, stored_bytes(chunks), MAX_STREAM_BYTES)
    last, size, changes, cancelled, late = call(home, line, unwanted, "aiq_append_4", given)
    if last is None:
        return None
    tell(home, line, {stream_topic(lease.job_id)}, range(changes + 1, changes + 1 + len(chunks)))
    return Appended(last, cancelled, late, size)
