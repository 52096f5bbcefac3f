"""What no history of calls may break, reckoned from outside: by what was asked and answered, never by the formulas.

Workers call, stream, settle, repeat themselves, die and report late. A `Ledger` keeps its own account of every call,
and beside it a bucket that does what the provider does, whose only client the storage is.
"""

from dataclasses import dataclass, field
from random import Random

import pytest

from aiq.errors import LeaseLost
from aiq.model import (
    Admitted,
    BudgetSpec,
    CallRequest,
    CallState,
    Charge,
    Estimate,
    JobRecord,
    LimitSpec,
    MustWait,
    Report,
    Reported,
    Succeeded,
    Usage,
)
from aiq.storage import Storage
from aiq.testing.actions import claim_some, end, enqueue_one, get_one
from aiq.testing.clock import Clock
from aiq.testing.marks import clause

C = CallState
RATE, CAPACITY, OPENING = 1, 20_000, 5_000
"""Tokens a ms, at most, and at first."""
CAP = 100_000
LEASE_MS = 60_000
STEPS = 150


@dataclass
class Call:
    """One call that was admitted: what it took at once, what it holds yet, and how much output it has used."""

    run: JobRecord
    number: int
    input: int
    most: int
    charge: int
    rest: int
    output: int = 0

    @property
    def used(self) -> int:
        return self.input + self.output


@dataclass
class Provider:
    """The bucket of a provider with one client. It answers 429 to what it does not hold."""

    level: int = OPENING
    age_ms: int = 0
    """How much time has passed in truth, whatever the clock of the storage shows."""
    misled: bool = False
    """Whether use that never was has come back to the ledger, after time had made up for it: then it may be refused."""

    def refill(self, ms: int) -> None:
        self.age_ms += ms
        self.move(-ms * RATE)

    def admit(self, charge: int) -> None:
        assert charge <= self.level or self.misled, "I12: the provider answers 429"
        self.level -= charge

    def move(self, tokens: int) -> None:
        self.level = min(CAPACITY, self.level - tokens)


