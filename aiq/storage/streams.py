"""The numbered output of a job."""

from collections.abc import Sequence
from typing import Protocol

from aiq.bounds import MAX_PAGE
from aiq.model import Appended, Lease, NewChunk, StreamPage


class Streams(Protocol):
    """The numbered output of a job."""

    async def append(self, lease: Lease, chunks: Sequence[NewChunk]) -> Appended:
        """Add items, all or none, in the order of `seq`; before a run's first item goes a reset if one is due.

        A PROGRESS item also becomes the job's `progress`.

        Raises:
            LeaseLost: nothing was added.
            Conflict("gap"): `seq` does not follow the run's last; Conflict("chunk"): it was used for other bytes.
            TooLarge: over MAX_CHUNK_BYTES, MAX_BATCH items, or MAX_STREAM_BYTES in all.
        Spec: STREAM-1, STREAM-2, STREAM-3, STREAM-4, STREAM-10, STREAM-11, STREAM-12, STREAM-13
        """
        ...

    async def read(self, job_id: str, *, after: int = 0, limit: int = MAX_PAGE) -> StreamPage:
        """Read the items with a number over `after`, in order, as many as go into a page, with the job's state of the
        same moment.

        Raises:
            NotFound: no such job.
        Spec: STREAM-8, STREAM-9, STORE-13
        """
        ...
