"""Jobs that stand in a row and ask for the same are admitted together as they would be one by one."""

from random import Random

import pytest
from msgspec.structs import replace

from aiq.model import Band, BudgetSpec, Charge, Estimate, JobRecord, LimitSpec, MustWait, OnExceeded, PriceRow
from aiq.rules.offers import Floor
from aiq.rules.rows import Row
from tests.rules.ledger import Ledger, full
from tests.rules.test_alike import Step

LIMITS = (
    LimitSpec(name="a", requests=600, tokens=60_000),
    LimitSpec(name="b", tokens=60_000, charge=Charge.RESERVE, weights={"output": 2_500}, concurrency=17),
    LimitSpec(name="c", tokens=60_000, charge=Charge.INPUT, by="tenant"),
    LimitSpec(name="d", concurrency=2, by="key"),
)
ESTIMATES = (
    None,
    Estimate(input=40, output=9, model="m"),
    Estimate(input=900, output=9, max_output=400, min_output=20, model="m"),
    Estimate(input=0, max_output=0),
)


def kind_of(rng: Random) -> dict[str, object]:
    """What many jobs have in common."""
    return {
        "limits": tuple(rng.sample("abcd", rng.randrange(4))),
        "tenant": rng.choice(["", "", "x", "y"]),
        "key": rng.choice([None, None, "k"]),
        "band": rng.choice([Band.NORMAL] * 4 + [Band.HIGH]),
        "estimate": rng.choice(ESTIMATES),
    }


def own_budget(rng: Random, ledger: Ledger, number: int) -> tuple[str, ...]:
    budget = BudgetSpec(
        id=f"job:{number}",
        parent=rng.choice([None, None, "team"]),
        caps={"tokens": rng.choice([10**6] * 5 + [400, 3])},
        on_exceeded=rng.choice(list(OnExceeded)),
    )
    ledger.put(budget)
    return (budget.id,)


def run(ledger: Ledger, seed: int) -> tuple[object, ...]:
    """Let jobs of few kinds be claimed in a few claims, and tell what is left of everything."""
    rng = Random(seed)
    ledger.put(*LIMITS, BudgetSpec(id="team", caps={"tokens": rng.choice([10**7, 9_000])}))
    ledger.price_rows += [PriceRow(model="m", category="input", usd_micros_per_million=2_000_000)]
    if rng.random() < 0.7:
        full(ledger, "a", "b")
    kinds = [kind_of(rng) for _ in range(rng.choice([1, 1, 2, 4]))]
    for number in range(rng.randrange(2, 60)):
        kind, drawn = rng.choice(kinds), rng.choice(["own", "own", "team", ""])
        budgets = own_budget(rng, ledger, number) if drawn == "own" else (drawn,) if drawn else ()
        ledger.add(str(number), budgets=budgets, resumes=rng.random() < 0.03, opened_calls=rng.random() < 0.5, **kind)
    order = []
    for _ in range(4):
        room = rng.randrange(1, 40)

        def takes(record: JobRecord, room: int = room) -> bool:
            return int(record.id) % 41 != room

        order.append([record.id for record in ledger.claim(rng.randrange(1, 40), takes)])
        ledger.now_ms += rng.choice([0, 1, 700])
    rows = (ledger.pool_rows, ledger.lines, ledger.lanes, ledger.aside, ledger.credits, ledger.more, ledger.jobs)
    return order, ledger.states, ledger.balances, ledger.reservations, ledger.told, *rows


@pytest.mark.parametrize("seed", range(150))
def test_jobs_in_a_row_are_given_what_each_would_be_given_alone(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    together = run(Step(), seed)
    monkeypatch.setattr(Floor, "only_line", lambda *_: None)

    assert together == run(Step(), seed) == run(Ledger(), seed)


def many(count: int, ledger: Ledger, **fields: object) -> Ledger:
    for number in range(count):
        ledger.add(str(number), **{"limits": ("a",), "estimate": ESTIMATES[1], **fields})
    return ledger


def in_rows(ledger: Ledger, count: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many jobs of a claim were given without a look at their limits."""
    booked: list[str] = []
    book = Row.book

    def counted(row: Row, record: JobRecord, *rest: object) -> int:
        booked.append(record.id)
        return book(row, record, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Row, "book", counted)
    ledger.claim(count)
    return len(booked)


def new_ledger() -> Ledger:
    ledger = Step()
    ledger.put(*LIMITS)
    full(ledger, "a", "b")
    return ledger


def test_those_behind_the_first_one_of_a_line_are_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_rows(many(10, new_ledger()), 8, monkeypatch) == 7


def test_a_row_of_a_tenant_goes_on_though_its_service_rises(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = many(10, new_ledger(), tenant="x")

    assert in_rows(ledger, 10, monkeypatch) == 9
    assert [line.service for line in ledger.lines.values()] == [10 * 49]


def test_two_tenants_are_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = many(10, new_ledger(), tenant="x")
    ledger.add("other", limits=("a",), tenant="y", estimate=ESTIMATES[1])

    assert in_rows(ledger, 5, monkeypatch) == 0


def test_a_row_ends_where_a_limit_has_no_plenty_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = many(30, new_ledger(), limits=("a", "b"))

    assert in_rows(ledger, 30, monkeypatch) == 16
    assert len(ledger.given) == 17


def test_a_row_leaves_what_a_call_in_line_waits_for() -> None:
    ledger = new_ledger()
    caller = ledger.start("caller", limits=("a",), estimate=ESTIMATES[1])
    ledger.states["a", ""] = replace(ledger.left("a"), tokens=0)
    assert isinstance(ledger.call(caller, 1, "a", input=20_000, output=0, max_output=0), MustWait)
    ledger.states["a", ""] = replace(ledger.left("a"), tokens=(20_000 + 3 * 49) * 1_000)

    many(10, ledger)

    assert len(ledger.claim(10)) == 3
