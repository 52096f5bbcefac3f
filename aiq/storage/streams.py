"""The numbered output of a job."""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from aiq.bounds import MAX_PAGE
from aiq.errors import Conflict, LeaseLost, TooLarge
from aiq.model import Append, Appended, StreamPage

AppendRefused: TypeAlias = LeaseLost | Conflict | TooLarge
"""Why nothing of one run was added; its lease, its numbers or the room of its stream do not allow it."""


class Streams(Protocol):
    """The numbered output of a job."""

    async def append(self, appends: Sequence[Append]) -> list[Appended | AppendRefused]:
        """Add items of running jobs: those of each run all or none, whatever becomes of the others.

        Before a run's first data item goes a reset if one is due. A PROGRESS item also becomes the job's `progress`.
        A run is refused by its answer: by LeaseLost; by Conflict("gap") where `seq` does not follow its last, or
        Conflict("chunk") where it was used for other bytes; by TooLarge where the stream has no room.

        Raises:
            TooLarge: an item is over MAX_CHUNK_BYTES, or these are more than MAX_BATCH runs, or items of all together,
                or these over MAX_BATCH_BYTES; nothing was added.
            Corrupt: what is stored of one of the jobs cannot be read, or added to; nothing was added. An append for
                each run tells which.
        Spec: STREAM-1, STREAM-2, STREAM-3, STREAM-4, STREAM-10, STREAM-11, STREAM-12, STREAM-13, STREAM-14
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
