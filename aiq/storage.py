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
    Appended,
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
    NewChunk,
    Outcome,
    Page,
    Renewed,
    Saved,
    Sent,
    Settled,
    Settlement,
    Step,
    StreamPage,
    Upkept,
    Violation,
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
            InvalidInput: a bound, a name or a duration is out of range.
        Spec: ENQ-1, ENQ-2, ENQ-3, ENQ-4, ENQ-5, ENQ-6, ENQ-7, ENQ-8, FLOW-8, FAN-5, LEASE-6
        """
        ...

    async def exchange(self, settlements: Sequence[Settlement], claim: ClaimRequest | None = None) -> Exchanged:
        """Record what became of runs, and lease the next jobs, in one step and one round trip.

        Settlements come first, in order, each with its fan-in, stream marker and event; a refused one is a
        value in its place. The claim then promotes what is due and revokes what has expired (MAX_SWEEP
        each), and leases for each wanted queue up to `count` ready jobs by (band, lane, position), queues
        in the order asked; a paused queue gives none. Nothing to do writes nothing.

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
        that did not heed a cancel within CANCEL_GRACE_MS (T16), and applies the outbox of wide fan-ins.
        Safe to run anywhere at the same time. A row that cannot be handled does not stop the others.

        Spec: TIME-4, LIVE-2, FAN-8, CANCEL-5, SIG-8
        """
        ...

    async def pause(self, queue: str) -> None:
        """Give out no job of `queue` from now on. Running ones go on. Spec: CLAIM-7, STORE-4"""
        ...

    async def resume(self, queue: str) -> None:
        """Undo `pause`, at once. Spec: STORE-4"""
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


def queue_topic(name: str) -> str:
    """The topic of those who wait for a job of a queue to become claimable."""
    return f"queue:{name}"


def job_topic(job_id: str) -> str:
    """The topic of those who wait for a job to move."""
    return f"job:{job_id}"


def stream_topic(job_id: str) -> str:
    """The topic of those who read a job's stream. Apart from the job's own, which a token must not wake."""
    return f"stream:{job_id}"


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


class Storage(Jobs, Upkeep, Steps, Signals, Streams, Wakeups, Protocol):
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
