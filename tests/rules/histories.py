"""Random histories of one limit and one budget, with the invariants that no history may break.

A `Ledger` does with the formulas what a store does: it keeps states, reservations and what was lost, and asserts after
each step. The numbers of its history are per mille of the capacity, so that every limit meets small and oversize calls.
"""

from dataclasses import dataclass, field, replace
from typing import TypeAlias

from hypothesis import strategies as st
from msgspec import structs

from aiq.bounds import MAX_LEVEL
from aiq.model import (
    TOKENS,
    USD_MICROS,
    Amounts,
    BudgetSpec,
    BudgetState,
    Charge,
    Draw,
    LimitSpec,
    LimitState,
    Need,
    Part,
    Remaining,
    Usage,
    none,
)
from aiq.rules import buckets, budgets, charging, limits

START_MS = 1_700_000_000_000
PRICES = {"input": 2_500_000, "output": 10_000_000}
Event: TypeAlias = tuple[str, int, int, int]


@dataclass(frozen=True)
class Open:
    """One reservation: what was taken, what it may spend, and what it said so far."""

    need: Need
    part: Part
    draw: Draw
    granted: Amounts
    used: Usage = field(default_factory=Usage)


@dataclass(frozen=True)
class Taken:
    """One admission, for the bound over windows: when, how much, what had come back until then, what was too large."""

    at_ms: int
    charge: int
    returned: int
    excess: int


