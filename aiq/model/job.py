"""A job: its states, what a producer hands in, and what is stored."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, Literal, TypeAlias

from aiq import bounds
from aiq.model.budget import BudgetSpec
from aiq.model.usage import Estimate


class State(StrEnum):
    """Where a job stands. Each job is in exactly one. Spec: chapter 1."""

    SCHEDULED = "scheduled"
    READY = "ready"
    RUNNING = "running"
    WAITING = "waiting"
    SUSPENDED = "suspended"
    HELD = "held"
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether the job has ended."""
        return self in TERMINAL


TERMINAL: Final = frozenset({State.SUCCEEDED, State.DEAD, State.CANCELLED})


class Band(IntEnum):
    """The four priority lanes; a lower number always goes first."""

    INTERACTIVE = 0
    HIGH = 1
    NORMAL = 2
    BATCH = 3


class Lane(IntEnum):
    """The two lines of a band: those that come back are served before those that arrive."""

    RETURNED = 0
    FRESH = 1


class Cause(StrEnum):
    """Why a job died or failed an attempt, in a word."""

    HANDLER = "handler"
    TIMEOUT = "timeout"
    STALLED = "stalled"
    UPSTREAM = "upstream"
    CHILD = "child"
    UNROUTABLE = "unroutable"
    PAYLOAD = "payload"
    RESULT = "result"
    RATE_LIMITED = "rate_limited"
    BUDGET = "budget"
    DEADLINE = "deadline"


OnUnique: TypeAlias = Literal["keep", "replace", "debounce"]
"""What becomes of a job whose unique key another has: it is answered with that one, or changes it while that has not
started, and makes it wait anew."""


class Capability(StrEnum):
    """What a storage may or may not have; everything else is mandatory."""

    DURABLE = "durable"
    """An acknowledged write outlives the process."""
    PUSH_WAKEUPS = "push_wakeups"
    """`wait` answers at once, also for a change made by another process, without looking at intervals."""
    TRANSACTIONAL_ENQUEUE = "transactional_enqueue"
    """A job can be enqueued inside the caller's own transaction."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run one job. Both parts of the token, fence and lease_id, are compared at every write."""

    job_id: str
    fence: int
    lease_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """One failure of a job. The store fills in `at_ms`, `fence` and `attempt` when it records it.

    `fingerprint` is what it has in common with failures of its kind, 32 hex digits; the store fills in that of the
    cause where it is empty. `code` is the provider's, `place` the user's function, `pattern` the message without what
    differs from job to job.
    """

    type: str
    message: str
    traceback: str = ""
    cause: Cause = Cause.HANDLER
    at_ms: int = 0
    fence: int = 0
    attempt: int = 0
    fingerprint: str = ""
    code: str = ""
    place: str = ""
    pattern: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSpec:
    """One way to do a job: a model and the limits that go with it. A job that has stood ready for `patience_ms`
    behind a limit of this route takes the next one."""

    name: str
    model: str = ""
    limits: tuple[str, ...] = ()
    patience_ms: int | None = None


