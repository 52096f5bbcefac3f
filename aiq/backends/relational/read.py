"""Reading a job's stream."""

from operator import itemgetter
from typing import Final

from aiq.backends.relational.rows import ids
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_PAGE_BYTES
from aiq.errors import Gone, NotFound
from aiq.model import Chunk, ChunkKind, State, StreamPage

SQL: Final = load("read")


def read(tx: Transaction, job_id: str, after: int, limit: int) -> StreamPage:
    """Read the items behind a number, and the job's state of the same moment.

    Spec: STREAM-9, STORE-1, STORE-13, KEEP-5
    """
    n, state, last = place_of(tx, job_id)
    rows = sorted(
        tx.table(SQL["chunks"], {"n": n, "after": after, "limit": limit, "bytes": MAX_PAGE_BYTES}), key=itemgetter(0)
    )
    chunks = [
        Chunk(number, ChunkKind(kind), data, fence, at_ms, step) for number, kind, fence, at_ms, step, data in rows
    ]
    if chunks and chunks[0].number > after + 1:
        raise Gone(job_id, chunks[0].number)
    return StreamPage(tuple(chunks), state, bool(chunks) and chunks[-1].number < last)


def place_of(tx: Transaction, job_id: str) -> tuple[int, State, int]:
    """Where the rows of a job are, where it stands, and the number of its last item.

    Raises:
        NotFound: no such job.
    """
    row = tx.row(SQL["place"], {"ids": ids([job_id])})
    if row is None:
        raise NotFound(job_id)
    return row[0], State(row[1]), row[2]
