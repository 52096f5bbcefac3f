"""What a lost run is charged, and what a late report corrects of it."""

import pytest

from aiq.errors import LeaseLost
from aiq.model import Admitted, BudgetSpec, CallState, Reported, Usage
from tests.rules.ledger import Ledger
from tests.rules.meters import asked, budget, settled, started, stocked, taken


@pytest.fixture
def ledger() -> Ledger:
    return stocked()


def test_when_a_lease_is_revoked_all_that_its_calls_took_or_held_is_charged(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.call(run, 1)
    ledger.call(run, 2, input=10, max_output=20, model="m")

    ledger.revoke(run)

    assert (taken(ledger), budget(ledger)) == ((330, 0), (330, 0))
    assert sum(entry.estimated for entry in ledger.entries) == 330


def test_a_late_settlement_corrects_the_ledger_once(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.call(run, 1)
    ledger.revoke(run)
    job = ledger.jobs["job"]

    assert settled(ledger, run, 1, Usage("m", 90, 20)) == Reported(late=True)
    assert (taken(ledger), budget(ledger), ledger.usage()) == ((110, 0), (110, 0), {"input": 90, "output": 20})
    assert settled(ledger, run, 1, Usage("m", 900, 200)) == Reported(late=True)
    assert (taken(ledger), budget(ledger)) == ((110, 0), (110, 0))
    assert (sum(entry.estimated for entry in ledger.entries), ledger.cost_micros()) == (0, 140)
    assert (ledger.jobs["job"], ledger.known) == (job, {})


def test_a_late_settlement_goes_beyond_what_was_charged_if_more_was_used(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.revoke(run)

    settled(ledger, run, 0, Usage("m", 100, 400))

    assert (taken(ledger), budget(ledger)) == ((500, 0), (500, 0))


def test_a_late_word_that_a_call_was_never_sent_gives_back_everything(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.revoke(run)

    ledger.report(run, 0, CallState.UNSENT)

    assert (taken(ledger), asked(ledger), budget(ledger), ledger.usage()) == ((0, 0), 0, (0, 0), {})
    assert ledger.cost_micros() == 0


def test_a_late_settlement_corrects_what_was_reported_before_the_lease_was_lost(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.report(run, 0, CallState.OPEN, used=(Usage("m", 100, 50),))
    ledger.revoke(run)
    assert (taken(ledger), budget(ledger), ledger.usage()) == ((300, 0), (300, 0), {"input": 100, "output": 50})

    settled(ledger, run, 0, Usage("m", 100, 60))

    assert (taken(ledger), budget(ledger), ledger.usage()) == ((160, 0), (160, 0), {"input": 100, "output": 60})


def test_use_so_far_says_nothing_of_a_run_that_is_lost(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.revoke(run)

    assert ledger.report(run, 0, CallState.OPEN, used=(Usage("m", 1, 1),)) == Reported(late=True)
    assert taken(ledger) == (300, 0)


def test_a_report_that_comes_after_an_estimate_takes_its_place(ledger: Ledger) -> None:
    run = started(ledger)
    ledger.call(run, 1)
    ledger.report(run, 1, CallState.SETTLED)
    assert ledger.usage() == {"input": 100, "output": 200}

    settled(ledger, run, 1, Usage("m", 90, 20))

    assert (taken(ledger), budget(ledger), ledger.usage()) == ((110, 0), (110, 0), {"input": 90, "output": 20})
    assert sum(entry.estimated for entry in ledger.entries) == 0


def test_a_lost_run_that_had_reserved_nothing_may_not_report(ledger: Ledger) -> None:
    run = ledger.start()
    ledger.revoke(run)

    answer = settled(ledger, run, 0, Usage("m", 1, 1))

    assert isinstance(answer, LeaseLost)
    assert ledger.entries == []


def test_a_late_settlement_counts_in_the_window_in_which_the_call_was_admitted(ledger: Ledger) -> None:
    ledger.put(BudgetSpec(id="b", caps={"tokens": 5_000}, window="day"))
    run = started(ledger)
    ledger.now_ms += 24 * 3_600_000
    ledger.revoke(run)

    settled(ledger, run, 0, Usage("m", 1, 1))

    assert {window: dict(state.spent)["tokens"] for (_, window), state in ledger.balances.items()} == {0: 2}


def test_a_call_that_adopts_on_the_next_day_draws_from_that_day(ledger: Ledger) -> None:
    ledger.put(BudgetSpec(id="b", caps={"tokens": 5_000}, window="day"))
    run = started(ledger)
    ledger.now_ms += 24 * 3_600_000

    assert isinstance(ledger.call(run, 1), Admitted)

    day = 24 * 3_600_000
    assert {window: dict(state.held) for (_, window), state in ledger.balances.items()}[0] == {}
    assert ledger.balances["b", day].held["tokens"] == 300
