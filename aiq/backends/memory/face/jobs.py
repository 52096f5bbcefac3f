"""Jobs of the reference: each operation one transition under the lock."""

from collections.abc import Sequence

from aiq.backends.memory.cancel import cancel
from aiq.backends.memory.count import count
from aiq.backends.memory.door import Door
from aiq.backends.memory.enqueue import enqueue
from aiq.backends.memory.exchange import exchange
from aiq.backends.memory.explain import explain
from aiq.backends.memory.get import get
from aiq.backends.memory.hold import hold
from aiq.backends.memory.list import list_jobs
from aiq.backends.memory.renew import renew
from aiq.backends.memory.unhold import unhold
from aiq.backends.memory.update import update
from aiq.bounds import MAX_PAGE
from aiq.errors import LeaseLost
from aiq.model import (
    CancelAnswer,
    ClaimRequest,
    Counts,
    Edit,
    Enqueued,
    Exchanged,
    JobFilter,
    JobRecord,
    JobSpec,
    Lease,
    Page,
    Renewed,
    Settlement,
    Why,
)


class JobsFace(Door):
    """See `aiq.storage.Jobs`."""

    async def enqueue(self, batch: Sequence[JobSpec], parent: Lease | None = None) -> list[Enqueued]:
        """See `aiq.storage.Jobs`."""
        return await self._run(enqueue, batch, parent)

    async def exchange(self, settlements: Sequence[Settlement], claim: ClaimRequest | None = None) -> Exchanged:
        """See `aiq.storage.Jobs`."""
        return await self._run(exchange, settlements, claim)

    async def renew(
        self, leases: Sequence[Lease], *, lease_ms: int | None = None, shrink: bool = False
    ) -> list[Renewed | LeaseLost]:
        """See `aiq.storage.Jobs`."""
        return await self._run(renew, leases, lease_ms, shrink=shrink)

    async def cancel(self, job_ids: Sequence[str], *, force: bool = False) -> list[CancelAnswer]:
        """See `aiq.storage.Jobs`."""
        return await self._run(cancel, job_ids, force=force)

    async def hold(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        return await self._run(hold, job_ids)

    async def unhold(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        return await self._run(unhold, job_ids)

    async def update(self, edits: Sequence[Edit]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        return await self._run(update, edits)

    async def explain(self, job_id: str) -> Why:
        """See `aiq.storage.Jobs`."""
        return await self._look(explain, job_id)

    async def get(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        return await self._look(get, job_ids)

    async def count(self, queue: str | None = None) -> Counts:
        """See `aiq.storage.Jobs`."""
        return await self._look(count, queue)

    async def list(self, query: JobFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> Page:
        """See `aiq.storage.Jobs`."""
        return await self._look(list_jobs, query, cursor, limit)
