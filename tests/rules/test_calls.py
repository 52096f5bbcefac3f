"""The calls of a run: what the first adopts, the units of concurrency, and the line in which they wait."""

from dataclasses import replace

import pytest
from msgspec import structs

from aiq.bounds import PLACE_KEPT_MS
from aiq.model import (
    Admitted,
    Band,
    BudgetSpec,
    CallState,
    Estimate,
    Exceeded,
    JobRecord,
    LimitSpec,
    MustWait,
    OnExceeded,
    PriceRow,
    Refused,
    Usage,
)
from tests.rules.ledger import Ledger, full, tokens

SMALL = Estimate(input=100, max_output=200)


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.put(tokens(6_000), LimitSpec(name="gpu", concurrency=3))
    full(ledger, "gpt")
    return ledger


def taken(ledger: Ledger, name: str = "gpt") -> tuple[int, int]:
    """What is missing of a limit's level, and what is held of it, in whole tokens."""
    state, sub = ledger.left(name), 10_000
    return 6_000 - state.tokens // sub, state.held // sub


def units(ledger: Ledger, name: str = "gpu") -> int:
    return ledger.left(name).running


# Adoption.


def test_the_first_call_adopts_what_the_claim_reserved(ledger: Ledger) -> None:
    run = ledger.start(limits=("gpt",), estimate=SMALL)

    assert ledger.call(run, 1, "gpt", input=100, max_output=200) == Admitted(max_output=200)
    assert taken(ledger) == (100, 200)


def test_a_first_call_takes_or_returns_the_difference(ledger: Ledger) -> None:
    run = ledger.start(limits=("gpt",), estimate=SMALL)

    ledger.call(run, 1, input=150, max_output=20)

    assert taken(ledger) == (150, 20)


def test_a_first_call_that_says_nothing_needs_what_the_job_declared(ledger: Ledger) -> None:
    run = ledger.start(limits=("gpt",), estimate=SMALL)

    assert ledger.call(run, 1) == Admitted(max_output=200)
    assert taken(ledger) == (100, 200)


def test_a_second_call_takes_all_that_it_needs(ledger: Ledger) -> None:
    run = ledger.start(limits=("gpt",), estimate=SMALL)
    ledger.call(run, 1)

    ledger.call(run, 2, input=10, max_output=20)

    assert taken(ledger) == (110, 220)


def test_what_the_claim_reserved_of_other_limits_is_given_back_but_for_units(ledger: Ledger) -> None:
    ledger.put(tokens(6_000, "other"))
    full(ledger, "other")
    run = ledger.start(limits=("gpt", "other", "gpu"), estimate=SMALL)

    ledger.call(run, 1, "gpt")

    assert (taken(ledger), taken(ledger, "other"), units(ledger)) == ((100, 200), (0, 0), 1)
    assert ledger.told == ["other"]


def test_a_call_on_a_limit_that_the_claim_did_not_take_adopts_nothing(ledger: Ledger) -> None:
    ledger.put(tokens(6_000, "other"))
    full(ledger, "other")
    run = ledger.start(limits=("gpt",), estimate=SMALL)

    ledger.call(run, 1, "gpt", "other", input=10, max_output=0)

    assert (taken(ledger), taken(ledger, "other")) == ((110, 200), (10, 0))


def test_the_first_call_of_a_job_without_limits_adopts_what_the_claim_held_of_its_budgets(ledger: Ledger) -> None:
    ledger.put(BudgetSpec(id="b", caps={"tokens": 300}))
    run = ledger.start(budgets=("b",), estimate=SMALL)

    assert ledger.call(run, 1, "gpt", input=100, max_output=200) == Admitted(max_output=200)
    assert ledger.balances["b", 0].held["tokens"] == 300


def test_a_first_call_that_needs_no_more_goes_before_all_who_wait(ledger: Ledger) -> None:
    first = ledger.start("first", limits=("gpt",), estimate=SMALL)
    second = ledger.start("second", limits=("gpt",), estimate=SMALL)
    ledger.call(first, 1)
    assert isinstance(ledger.call(first, 2, input=6_000, max_output=0), MustWait)

    assert isinstance(ledger.call(second, 1), Admitted)


