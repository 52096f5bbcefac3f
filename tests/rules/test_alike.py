"""What a step has worked out for one call changes nothing for those that are like it."""

from dataclasses import dataclass, field, replace
from random import Random

import pytest

from aiq.model import BudgetSpec, CallState, Charge, Estimate, LimitSpec, PriceRow, Released, Usage
from aiq.rules import closing
from aiq.rules.alike import Alike
from tests.rules.ledger import DONE, Ledger, full

LIMITS = (
    LimitSpec(name="a", requests=600, tokens=60_000),
    LimitSpec(name="b", tokens=60_000, charge=Charge.RESERVE, weights={"output": 2_500}),
    LimitSpec(name="c", tokens=60_000, charge=Charge.INPUT, by="tenant", concurrency=3),
)
BUDGETS = (
    BudgetSpec(id="money", caps={"usd_micros": 200_000}),
    BudgetSpec(id="weighed", caps={"tokens": 40_000}, weights={"input": 500}),
    BudgetSpec(id="same", caps={"tokens": 30_000}),
    BudgetSpec(id="also", caps={"tokens": 4_100}),
)


@dataclass
class Step(Ledger):
    """A ledger whose one step never ends."""

    kept: Alike = field(default_factory=Alike)

    @property
    def alike(self) -> Alike:
        return self.kept


def run(ledger: Ledger, seed: int) -> tuple[object, ...]:
    """Claim and end jobs of few kinds, and tell what is left of everything."""
    rng = Random(seed)
    ledger.put(*LIMITS, *BUDGETS)
    full(ledger, *ledger.limits)
    for model, price in (("m", 2_000_000), ("n", 7_000_000)):
        ledger.price_rows += [PriceRow(model=model, category=name, usd_micros_per_million=price) for name in ("input",)]
    for number in range(60):
        ledger.add(
            str(number),
            limits=tuple(rng.sample("abc", rng.randrange(3))),
            budgets=tuple(rng.sample([one.id for one in BUDGETS], rng.randrange(3))),
            tenant=rng.choice(["", "x", "y"]),
            estimate=rng.choice(
                [None, *(Estimate(input=size, output=9, model="mn"[size % 2]) for size in (40, 44, 301, 5_001))]
            ),
        )
    for record in ledger.claim(60):
        if rng.random() < 0.3:
            used = (Usage(rng.choice(["m", "n"]), rng.choice([30, 400]), 50),)
            ledger.report(record, 0, rng.choice([CallState.OPEN, CallState.SETTLED]), used=used)
        if rng.random() < 0.2:
            ledger.revoke(record)
        elif rng.random() < 0.2:
            ledger.again(record, Released())
        else:
            ledger.settle(record)
    services = {key: line.service for key, line in ledger.lines.items()}
    return ledger.states, ledger.balances, ledger.reservations, ledger.entries, services


@pytest.mark.parametrize("seed", range(20))
def test_a_step_that_remembers_decides_as_one_that_works_out_everything_anew(seed: int) -> None:
    assert run(Step(), seed) == run(Ledger(), seed)


def close_all(ledger: Ledger, seed: int, *, together: bool) -> tuple[object, ...]:
    """Claim jobs of few kinds, end all of them well, and tell what is left of everything."""
    rng = Random(seed)
    ledger.put(*LIMITS[:2], replace(LIMITS[2], concurrency=15), *BUDGETS)
    # Nearly full, so that what comes back is cut by what a bucket holds.
    full(ledger, *ledger.limits)
    for number in range(40):
        taken, budget = rng.choice([("a", "b", "c"), ("b",)]), rng.choice([(), ("money",), ("same",)])
        estimate = rng.choice([None, Estimate(input=40, output=9, max_output=90, model="m")])
        ledger.add(str(number), limits=taken, budgets=budget, tenant=rng.choice(["x", "y"]), estimate=estimate)
    records = ledger.claim(40)
    for record in rng.sample(records, len(records) // 4):
        ledger.report(record, 0, CallState.OPEN, used=(Usage("m", 30, rng.choice([5, 50])),))
    ledger.now_ms += 40
    for some in [records] if together else [[record] for record in records]:
        closing.close_runs(ledger, some, DONE)
    services = {key: line.service for key, line in ledger.lines.items()}
    return len(records), ledger.states, ledger.balances, ledger.reservations, ledger.entries, services, ledger.known


@pytest.mark.parametrize("seed", range(20))
def test_runs_that_are_closed_together_leave_what_they_leave_one_by_one(seed: int) -> None:
    assert close_all(Ledger(), seed, together=True) == close_all(Ledger(), seed, together=False)
