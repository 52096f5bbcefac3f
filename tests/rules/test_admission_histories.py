"""No history of jobs, calls, reports, losses and clocks breaks what must hold of limits, budgets, use and order."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from aiq.model import (
    FIRST,
    Amounts,
    Band,
    BudgetSpec,
    CallState,
    Deferred,
    Estimate,
    JobError,
    JobRecord,
    LimitSpec,
    Part,
    PriceRow,
    Released,
    Reservation,
    Sleeping,
    State,
    Succeeded,
    Throttle,
    Usage,
)
from aiq.rules import accounting, budgets, calls, closing, drawing, limits, planning, standing, usage
from aiq.rules.buckets import scale
from tests.rules.ledger import Ledger

LIMITS = (
    LimitSpec(name="gpt", tokens=6_000, requests=600, burst_ms=60_000),
    LimitSpec(name="gpu", concurrency=3),
    LimitSpec(name="both", tokens=9_000, concurrency=2, charge="reserve"),  # type: ignore[arg-type]
    LimitSpec(name="tenant", tokens=900, by="tenant"),
    LimitSpec(name="key", concurrency=1, by="key"),
    LimitSpec(name="queue:default", concurrency=6, requests=600),
)
BUDGETS = (
    BudgetSpec(id="org", caps={"tokens": 9_000}),
    BudgetSpec(id="tenant:a", parent="org", caps={"usd_micros": 12_000, "tokens.output": 3_000}, window="day"),
    BudgetSpec(id="b", caps={"tokens": 2_500}),
)
PRICES = (
    PriceRow(model="m", category="input", usd_micros_per_million=1_300_000),
    PriceRow(model="m", category="output", usd_micros_per_million=2_900_000),
)
OUTCOMES = (Succeeded(b""), Released(), Deferred(JobError(type="E", message=""), 0), Sleeping("k", 0))
Event = tuple[str, int, int, int]


class History:
    """A ledger, and what the events of a history do to it. Numbers of events choose among what there is."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.ledger.put(*LIMITS, *BUDGETS)
        self.ledger.price_rows = list(PRICES)
        self.made = 0
        self.lost: list[JobRecord] = []
        self.granted: dict[tuple[str, int, int], dict[str, Amounts]] = {}

    def play(self, events: list[Event]) -> None:
        for verb, who, first, second in events:
            getattr(self, verb)(who, first, second)
            self.check()
        self.end()

    # What happens.

    def add(self, who: int, first: int, second: int) -> None:
        self.made += 1
        names = [spec.name for place, spec in enumerate(LIMITS[:-1]) if first >> place & 1]
        estimate = Estimate(input=first, max_output=second, model="m", min_output=(None, min(1, second))[who % 2])
        self.ledger.add(
            f"job{self.made}",
            limits=tuple(names),
            tenant=("", "a", "b")[who % 3],
            key=(None, "k")[first % 2],
            band=Band(second % 4),
            budgets=((), ("b",))[who % 2],
            estimate=(None, estimate)[(first + second) % 4 > 0],
        )

    def claim(self, who: int, first: int, second: int) -> None:
        self.ledger.claim(1 + who)
        self._remember()

    def call(self, who: int, first: int, second: int) -> None:
        run = self._run(who)
        if run is None:
            return
        names = ((), ("gpt",), ("gpt", "gpu"), ("both",), ("gpu",))[first % 5]
        needs = {"input": first, "max_output": second, "model": "m"}
        reserved = self._cost_of_first(run)
        self._twice(lambda: self.ledger.call(run, 1 + second % 4, *names, **needs))
        if reserved and not self._cost_of_first(run):
            # What was granted to call 0 is granted to the call that has adopted it.
            self.granted[run.id, run.fence, FIRST] = {}
        self._remember()

    def say(self, who: int, first: int, second: int) -> None:
        self._report(self._run(who), CallState.OPEN, first, second)

    def finish(self, who: int, first: int, second: int) -> None:
        how = (CallState.SETTLED, CallState.SETTLED, CallState.UNSENT, CallState.THROTTLED)[first % 4]
        self._report(self._run(who), how, first, second)

    def settle(self, who: int, first: int, second: int) -> None:
        run = self._run(who)
        if run is None:
            return
        outcome = OUTCOMES[first % len(OUTCOMES)]
        if isinstance(outcome, Succeeded):
            self.ledger.settle(run, outcome)
        else:
            self.ledger.again(run, outcome, resumes=isinstance(outcome, Sleeping))

    def lose(self, who: int, first: int, second: int) -> None:
        run = self._run(who)
        if run is not None:
            self.lost.append(run)
            self.ledger.revoke(run)

    def report_late(self, who: int, first: int, second: int) -> None:
        if self.lost:
            how = (CallState.SETTLED, CallState.SETTLED, CallState.UNSENT, CallState.OPEN)[first % 4]
            self._report(self.lost[who % len(self.lost)], how, first, second)

    def pass_time(self, who: int, first: int, second: int) -> None:
        self.ledger.now_ms += first * 10

    def jump(self, who: int, first: int, second: int) -> None:
        self.ledger.now_ms = max(0, self.ledger.now_ms + (first - 400) * 200_000)

    def throttle(self, who: int, first: int, second: int) -> None:
        key = ("", "a")[second % 2]
        throttle = Throttle(limit=("gpt", "tenant")[second % 2], key=key, tokens=first, retry_after_ms=second)
        closing.throttle(self.ledger, throttle)

    # What must hold.

    def check(self) -> None:
        self._check_limits()
        self._check_units()
        self._check_budgets()
        self._check_use()

    def end(self) -> None:
        """I8: with nothing in flight nothing is held, and what is spent is what was settled."""
        for run in self._runs():
            self.ledger.settle(run)
        self.check()
        assert all((state.held, state.running) == (0, 0) for state in self.ledger.states.values()), "I8"
        assert all(not state.held for state in self.ledger.balances.values()), "I8"
        assert not self.ledger.calls

    def _check_limits(self) -> None:
        """I4 and I5: levels are at most full, and what is held is the sum of what open reservations hold."""
        held: Counter[tuple[str, str]] = Counter()
        units: Counter[tuple[str, str]] = Counter()
        for found in self._open():
            for part in found.parts:
                held[part.limit, part.key] += part.rest
                units[part.limit, part.key] += part.slot
        for place, state in self.ledger.states.items():
            spec = self.ledger.limits[place[0]]
            found_scale = scale(spec.tokens or 1, spec.per_ms, spec.burst_ms)
            assert state.held == held[place] * (found_scale.sub if spec.tokens else 1), "I5"
            assert state.running == units[place], "I5"
            assert state.tokens <= found_scale.capacity, "I4"
            assert spec.concurrency is None or state.running <= spec.concurrency, "LIMIT-9"

    def _check_units(self) -> None:
        """CALL-4: as many units as calls are open, and for the job's own limits at least one."""
        for run in self._runs():
            found = self.ledger.open_reservations(run.id, run.fence)
            for bound in standing.named(self.ledger, run, self.ledger.limits):
                if bound.spec.concurrency is None:
                    continue
                parts = [(one.call, calls.part_of(one, bound)) for one in found]
                base = sum(part is not None and part.slot for call, part in parts if call == FIRST)
                opened = sum(part is not None for call, part in parts if call != FIRST)
                assert sum(part.slot for _, part in parts if part is not None) == max(base, opened), "CALL-4"
                named = bound.spec.name in (*run.taken_limits, f"{standing.QUEUE}default")
                assert base == named, "CALL-4"

    def _check_budgets(self) -> None:
        """I5 and I6: what is held is the sum of open draws, what is spent that of all of them, and both are over the
        cap only by what calls have used beyond their reservations."""
        held: dict[tuple[str, int], Amounts] = {}
        spent: dict[tuple[str, int], Amounts] = {}
        beyond: Counter[tuple[str, int, str]] = Counter()
        for key, found in self.ledger.reservations.items():
            for draw in found.draws:
                place = (draw.budget, draw.window_ms)
                held[place] = budgets.total(held.get(place, {}), draw.held)
                spent[place] = budgets.total(spent.get(place, {}), draw.spent)
                reserved = self.granted.get(key, {}).get(draw.budget, {})
                for kind, amount in draw.spent.items():
                    beyond[(*place, kind)] += max(0, amount - reserved.get(kind, 0))
        for place, state in self.ledger.balances.items():
            assert state.held == held.get(place, {}), "I5"
            assert state.spent == spent.get(place, {}), "BUDGET-5"
            for kind, left in budgets.room(self.ledger.budgets[place[0]], state).items():
                assert -left <= beyond[(*place, kind)], "I6"

    def _check_use(self) -> None:
        """USAGE-1: what is counted is the sum of what was said of each call, or stands for it."""
        told: Counter[str] = Counter()
        guessed = 0
        for found in self.ledger.reservations.values():
            used, counts = found.used, found.state in (CallState.SETTLED, CallState.EXPIRED)
            if not used and counts:
                used = (Usage("", found.need.input, found.need.output),)
                guessed += found.need.input + found.need.output
            for one in used:
                told.update(one.tokens)
        assert self.ledger.usage() == {category: count for category, count in told.items() if count}
        assert sum(entry.estimated for entry in self.ledger.entries) == guessed

    # How.

    def _report(self, run: JobRecord | None, how: CallState, first: int, second: int) -> None:
        if run is None:
            return
        used = ((), (Usage("m", first, second),))[second % 3 > 0]
        known = self.ledger.reservations.get((run.id, run.fence, first % 5))
        if known is None and first % 5:
            return
        retry_ms = second if how is CallState.THROTTLED else None
        self._twice(lambda: self.ledger.report(run, first % 5, how, used=used, retry_after_ms=retry_ms))

    def _twice(self, step: Callable[[], object]) -> None:
        """I3 and I9: a repeat gives the same answer and changes nothing."""
        answer, before = step(), self._all()
        assert step() == answer, "I9"
        assert self._all() == before, "I3"

    def _all(self) -> object:
        """Everything but for when calls in line last asked, and their times."""
        ledger = self.ledger
        places = {key: (call.number, call.limits) for key, call in ledger.calls.items()}
        states = (dict(ledger.states), dict(ledger.balances), dict(ledger.reservations), dict(ledger.known))
        return states, places, list(ledger.entries), {key: line.service for key, line in ledger.lines.items()}

    def _remember(self) -> None:
        """What calls were granted when they were admitted."""
        for key, found in self.ledger.reservations.items():
            if found.state is CallState.OPEN and key not in self.granted:
                self.granted[key] = {draw.budget: draw.held for draw in found.draws}

    def _cost_of_first(self, run: JobRecord) -> int:
        first = self.ledger.reservations.get((run.id, run.fence, FIRST))
        return first.cost if first else 0

    def _open(self) -> list[Reservation]:
        return [found for found in self.ledger.reservations.values() if found.state is CallState.OPEN]

    def _runs(self) -> list[JobRecord]:
        return [job for job in self.ledger.jobs.values() if job.state is State.RUNNING]

    def _run(self, who: int) -> JobRecord | None:
        runs = self._runs()
        return runs[who % len(runs)] if runs else None


