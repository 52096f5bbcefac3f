"""Reading the streams of jobs."""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias

import msgspec

from aiq.backends.relational.rows import ids
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.errors import Gone, NotFound
from aiq.model import Chunk, ChunkKind, Read, State, StreamPage
from aiq.rules.streams import fitting, page_lengths
from aiq.storage import ReadRefused

SQL: Final = load("read")
_encode: Final = msgspec.json.Encoder().encode
_Span: TypeAlias = tuple[int, int, int]
"""The number of a job, that behind which its items are wanted, and that of the last of these."""


class Place(NamedTuple):
    """Where the rows of a job are, where it stands, and the number of its last item."""

    n: int
    state: str
    last: int


def read(tx: Transaction, reads: Sequence[Read], limit: int) -> list[StreamPage | ReadRefused]:
    """Read of each job the items behind a number, and its state of the same moment.

    Spec: STREAM-9, STREAM-15, STORE-1, STORE-13, KEEP-5
    """
    known = _places(tx, {one.job_id: None for one in reads})
    asked = [(one, known.get(one.job_id)) for one in reads]
    lengths = page_lengths([max(0, min(limit, at.last - one.after)) if at is not None else 0 for one, at in asked])
    spans = [
        (at.n if at is not None else 0, one.after, one.after + length)
        for (one, at), length in zip(asked, lengths, strict=True)
    ]
    items = _items(tx, spans)
    earliest = _earliest(tx, spans, items)
    return [
        _answer(*one, page, earliest.get(place))
        for place, (one, page) in enumerate(zip(asked, fitting(items), strict=True))
    ]


def place_of(tx: Transaction, job_id: str) -> Place:
    """Where a job is.

    Raises:
        NotFound: no such job.
    """
    place = _places(tx, [job_id]).get(job_id)
    if place is None:
        raise NotFound(job_id)
    return place


def _places(tx: Transaction, job_ids: Iterable[str]) -> dict[str, Place]:
    return {job_id: Place(*row) for job_id, *row in tx.rows(SQL["place"], {"ids": ids(job_ids)})}


def _items(tx: Transaction, spans: Sequence[_Span]) -> list[list[Chunk]]:
    """The items of each span, in order."""
    items: list[list[Chunk]] = [[] for _ in spans]
    if any(last > after for _, after, last in spans):
        rows = tx.table(SQL["chunks"], {"spans": _encode(spans).decode()})
        for place, number, kind, fence, at_ms, step, data in sorted(rows, key=itemgetter(0, 1)):
            items[place].append(Chunk(number, ChunkKind(kind), data, fence, at_ms, step))
    return items


def _earliest(tx: Transaction, spans: Sequence[_Span], items: Sequence[Sequence[Chunk]]) -> dict[int, int]:
    """Where the first item of a span is not kept any more: the number of the first behind it that is, by its place."""
    holes = {
        place
        for place, ((_, after, last), page) in enumerate(zip(spans, items, strict=True))
        if last > after and (not page or page[0].number > after + 1)
    }
    rows = tx.table(SQL["earliest"], {"spans": _encode(spans).decode()}) if holes else []
    return {place: number for place, number in rows if place in holes and number is not None}


def _answer(one: Read, at: Place | None, items: Sequence[Chunk], earliest: int | None) -> StreamPage | ReadRefused:
    if at is None:
        return NotFound(one.job_id)
    if earliest is not None:
        return Gone(one.job_id, earliest)
    return StreamPage(tuple(items), State(at.state), bool(items) and items[-1].number < at.last)
