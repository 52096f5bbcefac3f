"""Adding items to the streams of jobs in the name of their runs."""

from collections.abc import Sequence
from typing import Final

from aiq.backends.relational.holder import owned
from aiq.backends.relational.items import Stream, newest_ranges
from aiq.backends.relational.rows import Job
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_STREAM_BYTES
from aiq.errors import Conflict, LeaseLost, TooLarge
from aiq.model import Append, Appended, ChunkKind, Lease, NewChunk
from aiq.rules.leases import expired
from aiq.rules.streams import Range, stored_bytes
from aiq.storage import AppendRefused, stream_topic

SQL: Final = load("append")


def append(tx: Transaction, appends: Sequence[Append]) -> list[Appended | AppendRefused]:
    """Add the items of each run, all or none. Spec: STREAM-1 to STREAM-4, STREAM-10 to STREAM-14, LEASE-5."""
    newest = newest_ranges(tx, tx.fetch(one.lease.job_id for one in appends))
    return [_answer(tx, newest, one) for one in appends]


def _answer(tx: Transaction, newest: dict[int, Range], one: Append) -> Appended | AppendRefused:
    # Whatever is refused is so before anything of this run is written.
    try:
        return _append(tx, newest, one.lease, one.chunks)
    except (LeaseLost, Conflict, TooLarge) as refusal:
        return refusal.with_traceback(None)


def _append(tx: Transaction, newest: dict[int, Range], lease: Lease, chunks: Sequence[NewChunk]) -> Appended:
    job = owned(tx, lease)
    record = job.record
    new = _unknown(tx, job, chunks)
    size = job.stream_bytes + stored_bytes(new)
    if size > MAX_STREAM_BYTES:
        raise TooLarge(f"stream of job {record.id}", size, MAX_STREAM_BYTES)
    last = _add(tx, job, newest, new, size) if new else record.chunks
    return Appended(last, record.cancel_requested_at_ms is not None, expired(record, tx.now_ms), size)


def _unknown(tx: Transaction, job: Job, chunks: Sequence[NewChunk]) -> list[NewChunk]:
    """The items that are not there yet; a repeat has the same content, and no number is left out. Spec: STREAM-3"""
    known = _known(tx, job, [chunk.seq for chunk in chunks if chunk.seq <= job.run_seq])
    last, new = job.run_seq, []
    for chunk in chunks:
        content = (chunk.kind, chunk.data, chunk.step)
        if chunk.seq > last + 1:
            raise Conflict(f"Item {chunk.seq} of the run does not follow its last, {last}.", reason="gap")
        if chunk.seq == last + 1:
            last = chunk.seq
            known[last] = content
            new.append(chunk)
        elif known[chunk.seq] != content:
            raise Conflict(f"Item {chunk.seq} of the run was appended with another content.", reason="chunk")
    return new


def _known(tx: Transaction, job: Job, seqs: Sequence[int]) -> dict[int, tuple[ChunkKind, bytes, str | None]]:
    """What the run has appended under some of its own numbers."""
    if not seqs:
        return {}
    sought = {"n": job.n, "fence": job.record.fence, "first": min(seqs), "last": max(seqs)}
    rows = tx.table(SQL["known"], sought)
    return {seq: (ChunkKind(kind), data, step) for seq, kind, step, data in rows}


def _add(tx: Transaction, job: Job, newest: dict[int, Range], new: Sequence[NewChunk], size: int) -> int:
    stream, progress = Stream(tx, job, job.record.chunks, newest.get(job.n)), None
    for chunk in new:
        if chunk.kind is ChunkKind.DATA:
            stream.add_data(chunk.data, step=chunk.step, seq=chunk.seq)
            continue
        number = stream.add(chunk.kind, chunk.data, step=chunk.step, seq=chunk.seq)
        if chunk.kind is ChunkKind.PROGRESS:
            progress = number
    stream.save()
    if stream.newest is not None:
        newest[job.n] = stream.newest
    tx.later(
        SQL["count"],
        {"n": job.n, "last": stream.last, "seq": new[-1].seq, "bytes": size, "progress": progress},
    )
    tx.topics.add(stream_topic(job.record.id))
    return stream.last