def test_a_first_call_that_needs_no_more_waits_while_its_limit_is_paused(ledger: Ledger) -> None:
    run = ledger.start(limits=("gpt",), estimate=SMALL)
    ledger.states["gpt", ""] = structs.replace(ledger.left("gpt"), frozen_until_ms=ledger.now_ms + 700)

    assert ledger.call(run, 1) == MustWait(limit="gpt", wait_ms=700)


def test_a_call_that_was_let_into_debt_is_not_kept_out_by_its_own_debt(ledger: Ledger) -> None:
    run = ledger.start(limits=("gpt",), estimate=Estimate(input=5_000, max_output=5_000))

    assert ledger.call(run, 1, input=5_001, max_output=5_000) == Admitted(max_output=5_000)


def test_while_a_first_call_waits_the_claims_reservation_stays_as_it_is(ledger: Ledger) -> None:
    run = ledger.start("a", limits=("gpt",), estimate=SMALL)
    ledger.start("b", limits=("gpt",), estimate=Estimate(input=5_000, max_output=0))

    assert isinstance(ledger.call(run, 1, input=1_100, max_output=0), MustWait)
    assert taken(ledger) == (5_100, 200)
    assert ledger.calls["a", 1, 1].limits == {("gpt", ""): (0, 1_000, 0, 0)}


def test_the_first_call_of_a_run_that_goes_on_takes_all_that_it_needs(ledger: Ledger) -> None:
    run = ledger.start(limits=("gpt", "gpu"), estimate=SMALL, resumes=True, opened_calls=True)
    assert (taken(ledger), units(ledger)) == ((0, 0), 1)

    ledger.call(run, 1, input=10, max_output=20)

    assert (taken(ledger), units(ledger)) == ((10, 20), 1)


# Repeats and refusals.


def test_asking_again_for_a_call_gives_the_first_answer_and_takes_nothing_twice(ledger: Ledger) -> None:
    ledger.put(BudgetSpec(id="b", caps={"tokens": 1_000}))
    run = ledger.start(limits=("gpt",), budgets=("b",), estimate=SMALL)
    ledger.call(run, 1)
    ledger.call(run, 2, input=10, max_output=900, min_output=1)
    before = (dict(ledger.states), dict(ledger.balances), dict(ledger.reservations), dict(ledger.lines))

    assert ledger.call(run, 2, input=10, max_output=900, min_output=1) == Admitted(max_output=690)
    assert (ledger.states, ledger.balances, ledger.reservations, ledger.lines) == before


def test_a_call_without_room_in_a_budget_takes_nothing_and_says_what_is_to_become_of_the_job(ledger: Ledger) -> None:
    ledger.put(BudgetSpec(id="b", caps={"tokens": 500}, on_exceeded=OnExceeded.DEGRADE))
    run = ledger.start(limits=("gpt",), budgets=("b",), estimate=SMALL)
    ledger.call(run, 1)
    before = taken(ledger)

    answer = ledger.call(run, 2, input=100, max_output=101)

    assert isinstance(answer, Exceeded)
    assert (answer.budget, answer.on_exceeded, answer.need["tokens"]) == ("b", OnExceeded.DEGRADE, 201)
    assert taken(ledger) == before


def test_a_call_is_offered_the_most_output_that_a_budget_has_room_for(ledger: Ledger) -> None:
    ledger.put(BudgetSpec(id="b", caps={"tokens": 500}))
    run = ledger.start(limits=("gpt",), budgets=("b",), estimate=SMALL)
    ledger.call(run, 1)

    assert ledger.call(run, 2, input=100, max_output=900, min_output=50) == Admitted(max_output=100)
    assert taken(ledger) == (200, 300)


@pytest.mark.parametrize("said", [{}, {"input": 10}, {"input": 10, "output": 30}])
def test_a_call_of_which_nobody_said_the_most_output_is_offered_no_bound(ledger: Ledger, said: dict[str, int]) -> None:
    ledger.put(BudgetSpec(id="b", caps={"tokens": 100_000}))
    run = ledger.start(limits=("gpt",), budgets=("b",))

    answers = [ledger.call(run, 1, **said), ledger.call(run, 2, **said), ledger.call(run, 2, **said)]

    assert answers == [Admitted(max_output=None)] * 3


