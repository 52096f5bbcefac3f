"""The contract between aiq and whatever holds its jobs.

A Storage is made of small Protocols by noun; each method is one atomic step of the table of states
(spec/01-jobs.md), or of none. What holds for all of them:

- **Repeat.** Every write can be repeated with the same ids, and the repeat gives the first answer. After
  `Unavailable(outcome_unknown=True)` that is how the caller learns what happened.
- **Fence.** Every write of a running job carries its Lease. One that is not current is answered with
  `LeaseLost` and has no effect of any kind.
- **Time.** The clock is the store's, read inside the step. Callers pass durations in milliseconds.
- **Bounds.** Every list has a limit from `aiq.bounds`; more is `TooLarge`. Answers come in the order of
  the input.
- **Cancellation.** A cancelled call has happened wholly or not at all.
- **Errors.** Only those of `aiq.errors`: `Unavailable`, `StorageFull`, `ReadOnly` and `Corrupt` may come
  from any method and are not listed again.

A new backend implements these, satisfies `Storage` structurally, and runs `aiq.testing.conformance`.
"""

from collections.abc import Collection, Sequence
from typing import Protocol, Self

from aiq.bounds import MAX_PAGE, MAX_SWEEP
from aiq.errors import LeaseLost, TooLarge
from aiq.model import (
    Acquired,
    Amounts,
    Appended,
    BudgetSpec,
    BudgetStatus,
    CallRequest,
    CancelAnswer,
    Capability,
    ClaimRequest,
    Counts,
    Enqueued,
    Exchanged,
    JobFilter,
    JobRecord,
    JobSpec,
    Lease,
    LimitSpec,
    LimitStatus,
    NewChunk,
    Outcome,
    Page,
    PriceRow,
    QueueSettings,
    QueueStatus,
    Renewed,
    Report,
    Reported,
    Saved,
    Sent,
    Settled,
    Settlement,
    Step,
    StreamPage,
    Throttle,
    Upkept,
    UsageFilter,
    UsagePage,
    Violation,
    Why,
)


