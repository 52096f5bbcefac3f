"""Jobs in Redis: each operation one call of the script of its name."""

from collections import defaultdict
from collections.abc import Sequence

from aiq.backends.redis import exchanging, wire
from aiq.backends.redis.door import Blobs, Door
from aiq.bounds import MAX_BATCH, MAX_LEASE_MS, MAX_PAGE, MAX_PAGE_BYTES, MIN_LEASE_MS
from aiq.errors import LeaseLost
from aiq.model import ClaimRequest, Counts, Exchanged, JobRecord, Lease, Renewed, Settlement, State
from aiq.rules.validation import check_claim, check_count, check_range, check_settlements


class JobsFace(Door):
    """See `aiq.storage.Jobs`."""

    async def exchange(self, settlements: Sequence[Settlement], claim: ClaimRequest | None = None) -> Exchanged:
        """See `aiq.storage.Jobs`."""
        check_settlements(settlements)
        if claim is not None:
            check_claim(claim)
        blobs = Blobs()
        told = [exchanging.told(settlement, blobs) for settlement in settlements]
        answer = await self._step("exchange", {"settlements": told, "claim": wire.said(claim)}, blobs)
        return exchanging.exchanged(answer, settlements)

    async def renew(
        self, leases: Sequence[Lease], *, lease_ms: int | None = None, shrink: bool = False
    ) -> list[Renewed | LeaseLost]:
        """See `aiq.storage.Jobs`."""
        check_count("list of leases", len(leases), MAX_BATCH)
        if lease_ms is not None:
            check_range("lease in ms", lease_ms, MIN_LEASE_MS, MAX_LEASE_MS)
        args = {"leases": wire.said(leases), "lease_ms": lease_ms, "shrink": shrink}
        answer = await self._step("renew", args)
        return [exchanging.renewed(lease, found) for lease, found in zip(leases, answer.value, strict=True)]

    async def get(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        check_count("list of jobs", len(job_ids), MAX_PAGE)
        answer = await self._step("get", {"ids": list(job_ids), "bytes": MAX_PAGE_BYTES})
        return [wire.record(answer, place) if place else None for place in answer.value]

    async def count(self, queue: str | None = None) -> Counts:
        """See `aiq.storage.Jobs`."""
        answer = await self._step("count", {"queue": queue} if queue is not None else {})
        counts: defaultdict[str, dict[State, int]] = defaultdict(dict)
        for name, state, number in answer.value:
            counts[name][State(state)] = number
        return dict(counts)
