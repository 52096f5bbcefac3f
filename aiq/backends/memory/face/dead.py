"""Dead letters of the reference: each operation one transition under the lock."""

from collections.abc import Sequence

from aiq.backends.memory.dead_groups import dead_groups
from aiq.backends.memory.door import Door
from aiq.backends.memory.purge_jobs import purge_jobs
from aiq.backends.memory.redrive import redrive
from aiq.bounds import MAX_PAGE
from aiq.errors import Conflict, NotFound
from aiq.model import DeadQuery, GroupPage, Purged, Redrive, Redriven


class DeadLettersFace(Door):
    """See `aiq.storage.DeadLetters`."""

    async def dead_groups(self, query: DeadQuery, *, cursor: str | None = None, limit: int = MAX_PAGE) -> GroupPage:
        """See `aiq.storage.DeadLetters`."""
        return await self._look(dead_groups, query, cursor, limit)

    async def redrive(self, request: Redrive) -> Sequence[Redriven | Conflict | NotFound]:
        """See `aiq.storage.DeadLetters`."""
        return await self._run(redrive, request)

    async def purge(self, job_ids: Sequence[str]) -> Sequence[Purged]:
        """See `aiq.storage.DeadLetters`."""
        return await self._run(purge_jobs, job_ids)
