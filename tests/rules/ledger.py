"""A store of dictionaries for the rules of admission: what `Books` and `Yard` ask for, and nothing that a store adds.

`Ledger` also moves jobs as a store does: it lets them be ready, claims, settles and revokes, and wakes what stood
aside. Time is a number that a test sets.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from msgspec import structs

from aiq.bounds import PLACE_KEPT_MS
from aiq.errors import LeaseLost
from aiq.model import (
    Acquired,
    Admitted,
    Amounts,
    Band,
    BudgetSpec,
    BudgetState,
    CallRequest,
    CallState,
    Estimate,
    HeldFor,
    JobError,
    JobRecord,
    Lane,
    LimitSpec,
    LimitState,
    Outcome,
    PriceRow,
    Report,
    Reported,
    Reservation,
    State,
    Succeeded,
    Usage,
)
from aiq.rules import booking, closing, fairness
from aiq.rules import limits as formulas
from aiq.rules.alike import Alike, Lines
from aiq.rules.books import Books, Front, Learned, Line, Pool, UsageOf, WaitingCall, Yard
from aiq.rules.dispatch import dispatch
from aiq.rules.offers import front_of

QUEUE = "default"
DONE = Succeeded(b"")
LineKey = tuple[str, Band, str]


class Entry(NamedTuple):
    """What was counted of one model and category."""

    owner: UsageOf
    model: str
    category: str
    tokens: int
    usd_micros: int
    unpriced: int
    estimated: int


@dataclass
class Ledger:
    """All that is stored, of one queue."""

    now_ms: int = 1_000_000
    limits: dict[str, LimitSpec] = field(default_factory=dict)
    states: dict[tuple[str, str], LimitState] = field(default_factory=dict)
    budgets: dict[str, BudgetSpec] = field(default_factory=dict)
    balances: dict[tuple[str, int], BudgetState] = field(default_factory=dict)
    price_rows: list[PriceRow] = field(default_factory=list)
    known: dict[tuple[str, str], Learned] = field(default_factory=dict)
    reservations: dict[tuple[str, int, int], Reservation] = field(default_factory=dict)
    calls: dict[tuple[str, int, int], WaitingCall] = field(default_factory=dict)
    places: int = 0
    entries: list[Entry] = field(default_factory=list)
    jobs: dict[str, JobRecord] = field(default_factory=dict)
    lanes: dict[LineKey, dict[str, JobRecord]] = field(default_factory=dict)
    """Jobs that stand in line; a line without any is not there."""
    pool_rows: dict[str, Pool] = field(default_factory=dict)
    lines: dict[LineKey, Line] = field(default_factory=dict)
    aside: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    credits: tuple[int, int, int, int] = (0, 0, 0, 0)
    weights: dict[str, int] = field(default_factory=dict)
    given: list[JobRecord] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    """What was said of freed limits and of budgets with room."""
    more: bool = False
    looked: int = 0
    """How many heads were looked at."""
    positions: int = 0

    # What a test does.

    def put(self, *specs: LimitSpec | BudgetSpec) -> None:
        for spec in specs:
            if isinstance(spec, LimitSpec):
                self.limits[spec.name] = spec
            else:
                self.budgets[spec.id] = spec

    def add(self, id: str, **fields: object) -> JobRecord:
        """Store a job that is ready."""
        record = JobRecord(id=id, task="t", state=State.READY, **fields)  # type: ignore[arg-type]
        return self.ready(record)

    def ready(self, record: JobRecord, lane: Lane = Lane.FRESH) -> JobRecord:
        """Let a job join its line, which is lifted if it had none."""
        self.positions += 1
        record = replace(record, state=State.READY, lane=lane, position=self.positions)
        self.join(record)
        return record

    def join(self, record: JobRecord) -> None:
        key = self.line_key(record)
        if not self.lane(key):
            own = self.lines.get(key) or new_line(key)
            others = [self.lines[other].service for other in self.busy(key[0], key[1])]
            served = self.pool(key[0]).served[key[1]]
            self.lines[key] = structs.replace(
                own, service=fairness.lifted(own.service, min(others, default=None), served)
            )
        self.jobs[record.id] = record
        self.lanes.setdefault(key, {})[record.id] = record

    def claim(self, count: int = 1, takes: Callable[[JobRecord], bool] = lambda record: True) -> list[JobRecord]:
        """Wake what is due, and claim."""
        self.wake()
        self.given = []
        self.more = dispatch(self, self, count, takes)
        return [self.jobs[record.id] for record in self.given]

    def start(self, id: str = "job", **fields: object) -> JobRecord:
        """Store a job and claim it."""
        self.add(id, **fields)
        (record,) = self.claim()
        return record

    def call(
        self, record: JobRecord, number: int, *limits: str, inside: tuple[int, ...] = (), **estimate: int | str
    ) -> Acquired:
        asked = Estimate(**estimate)  # type: ignore[arg-type]
        request = CallRequest(lease=record.lease, number=number, limits=limits, estimate=asked, inside=inside)
        answer = booking.acquire(self, self.jobs[record.id], request)
        if isinstance(answer, Admitted):
            self.jobs[record.id] = replace(self.jobs[record.id], opened_calls=True)
        return answer

    def report(self, record: JobRecord, call: int, state: CallState, **fields: object) -> Reported | LeaseLost:
        stored = self.jobs[record.id]
        current = stored.state is State.RUNNING and stored.fence == record.fence
        told = Report(lease=record.lease, call=call, state=state, **fields)  # type: ignore[arg-type]
        return closing.report(self, stored, told, current=current)

    def report_used(self, record: JobRecord, tokens: int) -> None:
        """End a run whose handler says what it has used."""
        self.report(record, 0, CallState.OPEN, used=(Usage("", tokens),))
        self.settle(record)

    def forget(self, record: JobRecord) -> None:
        """Leave out a job that has ended."""
        del self.jobs[record.id]
        self.reservations = {key: one for key, one in self.reservations.items() if key[0] != record.id}

    def settle(self, record: JobRecord, outcome: Outcome = DONE) -> JobRecord:
        """End a run; the job is over."""
        closing.close_run(self, self.jobs[record.id], outcome)
        ended = replace(self.jobs[record.id], state=State.SUCCEEDED, lease_id=None)
        self.jobs[record.id] = ended
        return ended

    def revoke(self, record: JobRecord) -> JobRecord:
        """Take a run's lease; the job is ready again."""
        closing.revoke_run(self, self.jobs[record.id])
        return self.ready(replace(self.jobs[record.id], lease_id=None), Lane.RETURNED)

    def again(self, record: JobRecord, outcome: Outcome, **fields: object) -> JobRecord:
        """End a run that leaves its job ready."""
        closing.close_run(self, self.jobs[record.id], outcome)
        left = replace(self.jobs[record.id], lease_id=None, **fields)  # type: ignore[arg-type]
        return self.ready(left, Lane.RETURNED)

    def usage(self) -> dict[str, int]:
        """Tokens by category."""
        found: defaultdict[str, int] = defaultdict(int)
        for entry in self.entries:
            found[entry.category] += entry.tokens
        return {name: count for name, count in found.items() if count}

    def cost_micros(self) -> int:
        return sum(entry.usd_micros for entry in self.entries)

    def left(self, name: str, key: str = "") -> LimitState:
        return self.states[name, key]

    def wake(self) -> None:
        for name, pool in self.pool_rows.items():
            if 0 < pool.wake_at_ms <= self.now_ms:
                self.pool_rows[name] = replace(pool, wake_at_ms=0, parked_by="")
        for key, line in self.lines.items():
            if 0 < line.wake_at_ms <= self.now_ms:
                self.lines[key] = structs.replace(line, wake_at_ms=0, parked_by="")
        self.bring_back(lambda name, key, wake_at_ms: wake_at_ms <= self.now_ms)

    # Books.

    @property
    def alike(self) -> Alike:
        """A new one each time: what rules decide must not depend on what they have worked out before."""
        return Alike()

    def limit(self, name: str) -> LimitSpec | None:
        return self.limits.get(name)

    def limit_names(self) -> Sequence[str]:
        return sorted(self.limits)

    def limit_state(self, name: str, key: str) -> LimitState | None:
        return self.states.get((name, key))

    def put_limit_state(self, name: str, key: str, state: LimitState) -> None:
        self.states[name, key] = state

    def freed(self, name: str, key: str) -> None:
        self.told.append(name)
        for pool in [pool for pool in self.pool_rows.values() if pool.parked_by == name]:
            self.pool_rows[pool.name] = replace(pool, wake_at_ms=0, parked_by="")
        for place, line in self.lines.items():
            if (line.parked_by, line.tenant) == (name, key):
                self.lines[place] = structs.replace(line, wake_at_ms=0, parked_by="")
        self.bring_back(lambda limit, part, wake_at_ms: (limit, part) == (name, key))

    def waiting(self, name: str, key: str) -> Sequence[WaitingCall]:
        found = [call for call in self.calls.values() if (name, key) in call.limits]
        fresh = [call for call in found if self.now_ms - call.asked_at_ms <= PLACE_KEPT_MS]
        return sorted(fresh, key=lambda call: (call.band, call.number))

    def waiting_call(self, job_id: str, fence: int, call: int) -> WaitingCall | None:
        return self.calls.get((job_id, fence, call))

    def next_waiting_number(self) -> int:
        self.places += 1
        return self.places

    def put_waiting(self, call: WaitingCall) -> None:
        self.calls[call.job_id, call.fence, call.call] = call

    def drop_waiting(self, job_id: str, fence: int, call: int | None = None) -> Sequence[WaitingCall]:
        keys = [key for key in self.calls if key[:2] == (job_id, fence) and call in (None, key[2])]
        return [self.calls.pop(key) for key in keys]

    def queue_limited(self, queue: str) -> bool:
        return f"queue:{queue}" in self.limits

    def budget(self, budget_id: str) -> BudgetSpec | None:
        return self.budgets.get(budget_id)

    def budget_state(self, budget_id: str, window_ms: int) -> BudgetState:
        return self.balances.get((budget_id, window_ms)) or BudgetState(window_ms=window_ms)

    def put_budget_state(self, budget_id: str, state: BudgetState) -> None:
        self.balances[budget_id, state.window_ms] = state

    def room_appeared(self, budget_id: str) -> None:
        self.told.append(budget_id)

    def prices(self, model: str) -> Sequence[PriceRow]:
        return [row for row in self.price_rows if row.model == model]

    def learned(self, task: str, model: str) -> Learned:
        return self.known.get((task, model)) or Learned()

    def put_learned(self, task: str, model: str, learned: Learned) -> None:
        self.known[task, model] = learned

    def reservation(self, job_id: str, fence: int, call: int) -> Reservation | None:
        return self.reservations.get((job_id, fence, call))

    def open_reservations(self, job_id: str, fence: int) -> Sequence[Reservation]:
        run = [one for key, one in sorted(self.reservations.items()) if key[:2] == (job_id, fence)]
        return [one for one in run if one.state is CallState.OPEN]

    def put_reservation(self, reservation: Reservation) -> None:
        self.reservations[reservation.job_id, reservation.fence, reservation.call] = reservation

    def add_usage(self, owner: UsageOf, more: Lines) -> None:
        for (model, category), counted in more.items():
            self.entries.append(Entry(owner, model, category, *counted))

    def serve(self, record: JobRecord, cost: int) -> int:
        key = self.line_key(record)
        line = self.lines.get(key) or new_line(key)
        service = fairness.risen(line.service, cost, self.weights.get(record.tenant, 1000))
        self.lines[key] = structs.replace(line, service=service)
        return service

    # Yard.

    @property
    def queue(self) -> str:
        return QUEUE

    def fronts(self) -> Sequence[Front]:
        names = sorted({pool for pool, _, _ in self.lanes})
        found = [self.front(name) for name in names if not self.pool(name).wake_at_ms]
        return [front for front in found if front is not None]

    def front(self, pool: str) -> Front | None:
        # Where a job stands a store knows without its record: that is no look at it.
        looked, found = self.looked, front_of(self, pool)
        self.looked = looked
        return found

    def put_pool(self, pool: Pool) -> None:
        self.pool_rows[pool.name] = pool

    def bands(self, pool: str) -> Sequence[Band]:
        return sorted({band for name, band, _ in self.lanes if name == pool})

    def line(self, pool: str, band: Band, after: tuple[int, str] | None = None) -> Line | None:
        found = [self.lines[key] for key in self.busy(pool, band)]
        places = [(line.service, line.digest, line.tenant) for line in found if not line.wake_at_ms]
        over = min((place for place in places if after is None or place[:2] > after), default=None)
        return None if over is None else self.lines[pool, band, over[2]]

    def put_line(self, line: Line) -> None:
        self.lines[line.pool, line.band, line.tenant] = line

    def head(self, line: Line) -> JobRecord | None:
        self.looked += 1
        jobs = self.lane((line.pool, line.band, line.tenant))
        return min(jobs, key=lambda job: (job.lane, job.position), default=None)

    def queue_credits(self) -> tuple[int, int, int, int]:
        return self.credits

    def put_queue_credits(self, credits: tuple[int, int, int, int]) -> None:
        self.credits = credits

    def give(self, record: JobRecord) -> None:
        given = replace(record, state=State.RUNNING, fence=record.fence + 1, lease_id="lease", owner="worker")
        self.leave(record, given)
        self.given.append(given)

    def hold(self, record: JobRecord, reason: HeldFor, by: str, need: Amounts) -> None:
        self.leave(record, replace(record, state=State.HELD, held=reason, held_by=by))

    def refuse(self, record: JobRecord, error: JobError) -> None:
        self.leave(record, replace(record, state=State.DEAD, cause=error.cause, errors=(error,)))

    def reroute(self, record: JobRecord, route: int) -> None:
        self.leave(record, replace(record, state=State.HELD))
        self.join(replace(record, route=route))

    def set_aside(self, record: JobRecord, limit: str, key: str, wake_at_ms: int) -> None:
        self.leave(record, record)
        self.aside[record.id] = (limit, key, wake_at_ms)

    # What stands where.

    def line_key(self, record: JobRecord) -> LineKey:
        return fairness.pool_of(self.limits, record), record.band, record.tenant

    def lane(self, key: LineKey) -> Collection[JobRecord]:
        return self.lanes.get(key, {}).values()

    def busy(self, pool: str, band: Band) -> list[LineKey]:
        return [key for key in self.lanes if key[:2] == (pool, band)]

    def bring_back(self, opens: Callable[[str, str, int], bool]) -> None:
        for job_id in [job_id for job_id, place in self.aside.items() if opens(*place)]:
            del self.aside[job_id]
            self.join(self.jobs[job_id])

    def pool(self, name: str) -> Pool:
        return self.pool_rows.get(name) or Pool(queue=QUEUE, name=name)

    def leave(self, record: JobRecord, left: JobRecord) -> None:
        key = self.line_key(record)
        del self.lanes[key][record.id]
        if not self.lanes[key]:
            del self.lanes[key]
        self.jobs[record.id] = left
        self.drop_credits(record)

    def drop_credits(self, record: JobRecord) -> None:
        """A band with no job in its lanes any more loses its credits."""
        pool = self.pool(self.line_key(record)[0])
        if record.band not in self.bands(pool.name):
            self.pool_rows[pool.name] = replace(pool, credits=fairness.with_credit(pool.credits, record.band, 0))
        if all(band != record.band for _, band, _ in self.lanes):
            self.credits = fairness.with_credit(self.credits, record.band, 0)


def new_line(key: LineKey) -> Line:
    pool, band, tenant = key
    return Line(pool=pool, band=band, tenant=tenant, digest=fairness.digest(tenant))


def tokens(per_minute: int, name: str = "gpt", **fields: object) -> LimitSpec:
    """A limit of tokens in a minute, with a burst of a minute."""
    return LimitSpec(name=name, tokens=per_minute, burst_ms=60_000, **fields)  # type: ignore[arg-type]


def full(ledger: Ledger, *names: str) -> None:
    """Let limits fill up, as if they had been stored long ago."""
    for name in names:
        spec = ledger.limits[name]
        opened = formulas.opening(spec, ledger.now_ms - spec.burst_ms)
        ledger.states[name, ""] = formulas.refilled(spec, opened, ledger.now_ms)


def _conforms(ledger: Ledger) -> tuple[Books, Yard]:
    return ledger, ledger
