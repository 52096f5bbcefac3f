"""Jobs: checked here, and made one step of the store."""

from collections.abc import Sequence
from functools import partial

from aiq.backends.relational.cancel import cancel, cancel_known
from aiq.backends.relational.count import count
from aiq.backends.relational.door import Door
from aiq.backends.relational.enqueue import enqueue
from aiq.backends.relational.exchange import exchange, nothing_to_exchange
from aiq.backends.relational.explain import explain
from aiq.backends.relational.get import get
from aiq.backends.relational.hold import hold
from aiq.backends.relational.list import list_jobs
from aiq.backends.relational.renew import renew
from aiq.backends.relational.unhold import unhold
from aiq.backends.relational.update import update
from aiq.bounds import MAX_BATCH, MAX_PAGE
from aiq.errors import LeaseLost, NotFound
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
from aiq.rules.editing import check_edits
from aiq.rules.validation import check_batch, check_claim, check_count, check_limit, check_renewal, check_settlements


class JobsFace(Door):
    """See `aiq.storage.Jobs`."""

    async def enqueue(self, batch: Sequence[JobSpec], parent: Lease | None = None) -> list[Enqueued]:
        """See `aiq.storage.Jobs`."""
        check_batch(batch, parent)
        return await self._write(enqueue, batch, parent)

    async def exchange(self, settlements: Sequence[Settlement], claim: ClaimRequest | None = None) -> Exchanged:
        """See `aiq.storage.Jobs`."""
        check_settlements(settlements)
        if claim is not None:
            check_claim(claim)
        if settlements and claim is None:
            return await self._go_on(exchange, settlements, claim)
        if settlements:
            made, any_left = await self._go_on_and_tell(exchange, settlements, claim)
            # Leases that were given run already, and nobody renews them until this is answered.
            if any_left and not made.claimed:
                await self._store_some_left()
            return made
        look = partial(nothing_to_exchange, request=claim)
        return await self._write_unless(look, exchange, settlements, claim)

    async def renew(
        self, leases: Sequence[Lease], *, lease_ms: int | None = None, shrink: bool = False
    ) -> list[Renewed | LeaseLost]:
        """See `aiq.storage.Jobs`."""
        check_renewal(leases, lease_ms)
        return await self._go_on(renew, leases, lease_ms, shrink=shrink)

    async def cancel(self, job_ids: Sequence[str], *, force: bool = False) -> list[CancelAnswer]:
        """See `aiq.storage.Jobs`."""
        check_count("list of jobs", len(job_ids), MAX_BATCH)
        try:
            return await self._go_on(cancel_known, job_ids, force=force)
        except NotFound:
            return await self._write(cancel, job_ids, force=force)

    async def hold(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        check_count("list of jobs", len(job_ids), MAX_BATCH)
        return await self._write(hold, job_ids)

    async def unhold(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        check_count("list of jobs", len(job_ids), MAX_BATCH)
        return await self._write(unhold, job_ids)

    async def update(self, edits: Sequence[Edit]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        check_edits(edits)
        return await self._write(update, edits)

    async def explain(self, job_id: str) -> Why:
        """See `aiq.storage.Jobs`."""
        return await self._read(explain, job_id)

    async def get(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        check_count("list of jobs", len(job_ids), MAX_PAGE)
        return await self._read(get, job_ids)

    async def count(self, queue: str | None = None) -> Counts:
        """See `aiq.storage.Jobs`."""
        return await self._read(count, queue)

    async def list(self, query: JobFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> Page:
        """See `aiq.storage.Jobs`."""
        check_limit(limit)
        return await self._read(list_jobs, query, cursor, limit)