class Jobs(Protocol):
    """Jobs, from enqueue to their end."""

    async def enqueue(self, batch: Sequence[JobSpec], parent: Lease | None = None) -> list[Enqueued]:
        """Store jobs, all of them or none (T1); with `parent`, as children of that run (T24).

        A job is waiting while `depends_on` names jobs that have not ended, else scheduled or ready. A job
        may depend on an earlier one of the same batch or on a stored one; one that ended already counts at
        once. A child is counted under its `child_of` key in the same step.

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
        Spec: ENQ-1, ENQ-2, ENQ-3, ENQ-4, ENQ-5, ENQ-6, ENQ-7, ENQ-8, FLOW-8, FAN-5, LEASE-6
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

    async def explain(self, job_id: str) -> Why:
        """Name the one gate that a job waits for. Reads only.

        Raises:
            NotFound: no such job.
        Spec: WHY-1
        """
        ...

    async def get(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """Read jobs whole, with payload, result and errors; None where an id is not stored."""
        ...

    async def list(self, query: JobFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> Page:
        """Read jobs in the order they were enqueued, a page at a time."""
        ...

    async def count(self, queue: str | None = None) -> Counts:
        """Count jobs by queue and state. Spec: STATE-3"""
        ...


class Upkeep(Protocol):
    """What any worker does now and then, so that no leader is needed."""

    async def upkeep(self, limit: int = MAX_SWEEP) -> Upkept:
        """Do a bounded amount of what is due, at most `limit` of each kind, oldest first.

        Promotes due jobs (T2), revokes expired leases (T9), ends timed-out waits (T13), ends running jobs
        that did not heed a cancel within CANCEL_GRACE_MS (T16), applies the outbox of wide fan-ins, gives jobs whose
        patience with a route is over their next one (T19), makes held jobs ready whose budget has begun a new
        window (T22).

        Forgets, after RESERVATION_KEPT_MS: calls that are closed, parts of limits that are at rest, windows of budgets
        that are over with the ids of their grants, lines and pools in which nothing stands. Budgets ("job:ID" and
        "flow:ID" too), what was used, and what was learned of tasks stay, as jobs do, until retention is built.

        Safe to run anywhere at the same time. A row that cannot be handled does not stop the others.

        Spec: TIME-4, TIME-8, LIVE-2, FAN-8, CANCEL-5, SIG-8
        """
        ...

    async def pause(self, queue: str) -> None:
        """Give out no job of `queue` from now on. Running ones go on. Spec: CLAIM-7, STORE-4"""
        ...

    async def resume(self, queue: str) -> None:
        """Undo `pause`, at once. Spec: STORE-4"""
        ...

    async def configure(self, queue: str, settings: QueueSettings) -> QueueStatus:
        """Set what bounds a queue, in the place of what was set before. Jobs that stand or run are left alone.

        Raises:
            InvalidInput: a number is out of range.
        Spec: QUEUE-1, QUEUE-2
        """
        ...

    async def get_queue(self, queue: str) -> QueueStatus:
        """Read what bounds a queue, and how it stands."""
        ...

    async def weigh(self, tenant: str, weight: int) -> None:
        """Give a tenant a share of `weight` per mille of the usual one, from its next job on. Spec: FAIR-5"""
        ...

    async def audit(self, limit: int = MAX_PAGE) -> list[Violation]:
        """Look for anything that a clause forbids; an empty list is a clean bill. Reads only.

        Spec: STATE-3
        """
        ...


class Steps(Protocol):
    """Remembered sub-results."""

    async def save_step(self, lease: Lease, step: Step) -> Saved:
        """Remember a value under a key; the first one stands. `step.fence` is set by the store.

        Raises:
            LeaseLost: nothing was saved.
            Conflict("step"): the key is taken with another digest.
            TooLarge: over MAX_STEP_BYTES, or MAX_STEPS keys.
        Spec: STEP-1, STEP-2, STEP-4, LEASE-5
        """
        ...

    async def get_steps(self, job_id: str, *, after: str = "", limit: int = MAX_PAGE) -> list[Step]:
        """Read steps in the order of their keys, those after `after`. Spec: STEP-5

        Raises:
            NotFound: no such job.
        """
        ...


class Signals(Protocol):
    """Messages to a job from outside."""

    async def send(self, job_id: str, name: str, signal_id: str, payload: bytes) -> Sent:
        """Hand a signal to the wait that stands open for it (T13), or keep it for the next one.

        Raises:
            NotFound: no such job.
            Conflict("terminal"): the job has ended.
            Conflict("signal"): this id was sent with another name or payload.
            TooLarge: over MAX_SIGNAL_BYTES, or MAX_KEPT_SIGNALS are kept.
        Spec: SIG-1, SIG-2, SIG-4, SIG-5, SIG-11
        """
        ...


class Streams(Protocol):
    """The numbered output of a job."""

    async def append(self, lease: Lease, chunks: Sequence[NewChunk]) -> Appended:
        """Add items, all or none, in the order of `seq`; before a run's first item goes a reset if one is due.

        A PROGRESS item also becomes the job's `progress`.

        Raises:
            LeaseLost: nothing was added.
            Conflict("gap"): `seq` does not follow the run's last; Conflict("chunk"): it was used for other bytes.
            TooLarge: over MAX_CHUNK_BYTES, MAX_BATCH items, or MAX_STREAM_BYTES in all.
        Spec: STREAM-1, STREAM-2, STREAM-3, STREAM-4, STREAM-10, STREAM-11, STREAM-12
        """
        ...

    async def read(self, job_id: str, *, after: int = 0, limit: int = MAX_PAGE) -> StreamPage:
        """Read the items with a number over `after`, in order, with the job's state of the same moment.

        Raises:
            NotFound: no such job.
        Spec: STREAM-8, STREAM-9
        """
        ...


class Limits(Protocol):
    """Rates and concurrencies, shared by all queues of a storage. Spec: chapter 10."""

    async def put_limits(self, limits: Sequence[LimitSpec], *, absent_only: bool = False) -> list[LimitSpec]:
        """Store limits by name, and answer with what stands now. What is left of each goes with the change, at most
        its new burst. With `absent_only` one that is stored stays as it is.

        Raises:
            Conflict("by"): a stored limit would change its `by`; make one of another name.
            InvalidInput: a number is out of range, or the limit bounds nothing.
        Spec: LIMIT-1, LIMIT-2, LIMIT-3
        """
        ...

    async def get_limits(
        self, names: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> list[LimitStatus]:
        """Read limits with what is left of them: those named (what is not stored is left out), or all in the order of
        their names, those after `after`. One with a `by` is told once, without amounts, or with as many of its parts
        as fit."""
        ...

    async def acquire(self, calls: Sequence[CallRequest]) -> list[Acquired]:
        """Reserve for calls of running jobs, each wholly or not at all; a call that must wait stands in line.

        The first call of a run on its job's limits adopts what the claim reserved. Spec: CALL-1 to CALL-8
        """
        ...

    async def report(self, reports: Sequence[Report]) -> list[Reported | LeaseLost]:
        """Say what calls have used, so far or in the end. Each unit is counted once, whatever is repeated.

        A run that lost its job may still report a call that it had reserved: that corrects the ledger, and never
        the job. Spec: USAGE-1 to USAGE-6, LEASE-1
        """
        ...

    async def throttled(self, throttles: Sequence[Throttle]) -> None:
        """Pause limits after a 429, for everybody, and slow them down. Unknown names are left out. Spec: LIMIT-10"""
        ...


class Budgets(Protocol):
    """Ceilings on tokens and money, prices, and what was used. Spec: chapters 11 and 13."""

    async def put_budgets(self, budgets: Sequence[BudgetSpec], *, absent_only: bool = False) -> list[BudgetSpec]:
        """Store budgets by id, and answer with what stands now. What was spent stays; more room wakes held jobs.

        Raises:
            NotFound: a parent is not stored.
            Conflict("parent"): a budget would be its own ancestor, or a chain longer than MAX_CHAIN.
            InvalidInput: a number is out of range.
        Spec: BUDGET-1, BUDGET-2, BUDGET-9
        """
        ...

    async def get_budgets(
        self, ids: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> list[BudgetStatus]:
        """Read budgets as they stand now: those named (what is not stored is left out), or all by id after `after`."""
        ...

    async def grant(self, budget_id: str, grant_id: str, amounts: Amounts) -> BudgetStatus:
        """Add to the caps of a budget, in its present window, and wake what it can hold now, in the order it was held.

        A repeat of `grant_id` changes nothing.

        Raises:
            NotFound: no such budget.
            InvalidInput: it does not cap one of the amounts.
        Spec: BUDGET-10, HOLD-4
        """
        ...

    async def put_prices(self, prices: Sequence[PriceRow], *, absent_only: bool = False) -> None:
        """Store prices by (model, category, from_ms). With `absent_only` a model that has any price is left alone.

        Spec: USAGE-7
        """
        ...

    async def get_prices(self, model: str) -> list[PriceRow]:
        """Read every price of a model, by category and instant."""
        ...

    async def usage(self, query: UsageFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> UsagePage:
        """Read what was used, a page at a time. Spec: USAGE-8"""
        ...


def queue_topic(name: str) -> str:
    """The topic of those who wait for a job of a queue to become claimable."""
    return f"queue:{name}"


def job_topic(job_id: str) -> str:
    """The topic of those who wait for a job to move."""
    return f"job:{job_id}"


def stream_topic(job_id: str) -> str:
    """The topic of those who read a job's stream. Apart from the job's own, which a token must not wake."""
    return f"stream:{job_id}"


def limit_topic(name: str) -> str:
    """The topic of calls that wait for room on a limit."""
    return f"limit:{name}"


def room_topic(queue: str) -> str:
    """The topic of producers who wait for room in a queue."""
    return f"room:{queue}"


class Wakeups(Protocol):
    """A hint that something changed. Never needed for correctness: a poll always finds the truth."""

    async def wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        """Wait until something has changed on one of `topics` since the mark `after`, at most `timeout_ms`.

        Topics are those of `queue_topic`, `job_topic` and `stream_topic`. The answer is a mark to wait from
        next time: take it (`after=None` answers at once), look at the storage, then wait from it, and no
        change is missed in between. It may return early, or by its time-out, without saying which.

        Spec: LIVE-3, STORE-6
        """
        ...


class Storage(Jobs, Upkeep, Steps, Signals, Streams, Limits, Budgets, Wakeups, Protocol):
    """Everything a backend offers, and its own life. Opened by `aiq.backends.open_storage(url)`."""

    @property
    def url(self) -> str:
        """The address it was opened with, fit for a log: secrets are masked."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this storage has of the three things that are not mandatory."""
        ...

    async def sibling(self) -> Self:
        """Open the same storage again for another thread and event loop. Close it apart. Spec: STORE-7"""
        ...

    async def close(self) -> None:
        """Let go of connections and threads. Calling it twice is fine; other calls afterwards are not."""
        ...


async def claim(storage: Jobs, request: ClaimRequest) -> tuple[JobRecord, ...]:
    """An exchange that settles nothing."""
    return (await storage.exchange((), request)).claimed


async def settle(storage: Jobs, lease: Lease, outcome: Outcome, *, settlement_id: str) -> Settled:
    """An exchange of one settlement, whose refusal is raised.

    Raises:
        LeaseLost: the run does not own the job any more.
        TooLarge: the result is over MAX_RESULT_BYTES; the job still runs.
    """
    answer = (await storage.exchange((Settlement(lease, settlement_id, outcome),))).settled[0]
    if isinstance(answer, LeaseLost | TooLarge):
        raise answer
    return answer
