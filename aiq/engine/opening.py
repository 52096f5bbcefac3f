"""What a worker does with the opener of a flow that was stored in several steps. Spec: FLOW-18"""

import logging

from aiq.bounds import MAX_BATCH
from aiq.errors import StorageError
from aiq.model import Died, JobFilter, JobRecord, Outcome, Released, Succeeded
from aiq.rules.coding import why_unreadable
from aiq.rules.staging import OPEN, abandoned
from aiq.storage import Storage

_log = logging.getLogger("aiq.worker")

AGAIN_MS = 5_000


async def opened(storage: Storage, opener: JobRecord) -> Outcome:
    """Let a flow begin that is stored whole; one whose hour is over is cancelled."""
    if opener.payload == OPEN:
        return Succeeded(b"null")
    if why_unreadable(opener.payload) is not None:
        # A worker that has the codecs may read it.
        return Released(delay_ms=AGAIN_MS)
    try:
        await _cancel(storage, opener)
    except StorageError as error:
        _log.warning("A flow that was never stored whole could not be cancelled yet: %s", error)
        return Released(delay_ms=AGAIN_MS)
    return Died(abandoned(opener.flow))


async def _cancel(storage: Storage, opener: JobRecord) -> None:
    """Cancel the jobs of a flow, the last one first: none then finds that what it waits for has ended, and begins."""
    ids, cursor = [], None
    while True:
        page = await storage.list(JobFilter(flow=opener.flow), cursor=cursor)
        ids += [record.id for record in page.jobs if record.id != opener.id]
        cursor = page.cursor
        if cursor is None:
            break
    ids.reverse()
    for start in range(0, len(ids), MAX_BATCH):
        await storage.cancel(ids[start : start + MAX_BATCH])
