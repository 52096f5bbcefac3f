"""What booking reads and writes of a store, within one atomic step: the seam between formulas and tables.

A store in Python implements these and uses `rules.booking` and `rules.dispatch` as they are; one whose steps are
written in another language does the same there. Everything is read as it stands in the step, its own writes included.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from msgspec import Struct

from aiq.model import (
    Amounts,
    Band,
    BudgetSpec,
    BudgetState,
    HeldFor,
    JobError,
    JobRecord,
    LimitSpec,
    LimitState,
    PriceRow,
    Reservation,
)
from aiq.rules.alike import Alike, Lines


class Learned(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is known of one task and model: a quantile in thousandths of a token, and of how many samples. EST-2"""

    output: int = 0
    outputs: int = 0
    input: int = 0
    inputs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingCall:
    """A call of a running job that stands in line for its limits. `number` is its place: one counter serves all.

    `limits` are (name, key) with what it needs of each: requests, charge, rest, units of concurrency. CALL-5, CALL-6
    """

    job_id: str
    fence: int
    call: int
    band: Band
    number: int
    limits: Mapping[tuple[str, str], tuple[int, int, int, int]]
    asked_at_ms: int
    next_ms: int
    """The instant at which it may be admitted, as far as was known when it last asked."""


class UsageOf(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Whose use is counted, and in which minute. `queue` and `task` are empty where the job is not stored any more."""

    minute_ms: int
    job_id: str
    flow: str | None = None
    tenant: str = ""
    queue: str = ""
    task: str = ""


class Books(Protocol):
    """Limits, budgets, prices, reservations and use."""

    @property
    def now_ms(self) -> int:
        """The one instant of the step."""
        ...

    @property
    def alike(self) -> Alike:
        """What was worked out in this step for calls that are alike. Rules alone look into it, and it may be empty."""
        ...

    def limit(self, name: str) -> LimitSpec | None:
        """A stored limit. Those of a queue's own settings are named "queue:NAME"."""
        ...

    def limit_names(self) -> Sequence[str]:
        """The names of all that are stored, for an error message; at most MAX_PAGE."""
        ...

    def limit_state(self, name: str, key: str) -> LimitState | None:
        """What is left of a limit, or of one tenant's or key's part; None when nothing was taken of it yet."""
        ...

    def put_limit_state(self, name: str, key: str, state: LimitState) -> None:
        """Write it."""
        ...

    def freed(self, name: str, key: str) -> None:
        """Room has appeared on a limit: wake the pools, lines and jobs it parked, and the calls that wait; where
        it is a queue's own, tell those who ask that queue. POOL-1, QUEUE-3"""
        ...

    def waiting(self, name: str, key: str) -> Sequence[WaitingCall]:
        """The calls that stand in line for a limit, by (band, number): those of runs that go on and that have asked
        within PLACE_KEPT_MS (exactly that long ago still counts). At most MAX_BATCH."""
        ...

    def waiting_call(self, job_id: str, fence: int, call: int) -> WaitingCall | None:
        """One call's place in line."""
        ...

    def next_waiting_number(self) -> int:
        """A new last place."""
        ...

    def put_waiting(self, call: WaitingCall) -> None:
        """Let a call stand in line, or keep its place."""
        ...

    def drop_waiting(self, job_id: str, fence: int, call: int | None = None) -> Sequence[WaitingCall]:
        """Take a call, or all calls of a run, out of line, and tell which they were. The caller says `freed` where
        that lets others go on: not of a call that was admitted, which now has what it stood for."""
        ...

    def queue_limited(self, queue: str) -> bool:
        """Whether a queue has a concurrency or rate of its own, under the limit "queue:NAME". QUEUE-2"""
        ...

    def budget(self, budget_id: str) -> BudgetSpec | None:
        """A stored budget."""
        ...

    def budget_state(self, budget_id: str, window_ms: int) -> BudgetState:
        """What was spent and is held in a window; a new one when there is nothing yet."""
        ...

    def put_budget_state(self, budget_id: str, state: BudgetState) -> None:
        """Write it."""
        ...

    def room_appeared(self, budget_id: str) -> None:
        """Something was given back to a budget: wake what it can hold now, when the step is nearly done. HOLD-4"""
        ...

    def prices(self, model: str) -> Sequence[PriceRow]:
        """Every price of a model."""
        ...

    def learned(self, task: str, model: str) -> Learned:
        """What is known of a task and model."""
        ...

    def put_learned(self, task: str, model: str, learned: Learned) -> None:
        """Write it."""
        ...

    def reservation(self, job_id: str, fence: int, call: int) -> Reservation | None:
        """A reservation, open or closed, while it is kept."""
        ...

    def open_reservations(self, job_id: str, fence: int) -> Sequence[Reservation]:
        """Those of a run that are open, by call."""
        ...

    def put_reservation(self, reservation: Reservation) -> None:
        """Write one."""
        ...

    def add_usage(self, owner: UsageOf, more: Lines) -> None:
        """Count what one call has used more than was counted so far, for its job, flow, tenant and minute; corrections
        may be below zero. USAGE-1"""
        ...

    def serve(self, record: JobRecord, cost: int) -> int:
        """Let the service of a job's line rise by the cost over the tenant's weight, or fall (`fairness.risen`), and
        tell what it is now. The line is kept with or without ready jobs, for a day at least. FAIR-1, FAIR-2"""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Ready jobs of a queue that take the same limits. Kept while it is parked, or has credit or a head's claim.

    `credits` and `served` are by band: the floor's credit, and the service of the line served last. `head` is the
    job whose refusal opened the bypass, and `bypass` what may still pass it. When the last job leaves the lanes of a
    band, by whatever way, the store sets its credit to 0, and so the queue's own when none of its pools has one there.
    Spec: chapter 12
    """

    queue: str
    name: str
    wake_at_ms: int = 0
    parked_by: str = ""
    head: str = ""
    bypass: int = 0
    credits: tuple[int, int, int, int] = (0, 0, 0, 0)
    served: tuple[int, int, int, int] = (0, 0, 0, 0)


class Line(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One tenant's ready jobs in a band of a pool. `digest` is the SHA-256 of the tenant, in hexadecimal."""

    pool: str
    band: Band
    tenant: str
    digest: str
    service: int = 0
    wake_at_ms: int = 0
    parked_by: str = ""


class Front(NamedTuple):
    """What a claim knows of an open pool before it is its turn: the most urgent band with a head, and the least
    position of the heads of all its bands."""

    rank: Band
    position: int
    pool: str


class Yard(Protocol):
    """The ready jobs of one queue, and what a claim does with them."""

    @property
    def queue(self) -> str:
        """Its name."""
        ...

    def fronts(self) -> Sequence[Front]:
        """Those of the pools with jobs in lanes that are not parked, in no order. There may be thousands, of which a
        claim opens few: of each as little is read as can be. POOL-5: nothing is read of parked ones."""
        ...

    def front(self, pool: str) -> Front | None:
        """That of a pool that is not parked; None where no open line of it has a job."""
        ...

    def pool(self, name: str) -> Pool:
        """A pool whose turn it may be."""
        ...

    def put_pool(self, pool: Pool) -> None:
        """Write one; to park it is to set its `wake_at_ms` (MAX_INSTANT_MS: until it is woken) and `parked_by`."""
        ...

    def bands(self, pool: str) -> Sequence[Band]:
        """The bands of a pool with jobs in lanes, most urgent first."""
        ...

    def line(self, pool: str, band: Band, after: tuple[int, str] | None = None) -> Line | None:
        """The open line with jobs in lanes that has the least (service, digest), of those over `after`."""
        ...

    def put_line(self, line: Line) -> None:
        """Write one; to park it is as with a pool."""
        ...

    def head(self, line: Line) -> JobRecord | None:
        """The first job of a line."""
        ...

    def queue_credits(self) -> tuple[int, int, int, int]:
        """The queue's credits, by band. BAND-3"""
        ...

    def put_queue_credits(self, credits: tuple[int, int, int, int]) -> None:
        """Write them."""
        ...

    def give(self, record: JobRecord) -> None:
        """Lease a job to the claim (T3)."""
        ...

    def hold(self, record: JobRecord, reason: HeldFor, by: str, need: Amounts) -> None:
        """Hold a ready job (T21)."""
        ...

    def refuse(self, record: JobRecord, error: JobError) -> None:
        """End a ready job (T25)."""
        ...

    def reroute(self, record: JobRecord, route: int) -> None:
        """Let a ready job take another route, in the lane in which it stands (T19)."""
        ...

    def set_aside(self, record: JobRecord, limit: str, key: str, wake_at_ms: int) -> None:
        """Take a ready job out of its lane until an instant, or until `freed`. LIMIT-16

        The jobs of one line that one limit and key keep aside stand behind one gate, in their order. It opens at the
        earliest instant that was named since it last opened, or when the limit is freed, and lets the first of them
        into its lane; when a job with that limit and key leaves its lane in any other way than this one, the next
        follows. So thousands of jobs with one key never stand, all refused, in the way of those behind them.
        """
        ...
