"""What a job must find room for before it runs, and what refuses it at enqueue."""

from dataclasses import replace

import pytest
from msgspec import structs

from aiq.bounds import MAX_CHAIN
from aiq.errors import NeverFits, NotFound, PriceUnknown, TooLarge, UnknownLimit
from aiq.model import (
    BudgetSpec,
    CallState,
    Charge,
    Estimate,
    HeldFor,
    JobRecord,
    JobSpec,
    LimitSpec,
    PriceRow,
    RouteSpec,
    State,
)
from aiq.rules import booking, planning
from aiq.rules.booking import Granted
from aiq.rules.books import Learned
from aiq.rules.drawing import Hopeless, Short
from aiq.rules.planning import Blocked
from tests.rules.ledger import Ledger, full, tokens

SMALL = Estimate(input=100, max_output=200)


def job(**fields: object) -> JobRecord:
    return JobRecord(id="job", task="t", state=State.READY, **fields)  # type: ignore[arg-type]


def spec(**fields: object) -> JobSpec:
    return JobSpec(id="job", task="t", **fields)  # type: ignore[arg-type]


def ledger_with(*specs: LimitSpec | BudgetSpec) -> Ledger:
    ledger = Ledger()
    ledger.put(*specs)
    full(ledger, *ledger.limits)
    return ledger


# What a claim takes.


def test_a_job_without_limits_and_budgets_reserves_nothing() -> None:
    ledger = Ledger()

    assert booking.claim(ledger, job(), 1) == Granted(1000)
    assert not ledger.reservations


def test_a_claim_takes_of_every_limit_and_holds_of_every_budget() -> None:
    ledger = ledger_with(
        tokens(6_000), LimitSpec(name="gpu", concurrency=2), BudgetSpec(id="b", caps={"tokens": 1_000})
    )

    answer = booking.claim(ledger, job(limits=("gpt", "gpu"), budgets=("b",), estimate=SMALL), 1)

    assert answer == Granted(300)
    assert [(part.limit, part.charge, part.rest, part.slot) for part in ledger.reservations["job", 1, 0].parts] == [
        ("gpt", 100, 200, False),
        ("gpu", 0, 0, True),
    ]
    assert ledger.left("gpu").running == 1
    assert ledger.balances["b", 0].held["tokens"] == 300


def test_a_limit_without_room_leaves_every_other_limit_and_budget_as_it_was() -> None:
    ledger = ledger_with(
        tokens(6_000), LimitSpec(name="gpu", concurrency=1), BudgetSpec(id="b", caps={"tokens": 1_000})
    )
    wanted = job(limits=("gpt", "gpu"), budgets=("b",), estimate=SMALL)
    booking.claim(ledger, wanted, 1)
    before = (dict(ledger.states), dict(ledger.balances), dict(ledger.reservations))

    answer = booking.claim(ledger, replace(wanted, id="other"), 1)

    assert isinstance(answer, Blocked)
    assert (answer.limit, answer.wait_ms) == ("gpu", None)
    assert (ledger.states, ledger.balances, ledger.reservations) == before


def test_a_budget_without_room_leaves_every_limit_as_it_was() -> None:
    ledger = ledger_with(tokens(6_000), BudgetSpec(id="b", caps={"tokens": 299}))
    before = dict(ledger.states)

    answer = booking.claim(ledger, job(limits=("gpt",), budgets=("b",), estimate=SMALL), 1)

    assert isinstance(answer, Short)
    assert answer.text == 'Budget "b" has 299 tokens left of 299 tokens, and 300 tokens are needed.'
    assert ledger.states == before


def test_who_comes_back_when_it_was_told_is_admitted() -> None:
    ledger = ledger_with(tokens(6_000))
    wanted = job(limits=("gpt",), estimate=Estimate(input=4_000, max_output=500))
    booking.claim(ledger, wanted, 1)
    answer = booking.claim(ledger, replace(wanted, id="other"), 1)
    assert isinstance(answer, Blocked)

    ledger.now_ms += (answer.wait_ms or 0) - 1
    assert isinstance(booking.claim(ledger, replace(wanted, id="other"), 1), Blocked)
    ledger.now_ms += 1
    assert isinstance(booking.claim(ledger, replace(wanted, id="other"), 1), Granted)


def test_a_limit_of_which_nothing_was_taken_yet_fills_while_it_refuses() -> None:
    ledger = Ledger()
    ledger.put(tokens(6_000))
    wanted = job(limits=("gpt",), estimate=Estimate(input=3_000, max_output=1_000))

    answer = booking.claim(ledger, wanted, 1)
    assert isinstance(answer, Blocked)
    ledger.now_ms += answer.wait_ms or 0

    assert isinstance(booking.claim(ledger, wanted, 1), Granted)