def test_a_call_of_which_nobody_said_anything_is_offered_what_a_budget_has_left(ledger: Ledger) -> None:
    ledger.put(BudgetSpec(id="b", caps={"tokens": 400}))
    run = ledger.start(limits=("gpt",), budgets=("b",), estimate=SMALL)
    ledger.call(run, 1)

    assert ledger.call(run, 2, input=40) == Admitted(max_output=60)
    assert ledger.call(run, 2, input=40) == Admitted(max_output=60)


def test_a_call_on_a_limit_that_is_not_stored_is_refused(ledger: Ledger) -> None:
    run = ledger.start()

    answer = ledger.call(run, 1, "gptt", input=1)

    assert isinstance(answer, Refused)
    assert answer.kind == "unknown_limit"
    assert 'Did you mean "gpt"' in answer.text


def test_a_call_that_could_never_fit_is_refused(ledger: Ledger) -> None:
    run = ledger.start()

    answer = ledger.call(run, 1, "gpt", input=6_001, max_output=0)

    assert isinstance(answer, Refused)
    assert answer.kind == "never_fits"


@pytest.mark.parametrize("model", ["m", ""])
def test_a_call_on_a_model_without_a_price_is_refused_under_a_budget_in_money(ledger: Ledger, model: str) -> None:
    ledger.put(BudgetSpec(id="b", caps={"usd_micros": 500}))
    run = ledger.start(budgets=("b",))

    answer = ledger.call(run, 1, input=1, max_output=1, model=model)

    assert isinstance(answer, Refused)
    assert answer.kind == "price_unknown"


def test_the_prices_of_a_call_are_those_that_hold_when_it_is_admitted(ledger: Ledger) -> None:
    row = PriceRow(model="m", category="input", usd_micros_per_million=1_000_000)
    ledger.price_rows = [row]
    run = ledger.start(limits=("gpt",))
    ledger.call(run, 1, input=100, max_output=0, model="m")

    ledger.price_rows = [replace(row, usd_micros_per_million=5_000_000)]
    ledger.report(run, 1, CallState.SETTLED, used=(Usage("m", 100),))

    assert ledger.cost_micros() == 100


# Units of concurrency.


def test_a_run_holds_a_unit_of_its_jobs_limits_from_its_claim_to_its_end(ledger: Ledger) -> None:
    run = ledger.start(limits=("gpu",))
    held = [units(ledger)]
    ledger.call(run, 1)
    held.append(units(ledger))
    ledger.report(run, 1, CallState.SETTLED)
    held.append(units(ledger))
    ledger.settle(run)

    assert [*held, units(ledger)] == [1, 1, 1, 0]


def test_a_run_holds_as_many_units_as_it_has_calls_open_if_those_are_more(ledger: Ledger) -> None:
    run = ledger.start(limits=("gpu",))
    held = []
    for number in (1, 2, 3):
        ledger.call(run, number)
        held.append(units(ledger))
    for number in (1, 2, 3):
        ledger.report(run, number, CallState.SETTLED)
        held.append(units(ledger))

    assert held == [1, 2, 3, 2, 1, 1]


def test_calls_that_end_in_another_order_hold_as_many_units(ledger: Ledger) -> None:
    run = ledger.start(limits=("gpu",))
    for number in (1, 2, 3):
        ledger.call(run, number)
    held = []
    for number in (2, 1, 3):
        ledger.report(run, number, CallState.SETTLED)
        held.append(units(ledger))

    assert held == [2, 1, 1]


def test_a_call_on_a_limit_that_is_not_the_jobs_holds_a_unit_while_it_is_open(ledger: Ledger) -> None:
    run = ledger.start()

    ledger.call(run, 1, "gpu")
    ledger.call(run, 2, "gpu")
    assert units(ledger) == 2
    ledger.report(run, 1, CallState.UNSENT)
    assert units(ledger) == 1
    ledger.settle(run)
    assert units(ledger) == 0


