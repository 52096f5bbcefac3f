"""The numbered output of a job."""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from aiq.bounds import MAX_PAGE
from aiq.errors import Conflict, Gone, LeaseLost, NotFound, TooLarge
from aiq.model import Append, Appended, Read, StreamPage

AppendRefused: TypeAlias = LeaseLost | Conflict | TooLarge
"""Why nothing of one run was added; its lease, its numbers or the room of its stream do not allow it."""

ReadRefused: TypeAlias = NotFound | Gone
"""Why there is no page of one job: it is not stored, or the items behind the number are not kept any more."""


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

    async def read(self, reads: Sequence[Read], *, limit: int = MAX_PAGE) -> list[StreamPage | ReadRefused]:
        """Read of each job the items with a number over `after`, in order, at most `limit`, with the job's state. All
        is of the same moment.

        The pages together hold MAX_PAGE items at most, and little beyond MAX_PAGE_BYTES. What there is room for is
        shared out evenly, and each page has the first of its items, if there is any. A read is refused by its answer:
        by NotFound where there is no such job, by Gone where an item behind `after` is not kept any more.

        Raises:
            TooLarge: these are more than MAX_BATCH reads, or `limit` is over MAX_PAGE.
            Corrupt: what is stored of one of the jobs cannot be read. A read for each tells which.
        Spec: STREAM-8, STREAM-9, STREAM-15, STORE-13, KEEP-5
        """
        ...