def test_of_several_limits_the_one_that_keeps_the_job_longest_is_named() -> None:
    ledger = ledger_with(tokens(600, "slow"), tokens(6_000, "fast"))
    wanted = job(limits=("fast", "slow"), estimate=Estimate(input=600, max_output=0))
    booking.claim(ledger, wanted, 1)
    ledger.states["fast", ""] = structs.replace(ledger.left("fast"), tokens=0)

    answer = booking.claim(ledger, replace(wanted, id="other"), 1)

    assert isinstance(answer, Blocked)
    assert (answer.limit, answer.wait_ms) == ("slow", 60_000)


def test_a_limit_by_tenant_has_amounts_for_each_tenant() -> None:
    ledger = ledger_with(LimitSpec(name="each", concurrency=1, by="tenant"))
    wanted = job(limits=("each",), tenant="a")

    booking.claim(ledger, wanted, 1)

    assert isinstance(booking.claim(ledger, replace(wanted, id="two"), 1), Blocked)
    assert isinstance(booking.claim(ledger, replace(wanted, id="three", tenant="b"), 1), Granted)


def test_a_limit_by_key_does_not_bind_a_job_without_a_key() -> None:
    ledger = ledger_with(LimitSpec(name="each", concurrency=1, by="key"))

    for number in range(3):
        assert isinstance(booking.claim(ledger, replace(job(limits=("each",)), id=str(number)), 1), Granted)
    assert ledger.states == {("each", ""): ledger.left("each")}
    assert isinstance(booking.claim(ledger, job(limits=("each",), key="k"), 1), Granted)
    assert isinstance(booking.claim(ledger, replace(job(limits=("each",), key="k"), id="two"), 1), Blocked)


def test_the_settings_of_a_queue_bind_its_jobs_as_a_limit_does() -> None:
    ledger = ledger_with(LimitSpec(name="queue:default", concurrency=1))

    assert isinstance(booking.claim(ledger, job(), 1), Granted)
    answer = booking.claim(ledger, replace(job(), id="two"), 1)

    assert isinstance(answer, Blocked)
    assert answer.limit == "queue:default"


def test_a_run_that_goes_on_after_a_wait_takes_units_of_concurrency_alone() -> None:
    ledger = ledger_with(tokens(6_000), LimitSpec(name="gpu", concurrency=2), BudgetSpec(id="b", caps={"tokens": 10}))
    ledger.states["gpt", ""] = structs.replace(ledger.left("gpt"), tokens=-5, frozen_until_ms=ledger.now_ms + 9)

    wanted = job(limits=("gpt", "gpu"), budgets=("b",), estimate=SMALL, opened_calls=True, resumes=True)

    assert booking.claim(ledger, wanted, 2) == Granted(1)
    assert [(part.charge, part.rest, part.slot) for part in ledger.reservations["job", 2, 0].parts] == [
        (0, 0, False),
        (0, 0, True),
    ]
    assert not ledger.balances


@pytest.mark.parametrize("fields", [{"resumes": True}, {"opened_calls": True}])
def test_any_other_run_reserves_what_its_first_call_needs(fields: dict[str, bool]) -> None:
    ledger = ledger_with(tokens(6_000))

    booking.claim(ledger, job(limits=("gpt",), estimate=SMALL, **fields), 2)

    assert ledger.reservations["job", 2, 0].parts[0].charge == 100


def test_a_need_that_nobody_declared_is_learned() -> None:
    ledger = ledger_with(tokens(60_000))
    ledger.known["t", ""] = Learned(input=500_000, inputs=20, output=70_000, outputs=20)

    booking.claim(ledger, job(limits=("gpt",)), 1)

    part = ledger.reservations["job", 1, 0].parts[0]
    assert (part.charge, part.rest) == (500, 70)


def test_a_route_decides_which_limits_are_taken() -> None:
    ledger = ledger_with(tokens(6_000), tokens(6_000, "claude"))
    routes = (RouteSpec(name="a", limits=("gpt",)), RouteSpec(name="b", limits=("claude",)))

    booking.claim(ledger, job(routes=routes, route=1, estimate=SMALL), 1)

    assert [part.limit for part in ledger.reservations["job", 1, 0].parts] == ["claude"]


def test_a_declared_need_that_is_too_large_for_a_limit_is_hopeless_at_a_claim() -> None:
    ledger = ledger_with(tokens(6_000, charge=Charge.RESERVE))

    answer = booking.claim(ledger, job(limits=("gpt",), estimate=Estimate(input=6_000, max_output=1)), 1)

    assert isinstance(answer, Hopeless)
    assert (answer.reason, answer.by) == (HeldFor.SIZE, "gpt")
    assert "6,001" in answer.text


# Budgets.


def test_exactly_what_is_left_of_a_budget_is_granted() -> None:
    ledger = ledger_with(BudgetSpec(id="b", caps={"tokens": 300}))

    assert isinstance(booking.claim(ledger, job(budgets=("b",), estimate=SMALL), 1), Granted)