def test_a_call_that_needs_one_more_unit_waits_until_it_is_told(ledger: Ledger) -> None:
    run = ledger.start(limits=("gpu",))
    for number in (1, 2, 3):
        ledger.call(run, number)

    assert ledger.call(run, 4) == MustWait(limit="gpu", wait_ms=None)
    ledger.told.clear()
    ledger.report(run, 2, CallState.SETTLED)
    assert "gpu" in ledger.told
    assert isinstance(ledger.call(run, 4), Admitted)


def test_a_call_whose_run_has_a_unit_to_spare_by_now_is_told_so(ledger: Ledger) -> None:
    ledger.put(LimitSpec(name="gpu", concurrency=1))
    run = ledger.start(limits=("gpu",))
    ledger.call(run, 1)
    assert ledger.call(run, 2) == MustWait(limit="gpu", wait_ms=None)
    ledger.told.clear()

    ledger.report(run, 1, CallState.SETTLED)

    assert ledger.told == ["gpu"]
    assert isinstance(ledger.call(run, 2), Admitted)
    assert units(ledger) == 1


def test_a_call_inside_of_those_that_have_every_unit_is_refused_with_a_sentence(ledger: Ledger) -> None:
    run = ledger.start()
    for number in (1, 2, 3):
        ledger.call(run, number, "gpu")

    answer = ledger.call(run, 4, "gpt", "gpu", inside=(1, 2, 3))

    assert answer == Refused(
        kind="own_units",
        text='The calls inside of which this one is asked for have all 3 units of limit "gpu", and end after it: it '
        "would wait for itself. Leave the block of one ctx.call before the next.",
    )


def test_a_call_inside_of_some_that_have_units_waits_while_another_may_give_its_own_back(ledger: Ledger) -> None:
    run = ledger.start(limits=("gpu",))
    for number in (1, 2, 3):
        ledger.call(run, number)

    assert ledger.call(run, 4, inside=(1, 2)) == MustWait(limit="gpu", wait_ms=None)
    assert isinstance(ledger.call(run, 5, "gpt", inside=(1, 2, 3)), Admitted)


@pytest.mark.parametrize("lost", [False, True])
def test_with_its_run_all_units_come_back(ledger: Ledger, lost: bool) -> None:
    run = ledger.start(limits=("gpu",))
    for number in (1, 2, 3):
        ledger.call(run, number)

    (ledger.revoke if lost else ledger.settle)(run)

    assert units(ledger) == 0


# The line.


def waiting(ledger: Ledger, id: str, charge: int, band: Band = Band.NORMAL) -> JobRecord:
    """A run whose call waits."""
    run = ledger.start(id, band=band)
    assert isinstance(ledger.call(run, 1, "gpt", input=charge, max_output=0), MustWait)
    return run


def drain(ledger: Ledger) -> None:
    ledger.states["gpt", ""] = structs.replace(ledger.left("gpt"), tokens=0, at_ms=ledger.now_ms)


def test_calls_wait_for_those_before_them_and_themselves(ledger: Ledger) -> None:
    drain(ledger)
    waiting(ledger, "a", 100)
    run = ledger.start("b")

    assert ledger.call(run, 1, "gpt", input=50, max_output=0) == MustWait(limit="gpt", wait_ms=1_500)


def test_a_call_goes_before_calls_that_asked_later_and_those_of_less_urgent_bands(ledger: Ledger) -> None:
    drain(ledger)
    normal = waiting(ledger, "normal", 100)
    urgent = waiting(ledger, "urgent", 100, Band.HIGH)
    ledger.now_ms += 1_000

    assert ledger.call(normal, 1, "gpt", input=100, max_output=0) == MustWait(limit="gpt", wait_ms=1_000)
    assert isinstance(ledger.call(urgent, 1, "gpt", input=100, max_output=0), Admitted)


