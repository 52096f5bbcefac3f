"""What is stored of limits, budgets, prices and use, and of the jobs that are held. Spec: chapters 10, 11 and 13."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Final, Self, TypeAlias

from aiq.backends.memory.idle import Touched
from aiq.backends.memory.index import Index
from aiq.model import (
    Amounts,
    BudgetSpec,
    BudgetState,
    HeldFor,
    LimitSpec,
    LimitState,
    PriceRow,
    QueueSettings,
    Reservation,
)
from aiq.rules.alike import Counted
from aiq.rules.books import Learned, WaitingCall

CallKey: TypeAlias = tuple[str, int, int]
"""Job, fence, number of the call."""
UsageKey: TypeAlias = tuple[int, str, str]
"""Minute, model, category."""
UsageScope: TypeAlias = tuple[str, str]
"""A "job", "flow" or "tenant" and which it is, or "all" and nothing."""

Turn: TypeAlias = tuple[int, int, str, int, int]
"""Band, number; job, fence, call: the order of the calls that wait. Spec: CALL-5."""


@dataclass(slots=True)
class Used:
    """What was used under one UsageKey, or several."""

    tokens: int = 0
    usd_micros: int = 0
    unpriced: int = 0
    estimated: int = 0

    def __iadd__(self, other: "Used | Counted") -> Self:
        """Add what was used more."""
        self.tokens += other.tokens
        self.usd_micros += other.usd_micros
        self.unpriced += other.unpriced
        self.estimated += other.estimated
        return self


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a job is held, and what its budget could not hold. `number` is its place in line."""

    number: int
    job_id: str
    reason: HeldFor
    by: str
    need: Amounts


_WAIT_FOR_ROOM: Final = frozenset({HeldFor.BUDGET, HeldFor.APPROVAL})
HoldLine: TypeAlias = tuple[HeldFor, str]
"""What jobs are held for together: BUDGET (approvals too) or another reason, and by what."""


def line_of(reason: HeldFor, by: str) -> HoldLine:
    """The line in which a held job stands."""
    return (HeldFor.BUDGET if reason in _WAIT_FOR_ROOM else reason, by)


@dataclass(frozen=True, slots=True)
class LettingGo:
    """What was left of a budget when a step had let as many jobs go as one may; `granted` opens approvals too."""

    left: Amounts
    granted: bool


@dataclass(slots=True)
class Holds:
    """The jobs that are held, and for what. Spec: HOLD-4."""

    by_job: dict[str, Hold] = field(default_factory=dict)
    lines: defaultdict[HoldLine, dict[str, Hold]] = field(default_factory=lambda: defaultdict(dict))
    """By job within a line, in the order in which they were held."""
    number: int = 0
    """The last one given."""
    renewals: dict[str, int] = field(default_factory=dict)
    """By budget with jobs held on it: the end of the window in which these were last looked at."""
    letting_go: dict[HoldLine, LettingGo] = field(default_factory=dict)
    """What steps have left to upkeep."""

    def add(self, job_id: str, reason: HeldFor, by: str, need: Amounts) -> HoldLine:
        """Put a job at the end of a line, and say of which."""
        self.number += 1
        line = line_of(reason, by)
        self.by_job[job_id] = self.lines[line][job_id] = Hold(self.number, job_id, reason, by, need)
        return line

    def drop(self, job_id: str) -> None:
        """Take a job out of its line."""
        hold = self.by_job.pop(job_id)
        line = line_of(hold.reason, hold.by)
        del self.lines[line][job_id]
        if not self.lines[line]:
            del self.lines[line]
            if line[0] is HeldFor.BUDGET:
                self.renewals.pop(hold.by, None)


@dataclass(slots=True)
class Accounts:
    """Limits and budgets as they were set, and what is left of them."""

    limits: dict[str, LimitSpec] = field(default_factory=dict)
    queue_limits: dict[str, LimitSpec] = field(default_factory=dict)
    """Those of the queues' own settings, by the name of the limit. One that bounds nothing any more is kept: what
    its jobs have taken of it is still given back."""
    states: dict[tuple[str, str], LimitState] = field(default_factory=dict)
    """By limit and key."""
    parts: Touched[tuple[str, str]] = field(default_factory=Touched[tuple[str, str]])
    """Those of a tenant or key, by when they last changed."""
    waiting: dict[CallKey, WaitingCall] = field(default_factory=dict)
    waiting_for: defaultdict[tuple[str, str], Index[Turn]] = field(default_factory=lambda: defaultdict(Index[Turn]))
    """The same by limit and key."""
    waiting_number: int = 0
    """The last place given in line."""
    budgets: dict[str, BudgetSpec] = field(default_factory=dict)
    balances: dict[tuple[str, int], BudgetState] = field(default_factory=dict)
    """By budget and window."""
    windows: Touched[tuple[str, int]] = field(default_factory=Touched[tuple[str, int]])
    """Those of budgets that begin anew, by when they last changed."""
    grants: defaultdict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    """By budget and id of the grant: the window in which it counts."""
    prices: defaultdict[str, dict[tuple[str, int], PriceRow]] = field(default_factory=lambda: defaultdict(dict))
    """By model, then by category and instant."""
    learned: dict[tuple[str, str], Learned] = field(default_factory=dict)
    """By task and model."""
    reservations: dict[CallKey, Reservation] = field(default_factory=dict)
    open: defaultdict[tuple[str, int], set[int]] = field(default_factory=lambda: defaultdict(set))
    """The calls of those that are open, by run: job and fence."""
    closed: Touched[CallKey] = field(default_factory=Touched[CallKey])
    """Those that are closed, by when they were; they are kept for a while."""
    usage: defaultdict[UsageScope, dict[UsageKey, Used]] = field(default_factory=lambda: defaultdict(dict))
    holds: Holds = field(default_factory=Holds)
    queues: dict[str, QueueSettings] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)
    """By tenant, per mille. Spec: FAIR-5"""
    unstarted: Counter[str] = field(default_factory=Counter)
    """By queue: the jobs, children apart, that stand ready or scheduled and have not run. Spec: QUEUE-1"""
