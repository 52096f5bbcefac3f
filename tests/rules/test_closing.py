"""What comes back of a call, what it has used, and what a late report corrects."""

from dataclasses import replace

import pytest

from aiq.model import (
    BudgetSpec,
    CallState,
    Charge,
    Deferred,
    Died,
    Held,
    HeldFor,
    JobError,
    LimitSpec,
    Outcome,
    PriceRow,
    Released,
    Remaining,
    Reported,
    Sleeping,
    Throttle,
    Usage,
)
from aiq.rules import closing
from tests.rules.ledger import DONE, Ledger, full, tokens
from tests.rules.meters import SMALL, SUB, asked, budget, settled, started, stocked, taken

ERROR = JobError(type="E", message="")


@pytest.fixture
def ledger() -> Ledger:
    return stocked()


def test_a_settlement_gives_back_what_was_held_and_counts_what_was_used(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.call(run, 1)

    settled(ledger, run, 1, Usage("m", 90, 250))

    assert taken(ledger) == (340, 0)
    assert budget(ledger) == (340, 0)
    assert ledger.usage() == {"input": 90, "output": 250}
    assert ledger.cost_micros() == 90 + 625
    assert {"gpt", "b"}.isdisjoint(ledger.told)


def test_room_that_a_settlement_leaves_is_told(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.call(run, 1)

    settled(ledger, run, 1, Usage("m", 90, 20))

    assert ledger.told == ["gpt", "b"]


def test_a_call_is_settled_once(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.call(run, 1)
    settled(ledger, run, 1, Usage("m", 90, 20))
    before = (dict(ledger.states), dict(ledger.balances), list(ledger.entries), dict(ledger.known))

    settled(ledger, run, 1, Usage("m", 90, 20))
    settled(ledger, run, 1, Usage("m", 500, 900))
    ledger.report(run, 1, CallState.UNSENT)

    assert (ledger.states, ledger.balances, ledger.entries, ledger.known) == before


def test_a_call_that_was_never_sent_gives_back_everything(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.call(run, 1)

    ledger.report(run, 1, CallState.UNSENT)

    assert (taken(ledger), asked(ledger), budget(ledger), ledger.usage()) == ((0, 0), 0, (0, 0), {})


def test_a_call_that_was_refused_for_its_rate_keeps_its_request_and_pauses_its_limits(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.call(run, 1)

    ledger.report(run, 1, CallState.THROTTLED, retry_after_ms=500)

    state = ledger.left("gpt")
    assert (asked(ledger), budget(ledger), ledger.usage()) == (1, (0, 0), {})
    assert (state.frozen_until_ms, state.pace, state.held) == (ledger.now_ms + 500, 900, 0)
    assert state.tokens == 100 * SUB - 500 * 1000


def test_a_call_that_has_used_something_was_sent_whatever_is_said(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.call(run, 1)
    ledger.report(run, 1, CallState.OPEN, used=(Usage("m", 100, 10),))

    ledger.report(run, 1, CallState.UNSENT)

    assert (taken(ledger), budget(ledger)) == ((110, 0), (110, 0))


def test_use_so_far_moves_what_is_held_into_what_is_taken(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.call(run, 1)

    ledger.report(run, 1, CallState.OPEN, used=(Usage("m", 100, 150),))

    assert (taken(ledger), budget(ledger)) == ((250, 50), (250, 50))
    ledger.report(run, 1, CallState.OPEN, used=(Usage("m", 100, 300),))
    assert (taken(ledger), budget(ledger)) == ((400, 0), (400, 0))
    settled(ledger, run, 1, Usage("m", 100, 320))
    assert (taken(ledger), budget(ledger)) == ((420, 0), (420, 0))
    assert ledger.usage() == {"input": 100, "output": 320}


def test_reports_that_say_less_or_come_twice_or_late_change_nothing(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.call(run, 1)
    ledger.report(run, 1, CallState.OPEN, used=(Usage("m", 100, 150),))
    before = (dict(ledger.states), dict(ledger.balances), list(ledger.entries))

    for used in (Usage("m", 100, 150), Usage("m", 100, 20), Usage("m", 0, 150), Usage("m")):
        ledger.report(run, 1, CallState.OPEN, used=(used,))

    assert (ledger.states, ledger.balances, ledger.entries) == before


def test_of_each_category_and_model_the_most_that_was_said_counts(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.call(run, 1)
    ledger.report(run, 1, CallState.OPEN, used=(Usage("m", 100, 10), Usage("other", 5, 5)))

    settled(ledger, run, 1, Usage("m", 90, 30))

    found = {(entry.model, entry.category): 0 for entry in ledger.entries}
    for entry in ledger.entries:
        found[entry.model, entry.category] += entry.tokens
    assert found == {("m", "input"): 100, ("m", "output"): 30, ("other", "input"): 5, ("other", "output"): 5}


def test_use_that_names_no_model_is_of_the_calls_own(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.call(run, 1)

    settled(ledger, run, 1, Usage("", 100, 10))

    assert {entry.model for entry in ledger.entries} == {"m"}
    assert ledger.cost_micros() == 125


def test_the_cost_of_a_call_is_rounded_up_once_however_it_is_split(ledger: Ledger) -> None:
    ledger.price_rows = [
        PriceRow(model="m", category=category, usd_micros_per_million=400_000)
        for category in ("cache_read", "input", "output")
    ]
    run = started(ledger)
    ledger.call(run, 1)

    settled(ledger, run, 1, Usage("m", 1, 1, cache_read=1))

    assert {entry.category: entry.usd_micros for entry in ledger.entries} == {"cache_read": 1, "input": 0, "output": 1}


def test_a_category_without_a_price_costs_what_the_dearest_does_and_is_told(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.call(run, 1)

    settled(ledger, run, 1, Usage("m", 100, 10, audio=4))

    assert ledger.cost_micros() == 135
    assert {entry.category: entry.unpriced for entry in ledger.entries} == {"audio": 4, "input": 0, "output": 0}


def test_use_of_another_model_is_paid_at_the_prices_of_that(ledger: Ledger) -> None:
    ledger.price_rows.append(PriceRow(model="dear", category="input", usd_micros_per_million=9_000_000))
    run = started(ledger)
    ledger.call(run, 1)

    settled(ledger, run, 1, Usage("m", 100), Usage("dear", 10))

    assert ledger.cost_micros() == 190


def test_use_is_counted_for_the_job_its_flow_its_tenant_and_its_minute(ledger: Ledger) -> None:
    run = started(ledger, flow="f", tenant="a")
    ledger.call(run, 1)

    settled(ledger, run, 1, Usage("m", 1))

    (entry,) = ledger.entries
    minute_ms = ledger.now_ms // 60_000 * 60_000
    owner = entry.owner
    assert (owner.job_id, owner.flow, owner.tenant, owner.minute_ms) == ("job", "f", "a", minute_ms)


def test_a_settled_call_teaches_its_task_and_model(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.call(run, 1)

    settled(ledger, run, 1, Usage("m", 100, 30, cache_read=50, reasoning=5))

    known = ledger.known["t", "m"]
    assert (known.input, known.inputs, known.output, known.outputs) == (150_000, 1, 35_000, 1)


def test_what_the_provider_says_is_left_lowers_a_limit(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.call(run, 1)

    told = Remaining(limit="gpt", tokens=1_000, requests=70)
    ledger.report(run, 1, CallState.SETTLED, used=(Usage("m", 100),), remaining=(told,))

    assert (ledger.left("gpt").tokens, asked(ledger)) == (1_000 * SUB, 1)


def test_a_limit_without_refund_keeps_what_was_not_used(ledger: Ledger) -> None:
    ledger.put(tokens(6_000, charge=Charge.MAX, refund=False))
    run = started(ledger)
    ledger.call(run, 1)

    settled(ledger, run, 1, Usage("m", 100, 10))

    assert taken(ledger) == (200, 0)


def test_a_report_tells_of_a_request_to_stop(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.jobs["job"] = replace(ledger.jobs["job"], cancel_requested_at_ms=5)

    assert ledger.report(run, 0, CallState.OPEN) == Reported(cancel_requested=True)


# The end of a run.


def test_a_handler_that_calls_by_itself_is_settled_with_what_it_reported(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.report(run, 0, CallState.OPEN, used=(Usage("m", 50, 60),))

    ledger.settle(run)

    assert (taken(ledger), budget(ledger), ledger.usage()) == ((110, 0), (110, 0), {"input": 50, "output": 60})
    assert ledger.known["t", "m"].inputs == 1


@pytest.mark.parametrize("outcome", [DONE, Died(ERROR), Sleeping("k", 5)])
def test_of_a_handler_that_says_nothing_the_estimate_is_counted_and_marked(ledger: Ledger, outcome: Outcome) -> None:
    run = started(ledger)

    ledger.settle(run, outcome)

    assert (taken(ledger), budget(ledger)) == ((300, 0), (300, 0))
    assert {entry.category: (entry.tokens, entry.estimated) for entry in ledger.entries} == {
        "input": (100, 100),
        "output": (200, 200),
    }
    assert not ledger.known


@pytest.mark.parametrize("outcome", [Released(), Deferred(ERROR, 5), Held(reason=HeldFor.BUDGET, by="b")])
def test_a_run_that_gives_its_job_back_has_sent_nothing(ledger: Ledger, outcome: Outcome) -> None:
    run = started(ledger)

    ledger.settle(run, outcome)

    assert (taken(ledger), asked(ledger), budget(ledger), ledger.usage()) == ((0, 0), 0, (0, 0), {})


def test_what_was_reported_of_a_run_that_gives_its_job_back_is_counted(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.report(run, 0, CallState.OPEN, used=(Usage("m", 50, 60),))

    ledger.settle(run, Released())

    assert (taken(ledger), budget(ledger)) == ((110, 0), (110, 0))


def test_once_a_job_has_opened_a_call_what_no_call_adopts_was_never_sent(ledger: Ledger) -> None:
    run = started(ledger, opened_calls=True)

    ledger.settle(run)

    assert (taken(ledger), budget(ledger), ledger.usage()) == ((0, 0), (0, 0), {})


def test_the_reservation_that_a_call_has_adopted_counts_nothing_at_the_end(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.call(run, 1)
    settled(ledger, run, 1, Usage("m", 90, 20))

    ledger.settle(run)

    assert (taken(ledger), budget(ledger), ledger.usage()) == ((110, 0), (110, 0), {"input": 90, "output": 20})


def test_what_is_reported_beside_the_calls_is_counted_too(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.call(run, 1)
    settled(ledger, run, 1, Usage("m", 90, 20))

    ledger.report(run, 0, CallState.OPEN, used=(Usage("m", 10, 5),))
    ledger.settle(run)

    assert (taken(ledger), budget(ledger), ledger.usage()) == ((125, 0), (125, 0), {"input": 100, "output": 25})


def test_calls_that_are_open_at_the_end_are_settled_with_what_was_said_or_estimated(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.call(run, 1)
    ledger.call(run, 2, input=10, max_output=20, model="m")
    ledger.report(run, 1, CallState.OPEN, used=(Usage("m", 100, 40),))

    ledger.settle(run)

    assert (taken(ledger), budget(ledger)) == ((170, 0), (170, 0))
    assert sum(entry.estimated for entry in ledger.entries) == 30
    assert ledger.jobs["job"].opened_calls


def test_a_job_that_only_takes_its_turn_has_used_nothing(ledger: Ledger) -> None:
    ledger.put(LimitSpec(name="gpu", concurrency=1))
    run = ledger.start(limits=("gpu",))

    ledger.settle(run)

    assert ledger.entries == []
    assert ledger.left("gpu").running == 0


def test_a_guess_costs_no_more_than_was_reserved_by_it(ledger: Ledger) -> None:
    ledger.put(BudgetSpec(id="b", caps={"tokens": 7}))
    run = ledger.start(limits=("gpt",), budgets=("b",))
    ledger.call(run, 1)

    ledger.settle(run)

    assert budget(ledger) == (7, 0)


def test_a_job_that_calls_no_model_and_declared_nothing_costs_nothing_but_what_its_limits_took(ledger: Ledger) -> None:
    run = ledger.start(limits=("gpt",), budgets=("b",))

    ledger.settle(run)

    assert (taken(ledger), asked(ledger), budget(ledger)) == ((2_000, 0), 1, (0, 0))
    assert (ledger.entries, ledger.known) == ([], {})


def test_the_start_of_a_job_counts_against_its_queues_rate_whatever_becomes_of_it(ledger: Ledger) -> None:
    ledger.put(LimitSpec(name="queue:default", requests=60, burst_ms=60_000))
    full(ledger, "queue:default")
    left = ledger.left("queue:default").requests
    run = started(ledger)
    ledger.call(run, 1)
    ledger.settle(run, Released())
    ledger.settle(started(ledger, opened_calls=True))

    assert ledger.left("queue:default").requests == left - 2 * 1_000_000


def test_use_without_any_reservation_is_counted_and_spent(ledger: Ledger) -> None:
    ledger.put(BudgetSpec(id="tenant:a", caps={"tokens": 100}))
    run = ledger.start(tenant="a", resumes=True, opened_calls=True)

    ledger.report(run, 0, CallState.OPEN, used=(Usage("m", 5, 6),))
    ledger.settle(run)

    assert ledger.balances["tenant:a", 0].spent["tokens"] == 11
    assert (ledger.usage(), ledger.cost_micros()) == ({"input": 5, "output": 6}, 20)


def test_a_429_pauses_the_part_of_the_limit_that_it_is_about() -> None:
    ledger = Ledger()
    ledger.put(tokens(6_000, by="tenant"))

    closing.throttle(ledger, Throttle(limit="gpt", key="a", tokens=10, retry_after_ms=100))

    assert set(ledger.states) == {("gpt", "a")}
    assert ledger.left("gpt", "a").frozen_until_ms == ledger.now_ms + 100


def test_a_429_of_a_limit_that_is_not_stored_is_left_out() -> None:
    ledger = Ledger()

    closing.throttle(ledger, Throttle(limit="gpt"))

    assert ledger.states == {}


# Call 0, which ends with its run.


def test_a_report_that_closes_call_0_settles_what_it_has_and_keeps_its_unit(ledger: Ledger) -> None:
    ledger.put(LimitSpec(name="gpu", concurrency=1))
    run = ledger.start(limits=("gpt", "gpu"), budgets=("b",), estimate=SMALL)

    settled(ledger, run, 0, Usage("m", 50, 60))

    assert (taken(ledger), budget(ledger), ledger.left("gpu").running) == ((110, 0), (110, 0), 1)
    ledger.settle(run)
    assert (taken(ledger), budget(ledger), ledger.left("gpu").running) == ((110, 0), (110, 0), 0)
    assert ledger.usage() == {"input": 50, "output": 60}


def test_what_is_reported_of_call_0_after_that_is_counted_too(ledger: Ledger) -> None:
    run = started(ledger)
    settled(ledger, run, 0, Usage("m", 50, 60))

    settled(ledger, run, 0, Usage("m", 50, 100))
    ledger.settle(run)

    assert (taken(ledger), budget(ledger)) == ((150, 0), (150, 0))


def test_a_call_adopts_nothing_of_what_has_been_used(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.report(run, 0, CallState.OPEN, used=(Usage("m", 100, 50),))

    ledger.call(run, 1, input=10, max_output=20)
    ledger.settle(run)

    assert (taken(ledger), budget(ledger)) == ((180, 0), (180, 0))


def test_a_repeated_word_that_call_0_was_refused_for_its_rate_pauses_its_limits_once(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.report(run, 0, CallState.THROTTLED, retry_after_ms=500)
    before = dict(ledger.states)

    ledger.report(run, 0, CallState.THROTTLED, retry_after_ms=500)

    assert ledger.states == before
    assert (taken(ledger)[1], budget(ledger)) == (0, (0, 0))


def test_where_nobody_says_what_call_0_used_the_end_of_the_run_decides(ledger: Ledger) -> None:
    run = started(ledger)

    settled(ledger, run, 0)
    assert (taken(ledger), ledger.entries) == ((100, 200), [])
    ledger.settle(run)

    assert (taken(ledger), ledger.usage()) == ((300, 0), {"input": 100, "output": 200})