def test_a_job_draws_from_its_budgets_its_tenants_and_their_ancestors_each_once() -> None:
    ledger = ledger_with(
        BudgetSpec(id="org"),
        BudgetSpec(id="flow:f", parent="org"),
        BudgetSpec(id="job:j", parent="flow:f"),
        BudgetSpec(id="tenant:a", parent="org"),
    )

    booking.claim(ledger, job(budgets=("job:j", "flow:f"), tenant="a", estimate=SMALL), 1)

    drawn = [draw.budget for draw in ledger.reservations["job", 1, 0].draws]
    assert drawn == ["job:j", "flow:f", "tenant:a", "org"]
    assert ledger.balances["org", 0].held["tokens"] == 300


def test_the_first_budget_of_the_chain_without_room_decides() -> None:
    ledger = ledger_with(
        BudgetSpec(id="near", parent="far", caps={"tokens": 1_000}),
        BudgetSpec(id="tenant:a", caps={"tokens": 1}),
        BudgetSpec(id="far", caps={"tokens": 2}),
    )

    answer = booking.claim(ledger, job(budgets=("near",), tenant="a", estimate=SMALL), 1)

    assert isinstance(answer, Short)
    assert answer.budget.id == "tenant:a"


def test_a_budget_that_is_used_up_to_the_last_unit_lets_nothing_pass_however_small() -> None:
    ledger = ledger_with(BudgetSpec(id="b", caps={"tokens": 0}))

    assert isinstance(booking.claim(ledger, job(budgets=("b",)), 1), Short)
    assert isinstance(booking.claim(ledger, job(budgets=("b",), estimate=Estimate(input=1, max_output=0)), 1), Short)


def test_a_job_that_needs_nothing_starts_on_a_budget_that_is_used_up() -> None:
    ledger = ledger_with(BudgetSpec(id="b", caps={"tokens": 0}))
    coordinator = job(budgets=("b",), estimate=Estimate(input=0, max_output=0))

    assert isinstance(booking.claim(ledger, coordinator, 1), Granted)


def test_a_job_that_said_nothing_and_goes_on_after_a_wait_starts_on_a_budget_that_is_used_up() -> None:
    ledger = ledger_with(tokens(6_000), BudgetSpec(id="b", caps={"tokens": 0}))

    assert isinstance(booking.claim(ledger, job(budgets=("b",), resumes=True), 1), Granted)
    assert isinstance(booking.claim(ledger, job(budgets=("b",), resumes=True, limits=("gpt",)), 1), Short)


def test_a_need_with_a_least_output_shrinks_to_what_a_budget_has_and_its_limits_count_that() -> None:
    ledger = ledger_with(tokens(6_000), BudgetSpec(id="b", caps={"tokens": 250}))
    estimate = Estimate(input=100, max_output=2_000, min_output=50)

    answer = booking.claim(ledger, job(limits=("gpt",), budgets=("b",), estimate=estimate), 1)

    assert answer == Granted(250)
    assert ledger.reservations["job", 1, 0].need.max_output == 150
    assert ledger.balances["b", 0].held["tokens"] == 250


def test_a_need_shrinks_to_the_narrowest_budget_of_its_chain() -> None:
    ledger = ledger_with(
        BudgetSpec(id="near", parent="far", caps={"tokens": 250}), BudgetSpec(id="far", caps={"tokens": 180})
    )
    estimate = Estimate(input=100, max_output=2_000, min_output=50)

    booking.claim(ledger, job(budgets=("near",), estimate=estimate), 1)

    assert [draw.held["tokens"] for draw in ledger.reservations["job", 1, 0].draws] == [180, 180]


def test_a_need_whose_least_output_does_not_fit_is_refused_for_that_least() -> None:
    ledger = ledger_with(BudgetSpec(id="b", caps={"tokens": 149}))
    estimate = Estimate(input=100, max_output=2_000, min_output=50)

    answer = booking.claim(ledger, job(budgets=("b",), estimate=estimate), 1)

    assert isinstance(answer, Short)
    assert answer.need["tokens"] == 150


def test_a_need_that_nobody_declared_counts_as_the_room_that_is_left() -> None:
    ledger = ledger_with(BudgetSpec(id="b", caps={"tokens": 7}))

    assert isinstance(booking.claim(ledger, job(budgets=("b",)), 1), Granted)
    assert ledger.balances["b", 0].held["tokens"] == 7
    refused = booking.claim(ledger, replace(job(budgets=("b",)), id="two"), 1)
    assert isinstance(refused, Short)
    assert refused.need["tokens"] == 1


