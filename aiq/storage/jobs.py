"""Jobs, from enqueue to their end."""

from collections.abc import Sequence
from typing import Protocol

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


class Jobs(Protocol):
    """Jobs, from enqueue to their end."""

    async def enqueue(self, batch: Sequence[JobSpec], parent: Lease | None = None) -> list[Enqueued]:
        """Store jobs, all of them or none (T1); with `parent`, as children of that run (T24).

        A job is waiting while `depends_on` names jobs that have not ended, else scheduled or ready. A job
        may depend on an earlier one of the same batch or on a stored one; one that ended already counts at
        once. A child is counted under its `child_of` key in the same step. A job whose unique key another has is not
        stored: the answer names that one.

        Raises:
            Conflict("content"): an id is stored with another digest.
            Conflict("parent"): an id to be spawned is stored, and not as a child of this wait.
            NotFound: a dependency is not stored.
            LeaseLost: the parent's run is over, or its lease has expired.
            QueueFull: a queue with a `max_ready` has no room for all of them. Children are not counted against it.
            UnknownLimit, NeverFits, PriceUnknown: a job names a limit that is not stored, declares to need more than
                one can give, or has a declared model without a price and a budget in money.
            NotFound: a budget it draws from is not stored.
            InvalidInput: a bound, a name or a duration is out of range.
            Conflict("unique"): a job with the same unique key is to be replaced, and stands elsewhere.
        Spec: UNIQ-1 to UNIQ-9, ENQ-1, ENQ-2, ENQ-3, ENQ-4, ENQ-5, ENQ-6, ENQ-7, ENQ-8, FLOW-8, FAN-5, LEASE-6
        """
        ...

    async def exchange(self, settlements: Sequence[Settlement], claim: ClaimRequest | None = None) -> Exchanged:
        """Record what became of runs, and lease the next jobs, in one step and one round trip.

        Settlements come first, in order, each with its fan-in, stream marker and event; a refused one is a
        value in its place. The claim then promotes what is due and revokes what has expired (MAX_SWEEP
        each), and leases for each wanted queue up to `count` ready jobs in the order of chapter 12, queues in
        the order asked; a paused queue gives none. What a job needs of its limits and budgets is reserved in the same
        step, all of it or none. Nothing to do writes nothing.

        Spec: STATE-6, STORE-5, LEASE-1, LEASE-5, chapters 1 to 3, 5 and 7
        """
        ...

    async def renew(
        self, leases: Sequence[Lease], *, lease_ms: int | None = None, shrink: bool = False
    ) -> list[Renewed | LeaseLost]:
        """Restart leases from now (T4), each to the job's own length.

        `lease_ms` asks for another length, once; shorter than the job's own only with `shrink`, which a
        shutdown uses (else the own length is kept). One lost lease leaves the others alone.

        Spec: LEASE-3, LEASE-4, LEASE-8, LEASE-10, LEASE-12
        """
        ...

    async def cancel(self, job_ids: Sequence[str], *, force: bool = False) -> list[CancelAnswer]:
        """End jobs that are not running (T14), and ask running ones to stop (T15); `force` ends those too (T16).

        Asking twice changes nothing, and a terminal job keeps its state. Children go with their parent.

        Spec: CANCEL-1, CANCEL-2, CANCEL-6, CANCEL-7, CANCEL-8
        """
        ...

    async def hold(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """Keep ready jobs from being claimed until `unhold` (T21); one that is held already stays so.

        The records are as the call left them, None where an id is not stored.

        Raises:
            Conflict("state"): one of them is neither ready nor held; none was changed.
        Spec: HOLD-1, HOLD-2
        """
        ...

    async def unhold(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """Make held jobs ready (T22), whatever they are held for, in the order given; their routes are open again.

        One that is not held is left alone. A budget without room holds its job again at the next claim.

        Spec: HOLD-3
        """
        ...

    async def update(self, edits: Sequence[Edit]) -> list[JobRecord | None]:
        """Change jobs that wait to run (T19): their band, the instant before which they do not, or their arguments.

        A job keeps its place among the others. The instant of one that has run can be changed while it is scheduled,
        its arguments cannot. An edit that says nothing new changes nothing. The records are as the call left them, None
        where an id is not stored.

        Raises:
            Conflict("state"): one of them is in a state in which that cannot be changed; none was changed.
            Conflict("task"): the arguments are those of another task.
            NeverFits, PriceUnknown: a job could never run with its new estimate.
            InvalidInput: a bound is passed, or one job is named twice.
        Spec: EDIT-1 to EDIT-7
        """
        ...

    async def explain(self, job_id: str) -> Why:
        """Name the one gate that a job waits for. Reads only.

        Raises:
            NotFound: no such job.
        Spec: WHY-1
        """
        ...

    async def get(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """Read jobs whole, with payload, result and errors; None where an id is not stored.

        The answer may be shorter than what was asked: it ends with the job that takes it to MAX_PAGE_BYTES of payloads
        and results, and the others are asked for again (`all_records`). Those of `hold`, `unhold` and `update`, which
        act on all, end in the same way.

        Spec: STORE-10, STORE-11, STORE-16
        """
        ...

    async def list(self, query: JobFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> Page:
        """Read jobs in the order they were enqueued, a page at a time. Spec: STORE-8, STORE-13"""
        ...

    async def count(self, queue: str | None = None) -> Counts:
        """Count jobs by queue and state. Spec: STATE-3"""
        ...
