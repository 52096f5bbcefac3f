"""Reading a job's stream."""

from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_INSTANT_MS
from aiq.errors import Gone, NotFound
from aiq.model import StreamPage
from aiq.rules.batches import page_length
from aiq.rules.validation import check_limit, check_range


def read(tx: Transaction, job_id: str, after: int, limit: int) -> StreamPage:
    """Read the items behind a number, and the job's state of the same moment.

    Spec: STREAM-9, STORE-1, STORE-13, KEEP-5
    """
    check_limit(limit)
    check_range("number of an item", after, 0, MAX_INSTANT_MS)
    record = tx.tables.jobs.get(job_id)
    if record is None:
        raise NotFound(job_id)
    stream = tx.tables.streams.get(job_id)
    trimmed = stream.trimmed if stream is not None else 0
    if after < trimmed:
        raise Gone(job_id, trimmed + 1)
    behind = stream.chunks[after - trimmed :] if stream is not None else []
    length = page_length(len(chunk.data) for chunk in behind[:limit])
    return StreamPage(tuple(behind[:length]), record.state, length < len(behind))