@dataclass
class Ledger:
    spec: LimitSpec
    budget: BudgetSpec
    now_ms: int = START_MS
    told_ms: int = 0
    returned: int = 0
    state: LimitState = field(init=False)
    money: BudgetState = field(default_factory=BudgetState)
    open: dict[int, Open] = field(default_factory=dict)
    lost: dict[int, Open] = field(default_factory=dict)
    closed: list[tuple[Amounts, Usage]] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.high_ms = self.now_ms
        self.state = limits.opening(self.spec, self.now_ms)

    def play(self, history: list[Event]) -> None:
        for verb, who, first, second in history:
            getattr(self, verb)(who, first, second)
            self.check()
        self.end()

    # What happens

    def pass_time(self, who: int, first: int, second: int) -> None:
        self.now_ms += first

    def wait_as_told(self, who: int, first: int, second: int) -> None:
        self.now_ms += self.told_ms

    def jump(self, who: int, first: int, second: int) -> None:
        self.now_ms = max(0, self.now_ms + (first - 700) * 100_000)

    def admit(self, who: int, first: int, second: int) -> None:
        if self._known(who):
            return
        need = self._need(first, second)
        part = structs.replace(charging.part(self.spec, "", need), slot=self.spec.concurrency is not None)
        if limits.never_fits(self.spec, part):
            return
        self._look()
        wait_ms = limits.wait_ms(self.spec, self.state, part)
        if wait_ms is None:
            assert self.state.running == self.spec.concurrency, "I2"
        elif wait_ms:
            self._refused(part, wait_ms)
        elif budgets.fits(self.budget, self.money, amounts := budgets.amounts(self.budget, need, PRICES)):
            self._take(who, need, part, amounts)

    def admit_patiently(self, who: int, first: int, second: int) -> None:
        self.told_ms = 0
        self.admit(who, first, second)
        if self.told_ms:
            self.wait_as_told(who, first, second)
            self.admit(who, first, second)

    def report(self, who: int, first: int, second: int) -> None:
        if who not in self.open:
            return
        found = self.open[who]
        used = self._used(found, first, second)
        self.state, part = limits.reported(self.spec, self.state, found.part, charging.counted(self.spec, [used]))
        self.money, draw = budgets.reported(self.money, found.draw, self._amounts(used))
        self.open[who] = replace(found, part=part, draw=draw, used=used)

    def settle(self, who: int, first: int, second: int) -> None:
        if (found := self.open.pop(who, None)) is None:
            return
        used = self._used(found, first, second)
        counted = charging.counted(self.spec, [used])
        if self.spec.refund:
            self.returned += max(0, found.part.charge - counted)
        self.state = limits.settled(self.spec, self.state, found.part, counted)
        self.money = budgets.settled(self.money, found.draw, self._amounts(used))
        self._free(found, used)

    def return_unsent(self, who: int, first: int, second: int) -> None:
        if who not in self.open or self.open[who].used.tokens:
            return
        found = self.open.pop(who)
        self.returned += found.part.charge
        self.state = limits.returned(self.spec, self.state, found.part)
        self.money = budgets.returned(self.money, found.draw)
        self._free(found, Usage())

    def lose(self, who: int, first: int, second: int) -> None:
        if (found := self.open.pop(who, None)) is None:
            return
        self.state = limits.released(limits.expired(self.spec, self.state, found.part))
        self.money = budgets.spent_in_full(self.money, found.draw)
        charged = budgets.total(found.draw.spent, found.draw.held)
        self.lost[who] = replace(found, draw=structs.replace(found.draw, held=none(), spent=charged))

    def settle_late(self, who: int, first: int, second: int) -> None:
        if (found := self.lost.pop(who, None)) is None:
            return
        used = self._used(found, first, second)
        counted, assumed = charging.counted(self.spec, [used]), found.part.charge + found.part.rest
        self.returned += max(0, assumed - counted)
        self.state = limits.corrected(self.spec, self.state, assumed, counted)
        self.money = budgets.settled(self.money, found.draw, self._amounts(used))
        self.closed.append((found.granted, used))

    def throttle(self, who: int, first: int, second: int) -> None:
        self._look()
        retry_after_ms = None if second > 1_000 else second * 20
        self.state = limits.throttled(self.spec, self.state, self._tokens(first), retry_after_ms, self.now_ms)

    def sync(self, who: int, first: int, second: int) -> None:
        self._look()
        said = Remaining(limit=self.spec.name, requests=second, tokens=self._tokens(first))
        self.state = limits.synced(self.spec, self.state, said)

    # What must hold

    def check(self) -> None:
        self._check_numbers()
        self._check_holds()
        self._check_budget()

    def end(self) -> None:
        """I7 over every window, and I8: with nothing in flight nothing is held, and what is spent was settled."""
        self._check_windows()
        for who in list(self.open):
            self.settle(who, 900, 900)
        for who in list(self.lost):
            self.settle_late(who, 900, 900)
        self.check()
        assert (self.state.held, self.state.running, dict(self.money.held)) == (0, 0, {}), "I8"
        spent: Amounts = {}
        for _, used in self.closed:
            spent = budgets.total(spent, self._amounts(used))
        assert spent == self.money.spent, "I8"

    def _check_numbers(self) -> None:
        """I4: whole numbers that every store keeps, and no level above its capacity."""
        numbers = (self.state.requests, self.state.tokens, self.state.held)
        assert all(isinstance(number, int) and abs(number) <= MAX_LEVEL for number in numbers), "I4"
        assert self.state.tokens <= self._scale().capacity, "I4"
        assert 100 <= self.state.pace <= 1000, "I4"

    def _check_holds(self) -> None:
        """I5: what is held is the sum of what the open reservations hold."""
        assert self.state.held == sum(found.part.rest for found in self.open.values()) * self._scale().sub, "I5"
        assert self.state.running == sum(found.part.slot for found in self.open.values()), "I5"
        held: Amounts = {}
        for found in self.open.values():
            held = budgets.total(held, found.draw.held)
        assert held == self.money.held, "I5"

    def _check_budget(self) -> None:
        """I6: spent plus held is over the cap only by what calls used beyond their reservations."""
        calls = [(found.granted, found.used) for found in (*self.open.values(), *self.lost.values())] + self.closed
        for name, left in budgets.room(self.budget, self.money).items():
            beyond = sum(max(0, self._amounts(used).get(name, 0) - granted.get(name, 0)) for granted, used in calls)
            assert -left <= beyond, "I6"

    def _check_windows(self) -> None:
        """I7: what is charged in any window is at most the capacity and the refill, and what came back, and the
        excess of one oversize call; by the highest time that was seen, so that a clock set back refills nothing."""
        scale = self._scale()
        for end, last in enumerate(self.taken):
            charged = 0
            for first in reversed(self.taken[: end + 1]):
                charged += first.charge
                refill = scale.step * 1000 * (last.at_ms - first.at_ms)
                came_back = (last.returned - first.returned) * scale.sub
                assert charged * scale.sub <= scale.capacity + refill + came_back + last.excess, "I7"

    # How

    def _known(self, who: int) -> bool:
        return who in self.open or who in self.lost

    def _take(self, who: int, need: Need, part: Part, amounts: Amounts) -> None:
        before, scale = self.state, self._scale()
        self.state = limits.taken(self.spec, before, part)
        self.money = budgets.drawn(self.money, amounts)
        self.open[who] = Open(need, part, Draw(budget="b", window_ms=0, held=amounts), amounts)
        if self.spec.tokens is not None and before.tokens < scale.capacity:
            assert self.state.tokens >= self.state.held >= 0, "I1"
        excess = max(0, part.charge * scale.sub - scale.capacity)
        self.taken.append(Taken(self.high_ms, part.charge, self.returned, excess))

    def _refused(self, part: Part, wait_ms: int) -> None:
        """I2: who comes back when it was told is admitted, and a ms earlier is not."""
        self.told_ms = max(0, self.state.at_ms - self.now_ms) + wait_ms
        then = limits.refilled(self.spec, self.state, self.state.at_ms + wait_ms)
        assert limits.wait_ms(self.spec, then, part) == 0, "I2"
        just_before = limits.refilled(self.spec, self.state, self.state.at_ms + wait_ms - 1)
        assert limits.wait_ms(self.spec, just_before, part) != 0, "I2, told too long"

    def _free(self, found: Open, used: Usage) -> None:
        if found.part.slot:
            self.state = limits.released(self.state)
        self.closed.append((found.granted, used))

    def _look(self) -> None:
        """Bring the limit up to now. The highest time is that of looks: of others a store knows nothing."""
        self.high_ms = max(self.high_ms, self.now_ms)
        self.state = limits.refilled(self.spec, self.state, self.now_ms)

    def _scale(self) -> buckets.Scale:
        if self.spec.tokens is None:
            return buckets.NOTHING
        return buckets.scale(self.spec.tokens, self.spec.per_ms, self.spec.burst_ms)

    def _tokens(self, mille: int) -> int:
        return max(1, self._scale().whole) * mille // 1000

    def _need(self, first: int, second: int) -> Need:
        output = self._tokens(second)
        return Need(input=self._tokens(first), output=output * 3 // 4, max_output=output)

    def _used(self, found: Open, first: int, second: int) -> Usage:
        """At least what was said before, as a report that says less changes nothing."""
        said = found.used.tokens
        return Usage(
            input=max(said.get("input", 0), found.need.input * first // 1000),
            output=max(said.get("output", 0), found.need.max_output * second // 1000),
        )

    def _amounts(self, used: Usage) -> Amounts:
        return budgets.amounts_used(self.budget, [used], PRICES)


def specs() -> st.SearchStrategy[LimitSpec]:
    return st.builds(
        LimitSpec,
        name=st.just("l"),
        requests=st.sampled_from([None, 7, 600]),
        tokens=st.sampled_from([7, 60, 997, 450_000, 10_000_000]),
        per_ms=st.sampled_from([997, 1_000, 60_000, 86_400_000]),
        burst_ms=st.sampled_from([500, 30_000, 60_000]),
        ramp_ms=st.sampled_from([0, 0, 90_000]),
        concurrency=st.sampled_from([None, 3]),
        charge=st.sampled_from(Charge),
        refund=st.booleans(),
        weights=st.sampled_from([none(), {"output": 5_000}, {"input": 100, "output": 1_333}]),
    )


def ledgers() -> st.SearchStrategy[Ledger]:
    """Ledgers whose budget has room for some calls that fit the limit; the caps are per mille of the capacity."""
    caps = st.sampled_from([{}, {TOKENS: 500}, {TOKENS: 3_000}, {USD_MICROS: 4_000, "tokens.output": 900}])
    return st.builds(_ledger, specs(), caps)


def _ledger(spec: LimitSpec, caps: Amounts) -> Ledger:
    most = max(1, buckets.scale(spec.tokens or 1, spec.per_ms, spec.burst_ms).whole)
    return Ledger(spec, BudgetSpec(id="b", caps={name: most * mille // 1000 for name, mille in caps.items()}))


def histories() -> st.SearchStrategy[list[Event]]:
    verbs = [
        *(
            "admit",
            "admit",
            "admit_patiently",
            "admit_patiently",
            "settle",
            "settle",
            "report",
            "return_unsent",
            "lose",
            "settle_late",
        ),
        *("pass_time", "pass_time", "wait_as_told", "wait_as_told", "jump", "throttle", "sync"),
    ]
    mille = st.one_of(st.integers(0, 100), st.integers(0, 1_500))
    return st.lists(st.tuples(st.sampled_from(verbs), st.integers(0, 5), mille, mille), min_size=15, max_size=60)
