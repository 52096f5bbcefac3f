"""Dead letters: what jobs died of, another generation for them, and their end."""

from collections.abc import Sequence
from typing import Protocol

from aiq.bounds import MAX_PAGE
from aiq.errors import Conflict, NotFound
from aiq.model import DeadQuery, GroupPage, Purged, Redrive, Redriven


class DeadLetters(Protocol):
    """Dead letters: what jobs died of, another generation for them, and their end."""

    async def dead_groups(self, query: DeadQuery, *, cursor: str | None = None, limit: int = MAX_PAGE) -> GroupPage:
        """Read groups of dead jobs with their ages and samples, a page at a time. Reads only.

        Ages are counted by an index of the dead: as many of its entries as jobs stand in the groups of the page.

        Raises:
            InvalidInput: the cursor is none.
        Spec: DEAD-7, DEAD-8
        """
        ...

    async def redrive(self, request: Redrive) -> Sequence[Redriven | Conflict | NotFound]:
        """Give jobs that are dead or cancelled another generation (T17), each by itself and once.

        Answers come in the order of the targets. A refusal is a value: NotFound, or Conflict("generation"), ("state"),
        ("parent_terminal"), ("upstream"), ("route"); a `unique` key or ordered line may add its own.

        Raises:
            NotFound: the budget that is named is not stored; nothing was changed.
            TooLarge: over MAX_BATCH jobs, or several with over MAX_DEPENDENCIES dependencies, waits on children, and
                children that ended badly; nothing was changed. Redrive them in several parts.
            InvalidInput: a value is out of range, a job is named twice, or a payload is meant for several jobs.
        Spec: DEAD-11 to DEAD-19, DEAD-26
        """
        ...

    async def purge(self, job_ids: Sequence[str]) -> Sequence[Purged]:
        """Let jobs that have ended go now (T18), each by itself; those that another one needs stay.

        Answers come in the order of the ids. Purging twice is purging once, while the ids are remembered.

        Raises:
            TooLarge: over MAX_BATCH jobs.
        Spec: PURGE-1, PURGE-2, PURGE-3
        """
        ...
