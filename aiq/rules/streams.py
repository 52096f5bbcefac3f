"""Which items of a job's stream no longer count once a new run starts to write, and how many are read at once. Spec:
chapter 8."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aiq.bounds import ITEM_OVERHEAD_BYTES, MAX_CHUNK_BYTES, MAX_PAGE, MAX_PAGE_BYTES
from aiq.model import Chunk, ChunkKind, NewChunk, State
from aiq.rules.batches import page_length


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers first..last, in which one run emitted within one step (or outside any, step None).

    `void` says that a reset has named it already.
    """

    first: int
    last: int
    fence: int
    step: str | None
    void: bool = False


def stored_bytes(chunks: Iterable[NewChunk]) -> int:
    """What items take of MAX_STREAM_BYTES: their data, and ITEM_OVERHEAD_BYTES each. Spec: STREAM-10"""
    return sum(stored_size(chunk.data) for chunk in chunks)


def stored_size(data: bytes) -> int:
    """The same of one item."""
    return len(data) + ITEM_OVERHEAD_BYTES


def newly_void(ranges: Iterable[Range], saved_by: Mapping[str, int], fence: int) -> list[Range]:
    """Ranges that resets before the first item of run `fence` must name, in order.

    A range of an earlier run stays valid only if its step was saved by that same run: `saved_by` maps a
    step key to the fence that saved it. Spec: STREAM-4, STREAM-5, STREAM-7.
    """
    return [
        r
        for r in sorted(ranges, key=lambda r: r.first)
        if r.fence < fence and not r.void and (r.step is None or saved_by.get(r.step) != r.fence)
    ]


def reset_bodies(void: Iterable[Range]) -> list[bytes]:
    """The bodies of the `reset` items that name ranges, neighbours joined: {"void": [[1, 40], [43, 50]]}.

    As few as it takes, none over MAX_CHUNK_BYTES; no range is cut in two. Spec: STREAM-4
    """
    bodies: list[str] = []
    for first, last in _joined(void):
        pair = f"[{first},{last}]"
        if bodies and len(bodies[-1]) + len(pair) + len(",]}") <= MAX_CHUNK_BYTES:
            bodies[-1] += f",{pair}"
        else:
            bodies.append(f'{{"void":[{pair}')
    return [f"{body}]}}".encode() for body in bodies]


def _joined(ranges: Iterable[Range]) -> list[list[int]]:
    joined: list[list[int]] = []
    for r in ranges:
        if joined and joined[-1][1] + 1 == r.first:
            joined[-1][1] = r.last
        else:
            joined.append([r.first, r.last])
    return joined


def page_lengths(wanted: Sequence[int]) -> list[int]:
    """How many items go into each page of one read, of those that could: MAX_PAGE together, shared out evenly.

    What a page leaves of its part is for the longer ones, so that who is far behind takes what nobody else needs. Each
    has room for one item, since no more than MAX_PAGE are read at once. Spec: STREAM-15
    """
    if sum(wanted) <= MAX_PAGE:
        return list(wanted)
    lengths, left = [0] * len(wanted), MAX_PAGE
    for shared, place in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        lengths[place] = min(wanted[place], left // (len(wanted) - shared))
        left -= lengths[place]
    return lengths


def fitting(pages: Sequence[Sequence[Chunk]]) -> list[Sequence[Chunk]]:
    """What goes into each page of one read: in their order as much as MAX_PAGE_BYTES have room for, and of each the
    first item at any rate. Spec: STREAM-15, STORE-13
    """
    if sum(map(len, pages)) <= MAX_PAGE_BYTES // MAX_CHUNK_BYTES:
        # So few cannot be too large, and mostly a page has one or two.
        return [*pages]
    found: list[Sequence[Chunk]] = []
    room = MAX_PAGE_BYTES
    for page in pages:
        sizes = [len(chunk.data) for chunk in page]
        length = page_length(sizes, room) or min(1, len(page))
        room -= sum(sizes[:length])
        found.append(page[:length])
    return found


_MARKERS = {State.SUCCEEDED: ChunkKind.END, State.DEAD: ChunkKind.ERROR, State.CANCELLED: ChunkKind.CANCELLED}


def marker(state: State) -> ChunkKind:
    """The item that closes a stream when its job ends in `state`. Spec: STREAM-8."""
    return _MARKERS[state]
