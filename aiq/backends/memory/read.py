"""Reading the streams of jobs."""

from collections.abc import Sequence

from aiq.backends.memory.transition import Transaction
from aiq.errors import Gone, NotFound
from aiq.model import Chunk, Read, StreamPage
from aiq.rules.streams import fitting, page_lengths
from aiq.rules.validation import check_reads
from aiq.storage import ReadRefused


def read(tx: Transaction, reads: Sequence[Read], limit: int) -> list[StreamPage | ReadRefused]:
    """Read of each job the items behind a number, and its state of the same moment.

    Spec: STREAM-9, STREAM-15, STORE-1, STORE-13, KEEP-5
    """
    check_reads(reads, limit)
    found = [_behind(tx, one) for one in reads]
    every = [behind if isinstance(behind, list) else [] for behind in found]
    lengths = page_lengths([min(limit, len(behind)) for behind in every])
    pages = fitting([behind[:length] for behind, length in zip(every, lengths, strict=True)])
    return [
        StreamPage(tuple(page), tx.tables.jobs[one.job_id].state, len(page) < len(behind))
        if isinstance(behind, list)
        else behind
        for one, behind, page in zip(reads, found, pages, strict=True)
    ]


def _behind(tx: Transaction, one: Read) -> list[Chunk] | ReadRefused:
    if one.job_id not in tx.tables.jobs:
        return NotFound(one.job_id)
    stream = tx.tables.streams.get(one.job_id)
    trimmed = stream.trimmed if stream is not None else 0
    if one.after < trimmed:
        return Gone(one.job_id, trimmed + 1)
    return stream.chunks[one.after - trimmed :] if stream is not None else []