@dataclass
class Ledger:
    """What was asked and answered so far."""

    storage: Storage
    clock: Clock
    charge: Charge
    refund: bool
    rng: Random
    provider: Provider
    runs: list[JobRecord] = field(default_factory=list)
    open: list[Call] = field(default_factory=list)
    lost: list[Call] = field(default_factory=list)
    flow: list[tuple[int, int]] = field(default_factory=list)
    """At which age how much was charged at once, or came back (below zero)."""
    spent: int = 0
    made: int = 0

    async def begin(self) -> None:
        self.made += 1
        nothing = Estimate(input=0, max_output=0)
        await enqueue_one(
            self.storage, f"job {self.made}", budgets=("purse",), lease_ms=LEASE_MS, max_attempts=99, estimate=nothing
        )
        self.runs += await claim_some(self.storage, 1)

    async def call(self) -> None:
        if not self.runs:
            return
        self.made += 1
        run = self.rng.choice(self.runs)
        into, most = self.rng.choice((0, 10, 500, 4_000)), self.rng.choice((0, 100, 900, 5_000))
        asked = CallRequest(
            lease=run.lease,
            number=self.made,
            limits=("gpt",),
            estimate=Estimate(input=into, output=most, max_output=most),
        )
        (answer,) = await self.storage.acquire([asked])
        if isinstance(answer, MustWait):
            answer = await self._wait(asked, answer)
        if not isinstance(answer, Admitted):
            return
        before = await self._look()
        assert await self.storage.acquire([asked]) == [answer], "I9"
        assert await self._look() == before, "I9"
        taken = {
            Charge.STREAM: (into, most),
            Charge.RESERVE: (into + most, 0),
            Charge.MAX: (max(into, most), 0),
            Charge.INPUT: (into, 0),
        }
        made = Call(run, asked.number, into, most, *taken[self.charge])
        self.open.append(made)
        self.provider.admit(made.charge)
        self._flow(made.charge)

    async def _wait(self, asked: CallRequest, told: MustWait) -> object:
        """Come back at the time that was told; a ms before there is no room yet. Or give up, and leave the line."""
        if told.wait_ms is None or self.rng.random() < 0.3:
            return await self.storage.report([Report(lease=asked.lease, call=asked.number, state=C.UNSENT)])
        await self.storage.renew([run.lease for run in self.runs])
        self._pass(told.wait_ms - 1)
        (answer,) = await self.storage.acquire([asked])
        assert answer == MustWait(limit="gpt", wait_ms=1), "I2"
        self._pass(1)
        (answer,) = await self.storage.acquire([asked])
        assert isinstance(answer, Admitted), "I2"
        return answer

    async def stream(self) -> None:
        if self.open:
            call = self.rng.choice(self.open)
            self._produce(call)
            assert await self._report(call, C.OPEN) == Reported()

    def _produce(self, call: Call) -> None:
        more = self.rng.randrange(call.most - call.output + 1)
        call.output += more
        if self.charge is Charge.STREAM:
            call.rest -= more
            self.provider.move(more)

    async def settle(self) -> None:
        if not self.open:
            return
        call = self.open.pop(self.rng.randrange(len(self.open)))
        self._produce(call)
        assert await self._report(call, C.SETTLED) == Reported()
        self.spent += call.used
        self._provider_ends(call)
        if self.charge is Charge.RESERVE and self.refund:
            self._flow(call.used - call.charge)
        before = await self._look()
        for state in (C.SETTLED, C.OPEN, C.UNSENT):
            await self._report(call, state)
        assert await self._look() == before, "I3"

    def _provider_ends(self, call: Call) -> None:
        if self.charge is Charge.RESERVE and self.refund:
            self.provider.move(call.used - call.charge)

    async def finish(self) -> None:
        idle = [run for run in self.runs if all(call.run != run for call in self.open)]
        if idle:
            run = self.rng.choice(idle)
            self.runs.remove(run)
            await end(self.storage, run, Succeeded(b""))

    async def die(self) -> None:
        """A worker dies, and its calls end at the provider. Nobody renews, or somebody cancels by force."""
        if not self.runs:
            return
        run = self.runs.pop(self.rng.randrange(len(self.runs)))
        if self.rng.random() < 0.5:
            await self.storage.cancel([run.id], force=True)
        else:
            await self.storage.renew([other.lease for other in self.runs], lease_ms=10 * LEASE_MS)
            self._pass(((await get_one(self.storage, run.id)).expires_at_ms or 0) - self.clock())
            await self.storage.upkeep()
        for call in [call for call in self.open if call.run == run]:
            self.open.remove(call)
            self.lost.append(call)
            self._provider_ends(call)
        await self.storage.report([Report(lease=run.lease, call=0, state=C.UNSENT)])

    async def report_late(self) -> None:
        """What was assumed of a lost call is set right, once. Mostly all of it was used."""
        if not self.lost:
            return
        call = self.lost.pop(self.rng.randrange(len(self.lost)))
        assumed = call.charge + call.rest + (call.output if self.charge is Charge.STREAM else 0)
        if self.rng.random() < 0.8:
            call.output = call.most
        assert await self._report(call, C.SETTLED) == Reported(late=True)
        self.spent += call.used
        counts = call.input if self.charge is Charge.INPUT else call.used
        if self.refund and counts < assumed:
            self._flow(counts - assumed)
            self.provider.misled = True
        before = await self._look()
        await self._report(call, C.SETTLED, more=1)
        assert await self._look() == before, "I3"

    async def pass_time(self) -> None:
        self._pass(self.rng.choice((0, 1, 50, 400, 1_500, -30)))
        await self.storage.renew([run.lease for run in self.runs])

    def _pass(self, ms: int) -> None:
        self.clock.advance_ms(ms)
        self.provider.refill(max(0, ms))

    async def check(self) -> None:
        (limit,), (budget,) = await self.storage.get_limits(["gpt"]), await self.storage.get_budgets(["purse"])
        assert limit.tokens_held == sum(call.rest for call in self.open), "I5"
        spent, held = (part.get("tokens", 0) for part in (budget.state.spent, budget.state.held))
        assert spent + held <= CAP, "I6"
        assert held >= sum(call.input + call.most for call in self.open) - sum(call.used for call in self.open), "I5"
        assert limit.tokens_left is not None
        believed = limit.tokens_left <= self.provider.level
        assert believed or self.provider.misled, "I12: the ledger believes in more than there is"

    def check_windows(self) -> None:
        """I7: what was charged in any window is at most the capacity, the refill, and what came back meanwhile."""
        for first, (began_ms, _) in enumerate(self.flow):
            total = 0
            for at_ms, tokens in self.flow[first:]:
                total += tokens
                assert tokens <= 0 or total <= CAPACITY + RATE * (at_ms - began_ms), "I7"

    async def end(self) -> None:
        """I8 and I13: with nothing in flight nothing is held, and what is spent is what was used."""
        for call in self.open + self.lost:
            await self._report(call, C.SETTLED)
            self.spent += call.used
        for run in self.runs:
            await end(self.storage, run, Succeeded(b""))
        (limit,), (budget,) = await self.storage.get_limits(["gpt"]), await self.storage.get_budgets(["purse"])
        assert (limit.tokens_held, limit.running, dict(budget.state.held)) == (0, 0, {}), "I13"
        assert budget.state.spent.get("tokens", 0) == self.spent, "I8"

    def _flow(self, tokens: int) -> None:
        self.flow.append((self.provider.age_ms, tokens))

    async def _report(self, call: Call, state: CallState, more: int = 0) -> Reported | LeaseLost:
        usage = () if state is C.UNSENT else (Usage("", call.input + more, call.output),)
        told = Report(lease=call.run.lease, call=call.number, state=state, used=usage)
        (answer,) = await self.storage.report([told])
        return answer

    async def _look(self) -> object:
        return await self.storage.get_limits(), await self.storage.get_budgets(), await self.storage.audit()


