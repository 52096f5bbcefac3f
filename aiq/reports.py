"""How limits, budgets, queues and use stand, as an operator reads it: in seconds, dollars and datetimes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Self, TypeVar, assert_never

from aiq.model import (
    TOKENS,
    USD_MICROS,
    Amounts,
    BudgetStatus,
    LimitStatus,
    QueueStatus,
    UsageRow,
    WorkerState,
    WorkerStatus,
)
from aiq.policy import Budget, Limit, Price, categories, dollars, instant_of
from aiq.schedule import Schedule, ScheduleReport

K = TypeVar("K", str, datetime)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitReport:
    """A limit as it stands. What is left is None where it is not bounded; below zero is debt, which the rate pays back
    in `debt` seconds.

    `key` is the tenant or key whose share it is, "" for a limit without `by`. `used` is False for one that nothing was
    taken from yet. `tokens_held` is what open calls are expected to use yet. `pace` is the part of the rate in force,
    1.0 unless 429s lowered it; nothing is admitted for `frozen` seconds. `running` counts the units of concurrency that
    are taken, `waiting` the calls of running jobs in line.
    """

    limit: Limit
    key: str = ""
    used: bool = False
    requests_left: int | None = None
    tokens_left: int | None = None
    tokens_held: int = 0
    pace: float = 1.0
    frozen: float = 0.0
    running: int = 0
    waiting: int = 0
    debt: float = 0.0

    @classmethod
    def of(cls, status: LimitStatus) -> Self:
        """What a storage says of a limit."""
        return cls(
            limit=Limit.of(status.spec),
            key=status.key,
            used=status.used,
            requests_left=status.requests_left,
            tokens_left=status.tokens_left,
            tokens_held=status.tokens_held,
            pace=status.pace / 1000,
            frozen=status.frozen_ms / 1000,
            running=status.running,
            waiting=status.waiting,
            debt=status.debt_ms / 1000,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """A worker as it last told of itself, `silent` seconds ago.

    It is "alive"; "blocked", while a handler keeps its loop from turning; or "gone", after 30 s of silence. `name` is
    the owner of the jobs that it runs. `slots` says of each queue how many places are taken, and of how many; `lent`
    counts those that runs have lent while they wait. `lag` is how many seconds its loop took to answer.
    """

    name: str
    state: WorkerState
    host: str
    pid: int
    version: str
    python: str
    slots: Mapping[str, tuple[int, int]]
    lent: int
    lag: float
    started_at: datetime
    silent: float

    @classmethod
    def of(cls, status: WorkerStatus) -> Self:
        """What a storage says of a worker."""
        beat = status.beat
        return cls(
            name=beat.worker,
            state=status.state,
            host=beat.host,
            pid=beat.pid,
            version=beat.version,
            python=beat.python,
            slots=MappingProxyType({slot.queue: (slot.used, slot.total) for slot in beat.slots}),
            lent=beat.lent,
            lag=beat.lag_ms / 1000,
            started_at=instant_of(status.started_at_ms),
            silent=status.silent_ms / 1000,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A limit, budget, price or schedule that code names otherwise than it is stored; `stored` is None if it is not."""

    code: Limit | Budget | Price | Schedule[object]
    stored: Limit | Budget | Price | ScheduleReport | None
    parts: tuple[str, ...] = ()
    """What differs of a schedule, in words; of the others it is told by their parts."""

    @property
    def name(self) -> str:
        """What differs, as people call it."""
        match self.code:
            case Limit(name=name):
                return f'Limit "{name}"'
            case Budget(id=name):
                return f'Budget "{name}"'
            case Price(model=model, category=category):
                return f'Price of "{model}" {category}'
            case Schedule():
                return f'Schedule "{self.code.name}"'
            case _:
                assert_never(self.code)

    def __str__(self) -> str:
        name = self.name
        if self.stored is None:
            return f"{name} is not stored yet."
        return f"{name}: {', '.join(self.parts or self._parts())}."

    def _parts(self) -> list[str]:
        parts = [part.name for part in fields(self.code)]
        pairs = ((part, getattr(self.code, part), getattr(self.stored, part)) for part in parts)
        return [f"{part} is {code!r} in code and {stored!r} here" for part, code, stored in pairs if code != stored]


