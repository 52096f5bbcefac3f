"""The books of one step: limits, budgets, prices, reservations and use. Spec: chapters 10, 11 and 13

Decisions are in `rules`, which ask the same thing many times in a step; here each row is read once and written once.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, TypeAlias

import msgspec

from aiq.backends.relational.connection import Question
from aiq.backends.relational.lanes import Lanes
from aiq.backends.relational.queues import Queues
from aiq.backends.relational.reserved import Reserved
from aiq.backends.relational.shelf import Shelf, TextShelf, decoder_of
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.backends.relational.used import Used
from aiq.backends.relational.waiting import WaitingLine
from aiq.bounds import MAX_PAGE, RESERVATION_KEPT_MS
from aiq.model import (
    FIRST,
    BudgetSpec,
    BudgetState,
    CallRequest,
    HeldFor,
    JobRecord,
    JobSpec,
    LimitSpec,
    LimitState,
    PriceRow,
    Reservation,
)
from aiq.rules.alike import Alike, Lines
from aiq.rules.books import Books, Learned, UsageOf, WaitingCall
from aiq.rules.budgets import window_start
from aiq.rules.fairness import risen
from aiq.rules.standing import QUEUE, key_of
from aiq.storage import limit_topic, queue_topic

SQL: Final = load("ledger")

USUAL_WEIGHT: Final = 1000
_NOTHING_LEARNED: Final = Learned()

_BUDGET: Final[Any] = tuple[str, BudgetSpec, BudgetState | None]

HoldLine: TypeAlias = tuple[HeldFor, str]
"""What jobs are held for together: BUDGET (approvals too) or another reason, and by what."""


class Ledger:
    """See `aiq.rules.books.Books`."""

    def __init__(self, tx: Transaction, lanes: Lanes, queues: Queues, limits: Shelf[str, LimitSpec]) -> None:
        self._tx, self._lanes, self._queues, self.limits = tx, lanes, queues, limits
        self.now_ms = tx.now_ms
        self.alike = Alike()
        row: Any = tuple[tuple[str, str], LimitState]
        self.limit_states = Shelf[tuple[str, str], LimitState](tx, SQL["limit_states"], SQL["put_limit_states"], row)
        self.budgets = TextShelf[str, BudgetSpec](tx, SQL["budgets"], SQL["put_budgets"], tuple[str, BudgetSpec])
        row = tuple[tuple[str, int], BudgetState]
        self.budget_states = TextShelf[tuple[str, int], BudgetState](
            tx, SQL["budget_states"], SQL["put_budget_states"], row
        )
        row = tuple[str, tuple[PriceRow, ...]]
        self.price_lists = Shelf[str, tuple[PriceRow, ...]](tx, SQL["prices"], SQL["put_prices"], row)
        row = tuple[tuple[str, str], Learned]
        self.learnt = Shelf[tuple[str, str], Learned](tx, SQL["learned"], SQL["put_learned"], row)
        self.weights = Shelf[str, int](tx, SQL["weights"], SQL["put_weights"], tuple[str, int])
        self.calls = WaitingLine(tx)
        self.rooms: dict[HoldLine, bool] = {}
        """Lines of held jobs for which room has appeared, and whether by a grant, which opens approvals too."""
        self.reserved = Reserved(tx)
        self._used = Used(tx)

    def limit(self, name: str) -> LimitSpec | None:
        """A stored limit."""
        return self.limits.get(name)

    def limit_names(self) -> Sequence[str]:
        """The names of those that are stored."""
        return self._limit_names

    @cached_property
    def _limit_names(self) -> Sequence[str]:
        return self._tx.names(SQL["limit_names"], {"after": "", "limit": MAX_PAGE})

    def limit_state(self, name: str, key: str) -> LimitState | None:
        """What is left of a limit or a part of it."""
        return self.limit_states.get((name, key))

    def put_limit_state(self, name: str, key: str, state: LimitState) -> None:
        """Write it."""
        self.limit_states.put((name, key), state)

    def freed(self, name: str, key: str) -> None:
        """Wake what the limit keeps aside, of any queue, and the calls that wait for it."""
        self._lanes.wake_behind(name, key)
        if name.startswith(QUEUE):
            self._tx.tell(queue_topic(name.removeprefix(QUEUE)))
        if self.calls.of(name, key):
            self._tx.tell(limit_topic(name))

    def waiting(self, name: str, key: str) -> Sequence[WaitingCall]:
        """The calls that stand in line for a limit."""
        return self.calls.of(name, key)

    def waiting_call(self, job_id: str, fence: int, call: int) -> WaitingCall | None:
        """One call's place in line."""
        return self.calls.find(job_id, fence, call)

    def next_waiting_number(self) -> int:
        """A new last place."""
        return self.calls.next_number()

    def put_waiting(self, call: WaitingCall) -> None:
        """Let a call stand in line, or keep its place."""
        self.calls.put(call)

    def drop_waiting(self, job_id: str, fence: int, call: int | None = None) -> Sequence[WaitingCall]:
        """Take a call, or all calls of a run, out of line."""
        if not self.calls.any():
            return ()
        place = None if call is None else self.calls.find(job_id, fence, call)
        found = self.calls.of_run(job_id, fence) if call is None else [place] if place is not None else []
        for one in found:
            self.calls.drop(one)
        return found

    def queue_limited(self, queue: str) -> bool:
        """Whether a queue has a concurrency or rate of its own."""
        settings = self._queues.settings(queue)
        return settings.concurrency is not None or settings.rate is not None

    def budget(self, budget_id: str) -> BudgetSpec | None:
        """A stored budget, or one that comes with the jobs of this step."""
        return self.budgets.get(budget_id)

    def budget_state(self, budget_id: str, window_ms: int) -> BudgetState:
        """What was spent and is held in a window."""
        return self.budget_states.get((budget_id, window_ms)) or BudgetState(window_ms=window_ms)

    def put_budget_state(self, budget_id: str, state: BudgetState) -> None:
        """Write it."""
        self.budget_states.put((budget_id, state.window_ms), state)

    def room_appeared(self, budget_id: str) -> None:
        """Look at the jobs held on a budget when the step is nearly done."""
        self.rooms.setdefault((HeldFor.BUDGET, budget_id), False)

    def prices(self, model: str) -> Sequence[PriceRow]:
        """Every price of a model."""
        return self.price_lists.get(model) or ()

    def learned(self, task: str, model: str) -> Learned:
        """What is known of a task and model."""
        return self.learnt.get((task, model)) or _NOTHING_LEARNED

    def put_learned(self, task: str, model: str, learned: Learned) -> None:
        """Write it."""
        self.learnt.put((task, model), learned)

    def reservation(self, job_id: str, fence: int, call: int) -> Reservation | None:
        """A reservation, open or closed, while it is kept."""
        found = self.reserved.get((job_id, fence, call))
        if found is None or found.closed_at_ms is None:
            return found
        return found if self.now_ms < found.closed_at_ms + RESERVATION_KEPT_MS else None

    def open_reservations(self, job_id: str, fence: int) -> Sequence[Reservation]:
        """Those of a run that are open, by call."""
        return self.reserved.open((job_id, fence))

    def put_reservation(self, reservation: Reservation) -> None:
        """Write one."""
        self.reserved.put(reservation)

    def add_usage(self, owner: UsageOf, more: Lines) -> None:
        """Count use for its job, flow, tenant and minute, and with what its task does. Spec: METRIC-3"""
        self._used.add(owner, more)

    def serve(self, record: JobRecord, cost: int) -> int:
        """Let the service of a job's line rise or fall."""
        weight = self.weights.get(record.tenant) or USUAL_WEIGHT
        return self._lanes.serve(record, lambda service: risen(service, cost, weight))

    def concerns(self, job_id: str, fence: int) -> bool:
        """Whether the end of a run has anything to close."""
        return bool(self.reserved.open((job_id, fence))) or self.calls.any()

    def known_budgets(self) -> Mapping[str, BudgetSpec]:
        """The budgets that were read so far, and are stored."""
        return {spec.id: spec for spec in self.budgets.known()}

    def fetch_specs(self, specs: Sequence[JobSpec]) -> None:
        """Read what some new jobs are checked by."""
        self.limits.fetch(_limits_of(specs))
        self.fetch_chains(_budgets_of(specs))

    def questions_of_specs(self, specs: Sequence[JobSpec]) -> list[Question]:
        """What `fetch_specs` will ask, for `foresee`."""
        return [*self.limits.questions(_limits_of(specs)), *self._question_of_chains(_budgets_of(specs))]

    def fetch_ends(self, records: Sequence[JobRecord]) -> None:
        """Read what the ends of some runs will change."""
        self.reserved.fetch_open([(record.id, record.fence) for record in records])
        taken, draws, models, placed = set(), set(), set(), []
        for record in records:
            for one in self.reserved.open((record.id, record.fence)):
                taken.add(one.parts)
                draws.update([(draw.budget, draw.window_ms) for draw in one.draws])
                models.add((record.task, one.need.model))
                if one.cost_limit:
                    placed.append(record)
        parts = {(part.limit, part.key) for some in taken for part in some}
        names = dict.fromkeys([name for name, _ in parts])
        chains, tenants = [budget for budget, _ in draws], [record.tenant for record in placed]
        self._foresee(names, parts, chains, models, tenants=tenants)
        self.limits.fetch(names)
        self.limit_states.fetch(parts)
        # Whose places they are to stand in, only the limits tell.
        self._tx.foresee(self._lanes.questions({self._lanes.key_of(record) for record in placed}, names))
        self.fetch_chains(chains)
        self.budget_states.fetch(draws)
        self.learnt.fetch(models)
        self.fetch_places(placed)

    def fetch_starts(self, records: Sequence[JobRecord]) -> None:
        """Read what the starts of some ready jobs will look at."""
        limits, queues, models, tenants = set(), set(), set(), set()
        for record in records:
            limits.add(record.taken_limits)
            queues.add(record.queue)
            models.add((record.task, record.model))
            tenants.add(record.tenant)
            self.reserved.new_run((record.id, record.fence + 1))
        names = {name for taken in limits for name in taken}
        names |= {QUEUE + queue for queue in queues if self.queue_limited(queue)}
        chains = {budget for record in records for budget in record.budgets}
        chains |= {f"tenant:{tenant}" for tenant in tenants if tenant}
        self._foresee(names, _whole(names), chains, models, {model for _, model in models if model}, tenants)
        self.limits.fetch(names)
        self.limit_states.fetch(self._parts(names, records))
        self.fetch_chains(chains)
        self.learnt.fetch(models)
        self.price_lists.fetch({model for _, model in models if model})
        self.weights.fetch(tenants)

    def fetch_calls(self, records: Sequence[JobRecord], calls: Sequence[CallRequest]) -> None:
        """Read what some calls of running jobs will look at."""
        self.reserved.fetch_open((record.id, record.fence) for record in records)
        self.reserved.fetch(with_first(calls))
        names = {name for one in calls for name in one.limits} | {n for one in records for n in one.taken_limits}
        models = {one.estimate.model for one in calls} | {record.model for record in records}
        learnt = [(record.task, model) for record in records for model in models]
        chains = [budget for record in records for budget in _drawn_from(record)]
        tenants = [record.tenant for record in records]
        self._foresee(names, _whole(names), chains, learnt, {model for model in models if model}, tenants)
        self.limits.fetch(names)
        self.limit_states.fetch(self._parts(names, records))
        self.fetch_chains(chains)
        self.learnt.fetch(learnt)
        self.price_lists.fetch({model for model in models if model})
        self._tx.foresee(self._lanes.questions({self._lanes.key_of(record) for record in records}, names))

    def _foresee(
        self,
        limits: Iterable[str],
        parts: Iterable[tuple[str, str]],
        budgets: Iterable[str],
        learnt: Iterable[tuple[str, str]],
        models: Iterable[str] = (),
        tenants: Iterable[str] = (),
    ) -> None:
        """Say what the fetches that follow will ask. What they find of it may make them ask more."""
        self._tx.foresee(
            [
                *self.limits.questions(limits),
                *self.limit_states.questions(parts),
                *self._question_of_chains(budgets),
                *self.learnt.questions(learnt),
                *self.price_lists.questions(models),
                *self.weights.questions(tenants),
            ]
        )

    def _parts(self, names: Iterable[str], records: Sequence[JobRecord]) -> set[tuple[str, str]]:
        """The parts of some limits that some jobs may take."""
        parts: set[tuple[str, str]] = set()
        for spec in map(self.limit, names):
            if spec is not None and spec.by is None:
                parts.add((spec.name, ""))
            elif spec is not None:
                keys = {key_of(spec, record) for record in records}
                parts.update((spec.name, key) for key in keys if key is not None)
        return parts

    def fetch_places(self, records: Sequence[JobRecord]) -> None:
        """Read the lines of some jobs, and the weights of their tenants."""
        self.weights.fetch(record.tenant for record in records)
        self._lanes.fetch({self._lanes.key_of(record) for record in records})

    def _question_of_chains(self, budget_ids: Iterable[str]) -> list[Question]:
        unknown = self.budgets.unknown(budget_ids)
        return [(SQL["standing_budgets"], {"ids": msgspec.json.encode(unknown).decode()})] if unknown else []

    def fetch_chains(self, budget_ids: Iterable[str]) -> None:
        """Read budgets with all that they draw from, and how they stand: these, their parents, and so on."""
        unknown, windows = self.budgets.unknown(budget_ids), []
        while unknown:
            parents = []
            [question] = self._question_of_chains(unknown)
            for budget_id, spec, state in self._tx.peek(*question, decoder_of(_BUDGET)):
                self.budgets.learn(budget_id, spec)
                if spec.parent is not None:
                    parents.append(spec.parent)
                if spec.window is None:
                    self.budget_states.learn((budget_id, 0), state)
                else:
                    windows.append((budget_id, window_start(spec.window, self.now_ms)))
            for budget_id in self.budgets.unknown(unknown):
                self.budgets.learn(budget_id, None)
            unknown = self.budgets.unknown(parents)
        self.budget_states.fetch(windows)

    def write(self) -> None:
        """Write what was changed. The step is nearly done."""
        for write in (self.limits.write, self.limit_states.write, self.budgets.write, self.budget_states.write):
            write()
        for write in (self.price_lists.write, self.learnt.write, self.weights.write):
            write()
        self.reserved.write()
        self._used.write()