VERBS = (
    *("add", "add", "add", "claim", "claim", "claim", "call", "call", "call", "say", "finish", "finish"),
    *("settle", "settle", "lose", "report_late", "pass_time", "pass_time", "jump", "throttle"),
)


def history(seed: int) -> list[Event]:
    """One of a fixed number of histories: drawn, and the same in every run."""
    dice = Random(seed)
    most = [(40, 1_500)[dice.random() < 0.5] for _ in range(200)]
    numbers = ((dice.randint(0, 5), dice.randint(0, first), dice.randint(0, second)) for first, second in pairs(most))
    return [(dice.choice(VERBS), *three) for three in islice(numbers, dice.randint(20, 70))]


def pairs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    return zip(numbers[::2], numbers[1::2], strict=True)


def play(seeds: range) -> None:
    for seed in seeds:
        History().play(history(seed))


@pytest.mark.parametrize("seed", range(20))
def test_no_history_breaks_what_must_hold(seed: int) -> None:
    play(range(10 * seed, 10 * seed + 10))


FAULTS: list[tuple[object, str, Callable[..., object]]] = [
    (planning, "with_unit", lambda part: part),
    (calls, "_hand_over", lambda books, first, found: None),
    (calls, "_after", lambda taking, first: limits.taken(taking.bound.spec, taking.state, taking.part)),
    (calls, "_wants_unit", lambda books, record, bound: False),
    (calls, "part_of", lambda reservation, bound: None),
    (accounting, "_release_another", lambda books, closed, bound: None),
    (accounting, "_given_back", lambda how, part: Part(limit=part.limit, key=part.key)),
    (closing, "_settle_first", closing._close),
    (drawing, "hold_instead", lambda books, drafts, given: drawing.hold(books, drafts)),
    (usage, "standing", lambda state, used, need: (used, False)),
    (calls, "leave_line", lambda *args: None),
]


