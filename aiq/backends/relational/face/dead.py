"""Dead letters: checked here, and made one step of the store."""

from collections.abc import Sequence

from aiq.backends.relational.dead_groups import dead_groups
from aiq.backends.relational.door import Door
from aiq.backends.relational.purge_jobs import purge_jobs
from aiq.backends.relational.redrive import redrive
from aiq.bounds import MAX_BATCH, MAX_PAGE
from aiq.errors import Conflict, NotFound
from aiq.model import DeadQuery, GroupPage, Purged, Redrive, Redriven
from aiq.rules.redriving import check_redrive
from aiq.rules.validation import check_count, check_limit


class DeadLettersFace(Door):
    """See `aiq.storage.DeadLetters`."""

    async def dead_groups(self, query: DeadQuery, *, cursor: str | None = None, limit: int = MAX_PAGE) -> GroupPage:
        """See `aiq.storage.DeadLetters`."""
        check_limit(limit)
        return await self._read(dead_groups, query, cursor, limit)

    async def redrive(self, request: Redrive) -> Sequence[Redriven | Conflict | NotFound]:
        """See `aiq.storage.DeadLetters`."""
        check_redrive(request)
        return await self._write(redrive, request)

    async def purge(self, job_ids: Sequence[str]) -> Sequence[Purged]:
        """See `aiq.storage.DeadLetters`."""
        check_count("list of jobs", len(job_ids), MAX_BATCH)
        return await self._write(purge_jobs, job_ids)