def test_asking_again_keeps_a_calls_place(ledger: Ledger) -> None:
    drain(ledger)
    first = waiting(ledger, "first", 100)
    second = waiting(ledger, "second", 100)
    ledger.now_ms += 500
    ledger.call(first, 1, "gpt", input=100, max_output=0)
    ledger.now_ms += 500

    assert isinstance(ledger.call(second, 1, "gpt", input=100, max_output=0), MustWait)
    assert isinstance(ledger.call(first, 1, "gpt", input=100, max_output=0), Admitted)
    assert ("first", 1, 1) not in ledger.calls


def test_a_call_that_has_not_asked_for_a_minute_has_lost_its_place(ledger: Ledger) -> None:
    drain(ledger)
    first = waiting(ledger, "first", 100)
    ledger.now_ms += PLACE_KEPT_MS + 1
    drain(ledger)
    second = waiting(ledger, "second", 100)
    ledger.call(first, 1, "gpt", input=100, max_output=0)
    ledger.now_ms += 1_000

    assert isinstance(ledger.call(second, 1, "gpt", input=100, max_output=0), Admitted)


def test_a_job_that_is_not_running_yet_waits_behind_the_calls_of_its_own_and_more_urgent_bands(ledger: Ledger) -> None:
    drain(ledger)
    waiting(ledger, "run", 100)
    ledger.add("same", limits=("gpt",), estimate=Estimate(input=10, max_output=0))
    ledger.add("urgent", limits=("gpt",), estimate=Estimate(input=10, max_output=0), band=Band.HIGH)
    ledger.now_ms += 100

    assert [job.id for job in ledger.claim(2)] == ["urgent"]
    ledger.now_ms += 1_000
    assert ledger.claim() == []
    ledger.now_ms += 100
    assert [job.id for job in ledger.claim(2)] == ["same"]


def test_a_unit_that_a_call_waits_for_goes_to_no_job_before_it(ledger: Ledger) -> None:
    ledger.put(LimitSpec(name="gpu", concurrency=1))
    holder = ledger.start("holder", limits=("gpu",))
    run = ledger.start("run")
    assert ledger.call(run, 1, "gpu") == MustWait(limit="gpu", wait_ms=None)
    ledger.add("job", limits=("gpu",))

    ledger.settle(holder)

    assert ledger.claim() == []
    assert isinstance(ledger.call(run, 1, "gpu"), Admitted)


def test_a_free_unit_is_kept_for_a_call_no_longer_than_its_place(ledger: Ledger) -> None:
    ledger.put(LimitSpec(name="gpu", concurrency=1))
    holder = ledger.start("holder", limits=("gpu",))
    ledger.call(ledger.start("silent"), 1, "gpu")
    ledger.add("job", limits=("gpu",))
    ledger.settle(holder)
    assert ledger.claim() == []

    ledger.now_ms += PLACE_KEPT_MS + 1

    assert [job.id for job in ledger.claim()] == ["job"]


def test_a_call_that_needs_no_unit_keeps_none_from_others(ledger: Ledger) -> None:
    ledger.put(LimitSpec(name="gpu", concurrency=2))
    run = ledger.start("run", limits=("gpu",))
    drain(ledger)
    ledger.call(run, 1, "gpu", "gpt", input=100, max_output=0)
    ledger.add("job", limits=("gpu",))

    assert [job.id for job in ledger.claim()] == ["job"]


@pytest.mark.parametrize("how", ["settle", "revoke", "exceeded", "unsent"])
def test_when_a_call_leaves_the_line_those_behind_it_are_told(ledger: Ledger, how: str) -> None:
    drain(ledger)
    ledger.put(BudgetSpec(id="tenant:a", caps={"tokens": 100_000}))
    run = ledger.start("run", tenant="a")
    ledger.call(run, 1, "gpt", input=100, max_output=0)
    ledger.told.clear()

    match how:
        case "settle":
            ledger.settle(run)
        case "revoke":
            ledger.revoke(run)
        case "unsent":
            ledger.report(run, 1, CallState.UNSENT)
        case _:
            ledger.put(BudgetSpec(id="tenant:a", caps={"tokens": 1}))
            assert isinstance(ledger.call(run, 1, "gpt", input=100, max_output=0), Exceeded)

    assert "gpt" in ledger.told
    assert not ledger.calls