@pytest.mark.parametrize(("place", "name", "fault"), FAULTS, ids=[name for _, name, _ in FAULTS])
def test_a_fault_breaks_what_must_hold(
    monkeypatch: pytest.MonkeyPatch, place: object, name: str, fault: Callable[..., object]
) -> None:
    monkeypatch.setattr(place, name, fault)

    with pytest.raises(AssertionError):
        play(range(600))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 900), st.integers(0, 3_000)), min_size=4, max_size=120),
    st.integers(2, 5),
    st.integers(0, 8),
)
def test_lines_that_always_have_jobs_are_served_alike(
    jobs: list[tuple[int, int]], tenants: int, in_flight: int
) -> None:
    """I11: services differ by no more than two of the dearest jobs, and by what the guesses in flight are wrong."""
    ledger = Ledger()
    ledger.put(LimitSpec(name="l", tokens=10**9))
    for number in range(2 * tenants):
        cost, _ = jobs[number % len(jobs)]
        ledger.add(
            f"{number}", tenant=f"{number % tenants}", limits=("l",), estimate=Estimate(input=cost, max_output=0)
        )
    running: list[tuple[JobRecord, int]] = []
    for number, (cost, used) in enumerate(jobs):
        (run,) = ledger.claim()
        ledger.add(f"more{number}", tenant=run.tenant, limits=("l",), estimate=Estimate(input=cost, max_output=0))
        running.append((run, used))
        if len(running) > in_flight:
            ledger.report_used(*running.pop(0))
        services = [line.service for line in ledger.lines.values()]
        dearest = max(max(pair) for pair in jobs)
        assert max(services) - min(services) <= (2 + len(running)) * dearest


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=30), st.integers(400, 4_000), st.integers(0, 400))
def test_what_passes_a_head_never_adds_up_to_more_than_a_quarter_of_its_cost(
    costs: list[int], head: int, left: int
) -> None:
    ledger = Ledger()
    spec = LimitSpec(name="l", tokens=6_000, burst_ms=60_000)
    ledger.put(spec)
    ledger.add("head", tenant="head", limits=("l",), estimate=Estimate(input=head, max_output=0))
    ledger.lines["l|", Band.NORMAL, "head"] = structs.replace(ledger.lines["l|", Band.NORMAL, "head"], service=-1)
    for number, cost in enumerate(costs):
        ledger.add(f"{number}", tenant=f"{number}", limits=("l",), estimate=Estimate(input=cost, max_output=0))
    ledger.states["l", ""] = structs.replace(limits.opening(spec, ledger.now_ms), tokens=left * 10_000 // 2)

    passed, waited_ms = 0, 0
    while ledger.jobs["head"].state is State.READY:
        passed += sum(run.estimate.input for run in ledger.claim(5) if run.id != "head" and run.estimate)  # type: ignore[misc]
        waited_ms += 500
        ledger.now_ms += 500
        if ledger.jobs["head"].state is State.READY:
            assert passed <= head // 4
    assert waited_ms <= (head + head // 4) * 10 + 1_000
