"""Adding items to the streams of jobs in the name of their runs."""

from collections.abc import Sequence
from dataclasses import replace

from aiq.backends.memory.data import Stream
from aiq.backends.memory.holder import owned
from aiq.backends.memory.items import add_item, add_resets, has_data
from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_STREAM_BYTES
from aiq.errors import Conflict, LeaseLost, TooLarge
from aiq.model import Append, Appended, Chunk, ChunkKind, JobRecord, Lease, NewChunk
from aiq.rules.leases import expired
from aiq.rules.streams import Range, stored_bytes
from aiq.rules.validation import check_appends
from aiq.storage import AppendRefused, stream_topic


def append(tx: Transaction, appends: Sequence[Append]) -> list[Appended | AppendRefused]:
    """Add the items of each run, all or none. Spec: STREAM-1 to STREAM-4, STREAM-10 to STREAM-14, LEASE-5."""
    check_appends(appends)
    return [_answer(tx, one) for one in appends]


def _answer(tx: Transaction, one: Append) -> Appended | AppendRefused:
    # Whatever is refused is so before anything of this run is written.
    try:
        return _append(tx, one.lease, one.chunks)
    except (LeaseLost, Conflict, TooLarge) as refusal:
        return refusal.with_traceback(None)


def _append(tx: Transaction, lease: Lease, chunks: Sequence[NewChunk]) -> Appended:
    record = owned(tx, lease)
    stream = tx.tables.streams.get(record.id, Stream())
    new = _unknown(stream.runs.get(lease.fence, []), chunks)
    size = stream.size + stored_bytes(new)
    if size > MAX_STREAM_BYTES:
        raise TooLarge(f"stream of job {record.id}", size, MAX_STREAM_BYTES)
    if new:
        record = _add(tx, record, new)
    return Appended(record.chunks, record.cancel_requested_at_ms is not None, expired(record, tx.now_ms), size)


def _unknown(known: Sequence[Chunk], chunks: Sequence[NewChunk]) -> list[NewChunk]:
    """The items that are not there yet; a repeat has the same content, and no number is left out. Spec: STREAM-3"""
    new: list[NewChunk] = []
    for chunk in chunks:
        count = len(known) + len(new)
        if chunk.seq > count + 1:
            raise Conflict(f"Item {chunk.seq} of the run does not follow its last, {count}.", reason="gap")
        if chunk.seq == count + 1:
            new.append(chunk)
            continue
        first = known[chunk.seq - 1] if chunk.seq <= len(known) else new[chunk.seq - 1 - len(known)]
        if (first.kind, first.data, first.step) != (chunk.kind, chunk.data, chunk.step):
            raise Conflict(f"Item {chunk.seq} of the run was appended with another content.", reason="chunk")
    return new


def _add(tx: Transaction, record: JobRecord, new: Sequence[NewChunk]) -> JobRecord:
    stream = tx.tables.streams[record.id]
    stream.size += stored_bytes(new)
    for chunk in new:
        if chunk.kind is ChunkKind.DATA and not has_data(stream, record.fence):
            record = add_resets(tx, record)
        if chunk.kind is ChunkKind.PROGRESS:
            record = replace(record, progress=chunk.data)
        record = add_item(tx, record, chunk.kind, chunk.data, chunk.step)
        stream.runs[record.fence].append(stream.chunks[-1])
        if chunk.kind is ChunkKind.DATA:
            _extend_ranges(stream, record, chunk.step)
    tx.tables.put(record)
    tx.topics.add(stream_topic(record.id))
    return record


def _extend_ranges(stream: Stream, record: JobRecord, step: str | None) -> None:
    """Note the newest number as data of this run and step; what follows in the same ones is one range."""
    last = stream.ranges[-1] if stream.ranges else None
    if last is not None and (last.fence, last.step) == (record.fence, step):
        stream.ranges[-1] = replace(last, last=record.chunks)
    else:
        stream.ranges.append(Range(record.chunks, record.chunks, record.fence, step))
