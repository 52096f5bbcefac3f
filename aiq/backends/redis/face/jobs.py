"""Jobs in Redis: each operation one call of the script of its name."""

from collections import defaultdict
from collections.abc import Sequence

from aiq.backends.redis import exchanging, storing, wire
from aiq.backends.redis.briefs import briefed
from aiq.backends.redis.door import Blobs, Door
from aiq.bounds import MAX_BATCH, MAX_PAGE, MAX_PAGE_BYTES
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
    State,
    Why,
)
from aiq.rules.editing import check_edits
from aiq.rules.filtering import check_filter
from aiq.rules.paging import job_place
from aiq.rules.validation import (
    check_batch,
    check_claim,
    check_count,
    check_limit,
    check_renewal,
    check_settlements,
)


class JobsFace(Door):
    """See `aiq.storage.Jobs`."""

    async def enqueue(self, batch: Sequence[JobSpec], parent: Lease | None = None) -> list[Enqueued]:
        """See `aiq.storage.Jobs`."""
        check_batch(batch, parent)
        blobs = Blobs()
        answer = await self._step("enqueue", storing.told(batch, parent, blobs), blobs)
        return storing.enqueued(answer, batch)

    async def exchange(self, settlements: Sequence[Settlement], claim: ClaimRequest | None = None) -> Exchanged:
        """See `aiq.storage.Jobs`."""
        check_settlements(settlements)
        if claim is not None:
            check_claim(claim)
        blobs = Blobs()
        told = exchanging.told(settlements, blobs)
        short = briefed([settlement.lease.job_id for settlement in settlements], blobs)
        args = {**told, "briefs": short, "claim": wire.said(claim)}
        answer = await self._step("exchange", args, blobs)
        return exchanging.exchanged(answer, settlements)

    async def renew(
        self, leases: Sequence[Lease], *, lease_ms: int | None = None, shrink: bool = False
    ) -> list[Renewed | LeaseLost]:
        """See `aiq.storage.Jobs`."""
        check_renewal(leases, lease_ms)
        blobs = Blobs()
        short = briefed([lease.job_id for lease in leases], blobs)
        args = {"leases": wire.said(leases), "briefs": short, "lease_ms": lease_ms, "shrink": shrink}
        answer = await self._step("renew", args, blobs)
        return [exchanging.renewed(lease, found) for lease, found in zip(leases, answer.value, strict=True)]

    async def cancel(self, job_ids: Sequence[str], *, force: bool = False) -> list[CancelAnswer]:
        """See `aiq.storage.Jobs`."""
        check_count("list of jobs", len(job_ids), MAX_BATCH)
        answer = await self._step("cancel", {"ids": list(job_ids), "force": force})
        states = [State(state) if state else None for state in answer.value]
        return [
            CancelAnswer(job_id, state, requested=state is State.RUNNING)
            for job_id, state in zip(job_ids, states, strict=True)
        ]

    async def _answered(self, operation: str, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """Do something to jobs, and read them as it leaves them."""
        check_count("list of jobs", len(job_ids), MAX_BATCH)
        answer = await self._step(operation, {"ids": list(job_ids), "bytes": MAX_PAGE_BYTES})
        return [wire.record(answer, place) if place else None for place in answer.value]

    async def hold(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        return await self._answered("hold", job_ids)

    async def unhold(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        return await self._answered("unhold", job_ids)

    async def update(self, edits: Sequence[Edit]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        check_edits(edits)
        blobs = Blobs()
        told = [wire.said(edit) for edit in edits]
        for row, edit in zip(told, edits, strict=True):
            if edit.content is not None:
                row["content"]["payload"] = blobs.add(edit.content.payload)
        answer = await self._step("update", {"edits": told, "bytes": MAX_PAGE_BYTES}, blobs)
        return [wire.record(answer, place) if place else None for place in answer.value]

    async def get(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        check_count("list of jobs", len(job_ids), MAX_PAGE)
        answer = await self._step("get", {"ids": list(job_ids), "bytes": MAX_PAGE_BYTES})
        return [wire.record(answer, place) if place else None for place in answer.value]

    async def count(self, queue: str | None = None) -> Counts:
        """See `aiq.storage.Jobs`."""
        answer = await self._step("count", {"queue": queue, "states": list(State)})
        counts: defaultdict[str, dict[State, int]] = defaultdict(dict)
        for name, state, number in answer.value:
            counts[name][State(state)] = number
        return dict(counts)

    async def list(self, query: JobFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> Page:
        """See `aiq.storage.Jobs`."""
        check_limit(limit)
        check_filter(query)
        asked = {**wire.said(query), "states": dict.fromkeys(query.states, True)}
        args = {"query": asked, "place": job_place(cursor), "limit": limit, "bytes": MAX_PAGE_BYTES}
        answer = await self._step("list", args)
        found = [wire.record(answer, place) for place in answer.value["found"]]
        place = answer.value.get("place")
        return Page(tuple(found), None if place is None else str(place))

    async def explain(self, job_id: str) -> Why:
        """See `aiq.storage.Jobs`."""
        answer = await self._step("explain", {"id": job_id})
        told = dict(answer.value)
        # A NUL stands for a name as Python quotes it, which no other language does.
        text = told.pop("text").replace("\0", repr(told.pop("quoted", "")))
        return wire.heard(Why, told, text=text)
