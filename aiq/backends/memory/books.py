"""The accounts as `rules` read and write them, within one step. Spec: chapters 10, 11 and 13."""

from collections.abc import Sequence
from typing import Final

from msgspec import structs

from aiq.backends.memory.accounts import CallKey, Turn, Used
from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_BATCH, MAX_PAGE, PLACE_KEPT_MS, RESERVATION_KEPT_MS
from aiq.model import (
    BudgetSpec,
    BudgetState,
    CallState,
    HeldFor,
    JobRecord,
    LimitSpec,
    LimitState,
    PriceRow,
    Reservation,
    State,
)
from aiq.rules.alike import Alike, Lines
from aiq.rules.books import Books, Learned, UsageOf, WaitingCall
from aiq.rules.fairness import risen
from aiq.rules.metrics import count_use
from aiq.rules.standing import QUEUE
from aiq.storage import limit_topic, queue_topic

USUAL_WEIGHT: Final = 1000


class MemoryBooks:
    """The books of one step. See `aiq.rules.books.Books`.

    `created` are budgets that come with the jobs of an enqueue, which is still to be checked.
    """

    def __init__(self, tx: Transaction, created: dict[str, BudgetSpec] | None = None) -> None:
        self._tx = tx
        self._accounts = tx.tables.accounts
        self._created = created or {}
        self.alike = Alike()

    @property
    def now_ms(self) -> int:
        """The one instant of the step."""
        return self._tx.now_ms

    def limit(self, name: str) -> LimitSpec | None:
        """A stored limit, or one of a queue's own settings."""
        return self._accounts.limits.get(name) or self._accounts.queue_limits.get(name)

    def limit_names(self) -> Sequence[str]:
        """The names of those that are stored."""
        return sorted(self._accounts.limits)[:MAX_PAGE]

    def limit_state(self, name: str, key: str) -> LimitState | None:
        """What is left of a limit or a part of it."""
        return self._accounts.states.get((name, key))

    def put_limit_state(self, name: str, key: str, state: LimitState) -> None:
        """Write it."""
        self._accounts.states[name, key] = state
        if key:
            self._accounts.parts.touch((name, key), self.now_ms)

    def freed(self, name: str, key: str) -> None:
        """Wake what the limit keeps aside, of any queue, and the calls that wait for it."""
        for queue, lanes in self._tx.tables.lanes.items():
            if lanes.wake_behind(name, key):
                self._tx.topics.add(queue_topic(queue))
        if name.startswith(QUEUE):
            self._tx.topics.add(queue_topic(name.removeprefix(QUEUE)))
        if self._accounts.waiting_for.get((name, key)):
            self._tx.topics.add(limit_topic(name))

    def waiting(self, name: str, key: str) -> Sequence[WaitingCall]:
        """The calls that stand in line for a limit."""
        turns = self._accounts.waiting_for.get((name, key))
        calls = [self._accounts.waiting[turn[2:]] for turn in turns.first(len(turns))] if turns else []
        return [call for call in calls if self._goes_on(call)][:MAX_BATCH]

    def waiting_call(self, job_id: str, fence: int, call: int) -> WaitingCall | None:
        """One call's place in line."""
        return self._accounts.waiting.get((job_id, fence, call))

    def next_waiting_number(self) -> int:
        """A new last place."""
        self._accounts.waiting_number += 1
        return self._accounts.waiting_number

    def put_waiting(self, call: WaitingCall) -> None:
        """Let a call stand in line, or keep its place."""
        self._leave_line((call.job_id, call.fence, call.call))
        self._accounts.waiting[call.job_id, call.fence, call.call] = call
        for limit in call.limits:
            self._accounts.waiting_for[limit].add(_turn(call))

    def drop_waiting(self, job_id: str, fence: int, call: int | None = None) -> Sequence[WaitingCall]:
        """Take a call, or all calls of a run, out of line."""
        run = (job_id, fence)
        numbers = [key[2] for key in self._accounts.waiting if key[:2] == run] if call is None else [call]
        found = [self._leave_line((*run, number)) for number in numbers]
        return [call for call in found if call is not None]

    def queue_limited(self, queue: str) -> bool:
        """Whether a queue has a concurrency or rate of its own."""
        settings = self._accounts.queues.get(queue)
        return settings is not None and (settings.concurrency is not None or settings.rate is not None)

    def budget(self, budget_id: str) -> BudgetSpec | None:
        """A stored budget, or one that is about to be."""
        return self._accounts.budgets.get(budget_id) or self._created.get(budget_id)

    def budget_state(self, budget_id: str, window_ms: int) -> BudgetState:
        """What was spent and is held in a window."""
        return self._accounts.balances.get((budget_id, window_ms)) or BudgetState(window_ms=window_ms)

    def put_budget_state(self, budget_id: str, state: BudgetState) -> None:
        """Write it."""
        self._accounts.balances[budget_id, state.window_ms] = state
        if state.window_ms:
            self._accounts.windows.touch((budget_id, state.window_ms), self.now_ms)

    def room_appeared(self, budget_id: str) -> None:
        """Look at the jobs held on a budget when the step is nearly done."""
        self._tx.rooms.setdefault((HeldFor.BUDGET, budget_id), False)

    def prices(self, model: str) -> Sequence[PriceRow]:
        """Every price of a model, by category and instant."""
        rows = self._accounts.prices.get(model, {})
        return [rows[key] for key in sorted(rows)]

    def learned(self, task: str, model: str) -> Learned:
        """What is known of a task and model."""
        return self._accounts.learned.get((task, model)) or Learned()

    def put_learned(self, task: str, model: str, learned: Learned) -> None:
        """Write it."""
        self._accounts.learned[task, model] = learned

    def reservation(self, job_id: str, fence: int, call: int) -> Reservation | None:
        """A reservation, open or closed, while it is kept."""
        found = self._accounts.reservations.get((job_id, fence, call))
        if found is None or found.closed_at_ms is None:
            return found
        return found if self.now_ms < found.closed_at_ms + RESERVATION_KEPT_MS else None

    def open_reservations(self, job_id: str, fence: int) -> Sequence[Reservation]:
        """Those of a run that are open, by call."""
        calls = sorted(self._accounts.open.get((job_id, fence), ()))
        return [self._accounts.reservations[job_id, fence, call] for call in calls]

    def put_reservation(self, reservation: Reservation) -> None:
        """Write one."""
        run = (reservation.job_id, reservation.fence)
        key = (*run, reservation.call)
        self._accounts.reservations[key] = reservation
        if reservation.state is CallState.OPEN:
            self._accounts.open[run].add(reservation.call)
            self._accounts.closed.drop(key)
            return
        if reservation.closed_at_ms is not None:
            self._accounts.closed.touch(key, reservation.closed_at_ms)
        self._accounts.open[run].discard(reservation.call)
        if not self._accounts.open[run]:
            del self._accounts.open[run]

    def add_usage(self, owner: UsageOf, more: Lines) -> None:
        """Count use for its job, flow, tenant and minute."""
        for (model, category), counted in more.items():
            key = (owner.minute_ms, model, category)
            for scope in (("job", owner.job_id), ("flow", owner.flow), ("tenant", owner.tenant), ("all", "")):
                if scope[1] is not None:
                    used = self._accounts.usage[scope[0], scope[1]].setdefault(key, Used())
                    used += counted
            if owner.task:
                minute = self._tx.tables.minutes[owner.minute_ms, owner.queue, owner.task]
                count_use(minute, counted.tokens, counted.usd_micros)

    def serve(self, record: JobRecord, cost: int) -> int:
        """Let the service of a job's line rise or fall."""
        lanes = self._tx.tables.lanes[record.queue]
        line = lanes.line(self._tx.tables.line(record))
        weight = self._accounts.weights.get(record.tenant, USUAL_WEIGHT)
        service = risen(line.service, cost, weight)
        lanes.put_line(structs.replace(line, service=service))
        return service

    def _goes_on(self, call: WaitingCall) -> bool:
        """Whether a call still waits: its run has not ended, and asked lately. Spec: CALL-6"""
        record = self._tx.tables.jobs[call.job_id]
        runs = record.state is State.RUNNING and record.fence == call.fence
        return runs and self.now_ms <= call.asked_at_ms + PLACE_KEPT_MS

    def _leave_line(self, key: CallKey) -> WaitingCall | None:
        found = self._accounts.waiting.pop(key, None)
        if found is not None:
            for limit in found.limits:
                turns = self._accounts.waiting_for[limit]
                turns.remove(_turn(found))
                if not turns:
                    del self._accounts.waiting_for[limit]
        return found


def _turn(call: WaitingCall) -> Turn:
    return (int(call.band), call.number, call.job_id, call.fence, call.call)


def _conforms(books: MemoryBooks) -> Books:
    return books