@dataclass(frozen=True, slots=True, kw_only=True)
class Funds:
    """Money and tokens, all of them and by category. None is not bounded."""

    usd: Decimal | None = None
    tokens: int | None = None
    per_category: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, amounts: Amounts) -> Self:
        """What a storage counts, what it does not being None."""
        micros = amounts.get(USD_MICROS)
        usd = None if micros is None else dollars(micros)
        return cls(usd=usd, tokens=amounts.get(TOKENS), per_category=categories(amounts))


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetReport:
    """A budget as it stands in its present window, which began at `since` (None for one without).

    `spent` was used and settled, `held` is set aside for open calls, `granted` was added to its caps. `left` is what of
    its caps can still be granted to calls; below zero, calls used more than they had set aside. `waiting` jobs are held
    on it.
    """

    id: str
    budget: Budget
    spent: Funds
    held: Funds
    granted: Funds
    left: Funds
    waiting: int
    since: datetime | None

    @classmethod
    def of(cls, status: BudgetStatus) -> Self:
        """What a storage says of a budget."""
        spec, state = status.spec, status.state
        nothing: Amounts = {TOKENS: 0, USD_MICROS: 0}
        left = {
            name: cap + state.granted.get(name, 0) - state.spent.get(name, 0) - state.held.get(name, 0)
            for name, cap in spec.caps.items()
        }
        return cls(
            id=spec.id,
            budget=Budget.of(spec),
            spent=Funds.of({**nothing, **state.spent}),
            held=Funds.of({**nothing, **state.held}),
            granted=Funds.of({**nothing, **state.granted}),
            left=Funds.of(left),
            waiting=status.waiting,
            since=instant_of(state.window_ms) if spec.window else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueReport:
    """What bounds a queue (None is no bound), and how it stands. `rate` is in jobs started a second. `ready` counts the
    jobs that have not started, where `max_ready` bounds them; else it is None. `lifo` gives the newest first."""

    name: str
    max_ready: int | None
    concurrency: int | None
    rate: float | None
    paused: bool
    ready: int | None
    lifo: bool = False

    @classmethod
    def of(cls, status: QueueStatus) -> Self:
        """What a storage says of a queue."""
        bounds = status.settings
        return cls(
            name=status.name,
            max_ready=bounds.max_ready,
            concurrency=bounds.concurrency,
            rate=None if bounds.rate is None else bounds.rate * 1000 / bounds.rate_per_ms,
            paused=status.paused,
            ready=status.ready,
            lifo=bounds.lifo,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What was used. `unpriced` is the part of `tokens` without a price of its own, `estimated` the part that nobody
    reported, so that an estimate stands for it."""

    tokens: int
    usd: Decimal
    unpriced: int
    estimated: int

    @classmethod
    def sum(cls, parts: Iterable["Use"]) -> "Use":
        """All of them together."""
        found = list(parts)
        return Use(
            tokens=sum(part.tokens for part in found),
            usd=sum((part.usd for part in found), Decimal(0)),
            unpriced=sum(part.unpriced for part in found),
            estimated=sum(part.estimated for part in found),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UseRow(Use):
    """What was used in one minute of one model and category."""

    minute: datetime
    model: str
    category: str

    @classmethod
    def of(cls, row: UsageRow) -> Self:
        """What a storage says of one minute, model and category."""
        return cls(
            tokens=row.tokens,
            usd=dollars(row.usd_micros),
            unpriced=row.unpriced,
            estimated=row.estimated,
            minute=instant_of(row.minute_ms),
            model=row.model,
            category=row.category,
        )


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What was used, in the order of minute, model and category, with sums.

    report = await queue.admin.usage(tenant="acme", since=yesterday)
    report.total.usd                                     # Decimal, in dollars
    report.by_model["gpt"].tokens
    """

    rows: tuple[UseRow, ...]

    @property
    def total(self) -> Use:
        """All of it."""
        return Use.sum(self.rows)

    @property
    def by_model(self) -> Mapping[str, Use]:
        """What each model has used."""
        return self._by(lambda row: row.model)

    @property
    def by_category(self) -> Mapping[str, Use]:
        """What was used of each category."""
        return self._by(lambda row: row.category)

    @property
    def by_minute(self) -> Mapping[datetime, Use]:
        """What was used in each minute in which anything was."""
        return self._by(lambda row: row.minute)

    def _by(self, key: Callable[[UseRow], K]) -> Mapping[K, Use]:
        groups: dict[K, list[UseRow]] = {}
        for row in self.rows:
            groups.setdefault(key(row), []).append(row)
        return {name: Use.sum(rows) for name, rows in groups.items()}