class HeldFor(StrEnum):
    """Why a job is held."""

    OPERATOR = "operator"
    BUDGET = "budget"
    APPROVAL = "approval"
    """A budget that only a grant opens."""
    QUOTA = "quota"
    """Every route is closed."""
    PRICE = "price"
    """Its model has no price, and a budget in money binds it."""
    SIZE = "size"
    """It needs more than a limit can ever give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One piece of work, as a producer hands it to a storage.

    `digest` is a digest of the plain content, options included, before any codec: the same id with the same
    digest is the same job, with another one a conflict. `delay_ms` counts from the store's now; `at_ms` is
    an instant, and wins. `depends_on` names jobs that must end first; `child_of` is the wait key, within
    the parent whose lease comes with the enqueue, under which this job is counted.

    With `routes` the job's limits and model are those of the route it stands on. `budgets` are the ids of those it
    draws from besides its tenant's, nearest first; `creates` are budgets that are stored, where absent, in the same
    step. `max_deferral_ms` bounds how long rate limits alone may give the job back.

    `keep_ms` is how long it is kept once it has ended, in the place of what the retention of the storage says. `origin`
    is the job of which it is a replay.

    With a `per_key` over 0 the job is ordered: at most so many jobs of its queue and `key` go on at once, and they
    start in the order of enqueueing. `while_parked` says whether those behind it wait while it sleeps or waits. KEY-1

    It must have ended by `deadline_ms`, an instant, and within `expires_ms` from the store's now; of a stored job
    `deadline_ms` is the first of these and of its parent's, and `expires_ms` is None.

    `unique` names its work among those of its task: while another has the key, until that has ended or for
    `unique_for_ms`, this job is not stored, and `on_unique` says what becomes of it; `delay_ms` is how long it must be
    quiet for a debounce. Of a stored job nothing is known of these two but the key.

    `on_parent` says whether a child is cancelled when its parent is cancelled or dies.
    """

    id: str
    task: str
    queue: str = "default"
    payload: bytes = b"[]"
    digest: str = ""
    band: Band = Band.NORMAL
    delay_ms: int = 0
    at_ms: int | None = None
    lease_ms: int = bounds.DEFAULT_LEASE_MS
    timeout_ms: int | None = None
    max_attempts: int = bounds.DEFAULT_ATTEMPTS
    max_stalls: int = bounds.DEFAULT_STALLS
    flow: str | None = None
    depends_on: tuple[str, ...] = ()
    on_upstream: Literal["fail", "continue"] = "fail"
    child_of: str | None = None
    tenant: str = ""
    key: str | None = None
    per_key: int = 0
    while_parked: Literal["hold", "free"] = "hold"
    unique: str | None = None
    limits: tuple[str, ...] = ()
    routes: tuple[RouteSpec, ...] = ()
    estimate: Estimate | None = None
    budgets: tuple[str, ...] = ()
    creates: tuple[BudgetSpec, ...] = ()
    max_deferral_ms: int = bounds.DEFAULT_MAX_DEFERRAL_MS
    deadline_ms: int | None = None
    expires_ms: int | None = None
    unique_for_ms: int | None = None
    on_unique: OnUnique = "keep"
    on_parent: Literal["cancel", "leave"] = "cancel"
    keep_ms: int | None = None
    origin: str | None = None

    @property
    def ordered(self) -> bool:
        """Whether jobs of its key start in their order. Spec: KEY-1"""
        return self.per_key > 0 and self.key is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord(JobSpec):
    """One stored job. Instants (`…_at_ms`, `due_ms`) are of the store's clock.

    `failures` and `stalls` count within the generation; the attempt shown to users is failures + 1.
    `fence` rises by one at every claim and is never reset. `wait_key` names the wait of a job that is
    waiting, suspended or sleeping. `remembers` says that steps are stored, so that a run knows to fetch them.

    `route` is the place in `routes` where it stands, `closed_routes` has a bit for each that it may not take again.
    `opened_calls` says that a run of it has opened a call, `resumes` that its next run goes on after a wait.
    `deferred_at_ms` is when rate limits first gave it back, while nothing else has happened to it; `held` is why it
    is held, and `held_by` by what. A job that has succeeded without a `result` had one, which is kept no more.
    """

    state: State
    generation: int = 1
    fence: int = 0
    failures: int = 0
    stalls: int = 0
    lane: Lane = Lane.FRESH
    position: int = 0
    due_ms: int | None = None
    lease_id: str | None = None
    owner: str | None = None
    expires_at_ms: int | None = None
    cancel_requested_at_ms: int | None = None
    cause: Cause | None = None
    wait_key: str | None = None
    pending: int = 0
    parent_id: str | None = None
    remembers: bool = False
    kept_signals: int = 0
    chunks: int = 0
    progress: bytes | None = None
    result: bytes | None = None
    errors: tuple[JobError, ...] = ()
    late: bool = False
    route: int = 0
    closed_routes: int = 0
    opened_calls: bool = False
    resumes: bool = False
    deferred_at_ms: int | None = None
    held: HeldFor | None = None
    held_by: str = ""
    events: int = 0
    created_at_ms: int = 0
    started_at_ms: int | None = None
    finished_at_ms: int | None = None

    @property
    def content_size(self) -> int:
        """The bytes of its payload and its result, which is what pages and steps are measured by."""
        return len(self.payload) + len(self.result or b"")

    @property
    def attempt(self) -> int:
        """The attempt as users count it: 1 for the first. Of a dead job it is the last one, 0 if it never ran."""
        return self.failures if self.state is State.DEAD else self.failures + 1

    @property
    def taken_limits(self) -> tuple[str, ...]:
        """The names of the limits that its runs take: those of its route, else its own."""
        return self.routes[self.route].limits if self.routes else self.limits

    @property
    def model(self) -> str:
        """The model that its runs call: that of its route, else of its estimate; empty where nobody said."""
        named = self.routes[self.route].model if self.routes else ""
        return named or (self.estimate.model if self.estimate else "")

    @property
    def last_error(self) -> JobError | None:
        """The newest of the errors that are kept."""
        return self.errors[-1] if self.errors else None

    @property
    def lease(self) -> Lease:
        """The lease under which the job runs.

        Raises:
            ValueError: it is not running.
        """
        if self.lease_id is None:
            raise ValueError(f"Job {self.id} is {self.state}: nobody holds a lease on it.")
        return Lease(self.id, self.fence, self.lease_id)
