"""Items of a job's stream that the store itself writes: resets, and the marker at the end. Spec: chapter 8."""

from dataclasses import replace

from aiq.backends.memory.data import Stream
from aiq.backends.memory.transition import Transaction
from aiq.model import Chunk, ChunkKind, JobRecord, State
from aiq.rules.streams import Range, marker, newly_void, reset_bodies


def add_item(tx: Transaction, record: JobRecord, kind: ChunkKind, data: bytes, step: str | None = None) -> JobRecord:
    """Add one item under the job's next number. Spec: STREAM-1"""
    number = record.chunks + 1
    tx.tables.streams[record.id].chunks.append(Chunk(number, kind, data, record.fence, tx.now_ms, step))
    return replace(record, chunks=number)


def add_resets(tx: Transaction, record: JobRecord) -> JobRecord:
    """Name the data that a new run makes void, if there is any; name nothing twice. Spec: STREAM-4, STREAM-7"""
    stream = tx.tables.streams[record.id]
    saved_by = {step.key: step.fence for step in tx.tables.steps[record.id].values()}
    void = newly_void(stream.ranges, saved_by, record.fence)
    named = {r.first for r in void}
    stream.ranges = [replace(r, void=True) if r.first in named else r for r in stream.ranges]
    for body in reset_bodies(void):
        record = add_item(tx, record, ChunkKind.RESET, body)
    return record


def has_data(stream: Stream, fence: int) -> bool:
    """Whether the newest run has appended data. Its own ranges are the newest."""
    return bool(stream.ranges) and stream.ranges[-1].fence == fence


def close_stream(tx: Transaction, before: JobRecord, after: JobRecord) -> JobRecord:
    """Write the last item of a job that ends, if it has items at all. Spec: STREAM-6, STREAM-8"""
    if not before.chunks:
        return after
    if before.state is State.RUNNING and not has_data(tx.tables.streams[before.id], before.fence):
        after = add_resets(tx, after)
    return add_item(tx, after, marker(after.state), _told(after))


def void_marker(tx: Transaction, record: JobRecord) -> None:
    """Let the first run of the next generation name the end of this one in its reset. Spec: DEAD-20"""
    if record.chunks:
        tx.tables.streams[record.id].ranges.append(Range(record.chunks, record.chunks, record.fence, None))


def _told(record: JobRecord) -> bytes:
    """What the marker says: the last error of a job that is dead."""
    if record.state is State.DEAD and record.errors:
        return record.errors[-1].message.encode()
    return b""