async def open_ledger(storage: Storage, clock: Clock, charge: Charge, refund: bool, seed: int) -> Ledger:
    spec = LimitSpec(name="gpt", tokens=60_000 * RATE, burst_ms=CAPACITY // RATE, charge=charge, refund=refund)
    await storage.put_limits([spec])
    await storage.put_budgets([BudgetSpec(id="purse", caps={"tokens": CAP})])
    return Ledger(storage, clock, charge, refund, Random(seed), Provider())


WAYS = [
    (Charge.STREAM, True),
    (Charge.STREAM, False),
    (Charge.RESERVE, True),
    (Charge.RESERVE, False),
    (Charge.MAX, False),
    (Charge.INPUT, True),
]


@clause("CALL-1", "CALL-7", "CALL-9", "CALL-13", "CALL-14", "CALL-15", "BUDGET-1", "BUDGET-5", "BUDGET-6", "LIMIT-5")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("charge", "refund"), WAYS)
async def test_no_history_of_calls_breaks_what_must_hold_of_limits_and_budgets(
    storage: Storage, clock: Clock, charge: Charge, refund: bool, seed: int
) -> None:
    ledger = await open_ledger(storage, clock, charge, refund, seed)
    verbs = (
        *(ledger.begin, ledger.call, ledger.call, ledger.call, ledger.stream, ledger.settle, ledger.settle),
        *(ledger.pass_time, ledger.pass_time, ledger.finish, ledger.die, ledger.report_late),
    )
    for _ in range(STEPS):
        await ledger.rng.choice(verbs)()
        await ledger.check()
    ledger.check_windows()
    await ledger.end()
