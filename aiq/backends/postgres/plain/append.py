"""Adding items to streams by one function of the schema, see migrations/0004_plain/5_append.sql."""

from collections.abc import Callable, Iterator, Sequence

from aiq.backends.postgres.atomic import Home, alone, call, tell
from aiq.backends.postgres.line import Line
from aiq.bounds import MAX_STREAM_BYTES
from aiq.model import Append, Appended, ChunkKind, NewChunk
from aiq.rules.streams import stored_bytes
from aiq.storage import AppendRefused, stream_topic


def may_be_plain(appends: Sequence[Append]) -> bool:
    """Whether these are of runs of different jobs, the items of each one after the other."""
    jobs = {one.lease.job_id for one in appends}
    return bool(appends) and len(jobs) == len(appends) and all(_follow(one.chunks) for one in appends)


def _follow(chunks: Sequence[NewChunk]) -> bool:
    return bool(chunks) and all(chunk.seq == seq for seq, chunk in enumerate(chunks, chunks[0].seq))


def append(
    home: Home, line: Line, unwanted: Callable[[], bool], appends: Sequence[Append]
) -> list[Appended | AppendRefused] | None:
    """Add items that may be plain, all of them, or answer nothing. Spec: STREAM-1"""
    items = [(run, place, chunk) for run, one in enumerate(appends, 1) for place, chunk in enumerate(one.chunks, 1)]
    ranges = [(run, *found) for run, one in enumerate(appends, 1) for found in _ranges(one.chunks)]
    given = (
        *alone(home),
        *_columns([_run(one) for one in appends], 7),
        *_columns([(run, place, chunk.kind, chunk.data, chunk.step) for run, place, chunk in items], 5),
        *_columns(ranges, 5),
        MAX_STREAM_BYTES,
    )
    lasts, sizes, cancelled, late, changes = call(home, line, unwanted, "aiq_append_4", given)
    if lasts is None:
        return None
    tell(home, line, {stream_topic(one.lease.job_id) for one in appends}, range(changes + 1, changes + 1 + len(items)))
    return [Appended(*answer) for answer in zip(lasts, cancelled, late, sizes, strict=True)]


def _run(one: Append) -> tuple[object, ...]:
    """What is said of the items of a run together: last the place of its newest progress, and whether it has data."""
    lease, chunks = one.lease, one.chunks
    progress = [place for place, chunk in enumerate(chunks, 1) if chunk.kind is ChunkKind.PROGRESS]
    has_data = any(chunk.kind is ChunkKind.DATA for chunk in chunks)
    newest = progress[-1] if progress else None
    return lease.job_id, lease.fence, lease.lease_id, chunks[0].seq, stored_bytes(chunks), newest, has_data


def _ranges(chunks: Sequence[NewChunk]) -> Iterator[tuple[bool, int, int, str | None]]:
    """In which places data belong to one step, or to none: whether they are the first of these, the first and the last
    place, and the step."""
    found: list[tuple[int, int, str | None]] = []
    for place, chunk in enumerate(chunks, 1):
        if chunk.kind is ChunkKind.DATA:
            goes_on = bool(found) and found[-1][2] == chunk.step
            first = found.pop()[0] if goes_on else place
            found.append((first, place, chunk.step))
    for number, told in enumerate(found):
        yield number == 0, *told


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    return [[row[place] for row in rows] for place in range(width)]