def limits_of(tx: Transaction) -> Shelf[str, LimitSpec]:
    """The limits that are stored, by name."""
    return Shelf(tx, SQL["limits"], SQL["put_limits"], tuple[str, LimitSpec])


def with_first(calls: Sequence[CallRequest]) -> list[tuple[str, int, int]]:
    """Some calls, and with each the first of its run, which it may adopt."""
    return [(one.lease.job_id, one.lease.fence, n) for one in calls for n in (one.number, FIRST)]


def _limits_of(specs: Sequence[JobSpec]) -> list[str]:
    """Those that new jobs name, on any of their routes."""
    routes = (route.limits for spec in specs for route in spec.routes)
    return list(dict.fromkeys(name for names in (*(spec.limits for spec in specs), *routes) for name in names))


def _budgets_of(specs: Sequence[JobSpec]) -> list[str]:
    """Those that new jobs draw from, those that come with them, and the parents of these."""
    found = dict.fromkeys(budget for spec in specs for budget in spec.budgets)
    for one in (budget for spec in specs for budget in spec.creates):
        found |= dict.fromkeys((one.id, one.parent or one.id))
    return list(found)


def _whole(names: Iterable[str]) -> set[tuple[str, str]]:
    """How most limits stand: as one for all."""
    return {(name, "") for name in names}


def _drawn_from(record: JobRecord) -> Sequence[str]:
    """The budgets with which a job's chain begins."""
    return (*record.budgets, f"tenant:{record.tenant}") if record.tenant else record.budgets


def _conforms(books: Ledger) -> Books:
    return books