def test_a_budget_in_money_counts_the_prices_of_the_model() -> None:
    ledger = ledger_with(BudgetSpec(id="b", caps={"usd_micros": 1_000}))
    ledger.price_rows = [
        PriceRow(model="m", category="input", usd_micros_per_million=1_000_000),
        PriceRow(model="m", category="output", usd_micros_per_million=2_000_000),
    ]

    booking.claim(ledger, job(budgets=("b",), estimate=Estimate(input=100, max_output=200, model="m")), 1)

    assert ledger.balances["b", 0].held["usd_micros"] == 500


def test_a_model_without_a_price_under_a_budget_in_money_is_hopeless_at_a_claim() -> None:
    ledger = ledger_with(BudgetSpec(id="tenant:a", caps={"usd_micros": 1_000}))

    answer = booking.claim(ledger, job(tenant="a", estimate=Estimate(input=1, max_output=1, model="m")), 1)

    assert isinstance(answer, Hopeless)
    assert (answer.reason, answer.by) == (HeldFor.PRICE, "m")


def test_what_a_job_costs_is_what_it_takes_and_holds_on_the_first_limit_of_its_pool() -> None:
    ledger = ledger_with(
        tokens(6_000, "b"), tokens(6_000, "a", charge=Charge.INPUT), tokens(60, "0", by="tenant"), tokens(9_000, "c")
    )
    wanted = job(limits=("b", "a", "0", "c"), estimate=SMALL)

    assert booking.quote(ledger, wanted) == 100
    assert booking.claim(ledger, replace(wanted, limits=("b", "a")), 1) == Granted(100)
    assert booking.quote(ledger, replace(wanted, limits=("0",))) == 1000
    assert booking.quote(ledger, replace(wanted, resumes=True, opened_calls=True)) == 1


# At enqueue.


def test_a_limit_that_is_not_stored_is_refused_with_what_was_meant() -> None:
    with pytest.raises(UnknownLimit, match='Did you mean "gpt"'):
        booking.check_at_enqueue(ledger_with(tokens(60)), spec(limits=("gtp",)))


def test_a_job_that_could_never_fit_is_refused_on_any_of_its_routes() -> None:
    ledger = ledger_with(tokens(6_000), tokens(600, "small"))
    routes = (RouteSpec(name="a", limits=("gpt",)), RouteSpec(name="b", limits=("small",)))

    with pytest.raises(NeverFits, match='601 tokens of limit "small"'):
        booking.check_at_enqueue(ledger, spec(routes=routes, estimate=Estimate(input=601)))
    booking.check_at_enqueue(ledger, spec(routes=routes, estimate=Estimate(input=600)))
    booking.check_at_enqueue(ledger, spec(routes=routes))


def test_a_budget_that_is_not_stored_is_not_found() -> None:
    with pytest.raises(NotFound, match='No budget "b"'):
        booking.check_at_enqueue(Ledger(), spec(budgets=("b",)))


def test_a_model_without_a_price_is_refused_when_the_jobs_own_chain_counts_money() -> None:
    ledger = ledger_with(BudgetSpec(id="near", parent="far"), BudgetSpec(id="far", caps={"usd_micros": 1}))
    named = Estimate(model="m")

    with pytest.raises(PriceUnknown, match='budget "far" counts money'):
        booking.check_at_enqueue(ledger, spec(budgets=("near",), estimate=named))
    booking.check_at_enqueue(ledger, spec(budgets=("near",)))
    ledger.price_rows = [PriceRow(model="m", category="input", usd_micros_per_million=0)]
    booking.check_at_enqueue(ledger, spec(budgets=("near",), estimate=named))


def test_a_chain_of_too_many_budgets_is_refused() -> None:
    names = [f"b{number}" for number in range(MAX_CHAIN + 1)]
    ledger = ledger_with(*[BudgetSpec(id=name) for name in names])

    booking.check_at_enqueue(ledger, spec(budgets=tuple(names[:-1])))
    with pytest.raises(TooLarge, match="chain of budgets"):
        booking.check_at_enqueue(ledger, spec(budgets=tuple(names)))


def test_looking_for_room_writes_nothing() -> None:
    ledger = ledger_with(tokens(6_000), LimitSpec(name="gpu", concurrency=1), BudgetSpec(id="b", caps={"tokens": 400}))
    before = dict(ledger.states)
    wanted = job(limits=("gpt", "gpu"), budgets=("b",), estimate=SMALL)

    assert isinstance(planning.plan(ledger, wanted), planning.Plan)
    assert (ledger.states, ledger.balances, ledger.reservations) == (before, {}, {})


def test_the_reservation_of_a_claim_is_call_0_of_the_run_that_it_begins() -> None:
    ledger = ledger_with(tokens(6_000))

    booking.claim(ledger, job(limits=("gpt",), estimate=SMALL, fence=4), 5)

    (reservation,) = ledger.reservations.values()
    assert (reservation.fence, reservation.call, reservation.state) == (5, 0, CallState.OPEN)
