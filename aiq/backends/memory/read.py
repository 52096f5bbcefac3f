"""Reading a job's stream."""

from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_INSTANT_MS
from aiq.errors import NotFound
from aiq.model import StreamPage
from aiq.rules.validation import check_limit, check_range


def read(tx: Transaction, job_id: str, after: int, limit: int) -> StreamPage:
    """Read the items behind a number, and the job's state of the same moment. Spec: STREAM-9, STORE-1"""
    check_limit(limit)
    check_range("number of an item", after, 0, MAX_INSTANT_MS)
    record = tx.tables.jobs.get(job_id)
    if record is None:
        raise NotFound(job_id)
    stream = tx.tables.streams.get(job_id)
    chunks = stream.chunks[after : after + limit] if stream is not None else ()
    return StreamPage(tuple(chunks), record.state)
