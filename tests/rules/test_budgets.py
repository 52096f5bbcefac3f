"""What a budget holds, spends and gives back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from aiq import bounds
from aiq.errors import InvalidInput
from aiq.model import BudgetSpec, BudgetState, Draw, Need, OnExceeded, Usage, Window, none
from aiq.rules import budgets
from aiq.testing.marks import clause

PRICES = {"input": 2_500_000, "output": 10_000_000}
SPEC = BudgetSpec(id="b", caps={"tokens": 1_000})
NEED = Need(input=100, output=50, max_output=400)
HELD = {"tokens": 500, "tokens.input": 100, "tokens.output": 400, "usd_micros": 4_250}
DRAW = Draw(budget="b", window_ms=0, held=HELD)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant_ms(day: datetime) -> int:
    return (day - EPOCH) // timedelta(milliseconds=1)


@clause("BUDGET-2")
def test_a_call_reserves_its_input_and_the_most_output_that_it_may_ask_for() -> None:
    assert budgets.amounts(SPEC, NEED, PRICES) == HELD
    weighted = structs.replace(SPEC, weights={"output": 2_500})
    assert budgets.amounts(weighted, NEED, PRICES)["tokens"] == 100 + 1_000


@clause("BUDGET-2")
def test_a_dispatch_reserves_at_least_one_of_each_amount_that_has_a_cap() -> None:
    spec = structs.replace(SPEC, caps={"tokens": 5, "usd_micros": 5, "tokens.reasoning": 5})

    least = {"tokens": 1, "tokens.reasoning": 1, "usd_micros": 1}
    assert budgets.amounts(spec, Need(declared=False), {}) == least
    assert budgets.amounts(spec, Need(input=1), {}) == {**least, "tokens.input": 1}
    assert budgets.amounts(spec, Need(), {}) == {}, "declared to be none"


@clause("BUDGET-3")
def test_what_was_used_counts_in_tokens_in_money_and_by_category() -> None:
    used = [Usage("m", input=10, reasoning=4), Usage("n", input=5, output=20)]

    assert budgets.amounts_used(SPEC, used, PRICES) == {
        "tokens": 39,
        "tokens.input": 15,
        "tokens.output": 20,
        "tokens.reasoning": 4,
        "usd_micros": 278,
    }
    assert budgets.amounts_used(SPEC, used, PRICES, usd_micros=7)["usd_micros"] == 7


@clause("BUDGET-1")
def test_exactly_equal_is_granted_and_one_more_is_not() -> None:
    state = BudgetState(spent={"tokens": 300}, held={"tokens": 200})

    assert budgets.room(SPEC, state) == {"tokens": 500}
    assert budgets.fits(SPEC, state, {"tokens": 500, "usd_micros": 10**9})
    assert not budgets.fits(SPEC, state, {"tokens": 501})


@clause("BUDGET-10")
def test_what_was_granted_adds_to_a_cap() -> None:
    state = BudgetState(spent={"tokens": 1_000}, granted={"tokens": 10})

    assert budgets.room(SPEC, state) == {"tokens": 10}


@clause("BUDGET-6")
def test_nothing_is_granted_over_a_cap_that_was_lowered() -> None:
    state = BudgetState(spent={"tokens": 1_500})

    assert budgets.room(SPEC, state) == {"tokens": -500}
    assert not budgets.fits(SPEC, state, {"usd_micros": 1})


@clause("BUDGET-8")
@pytest.mark.parametrize(("spent", "largest"), [(0, 400), (500, 400), (501, 399), (899, 1), (900, 0), (901, -1)])
def test_the_most_output_that_fits_is_found(spent: int, largest: int) -> None:
    assert budgets.largest_output(SPEC, BudgetState(spent={"tokens": spent}), NEED, PRICES) == largest


@given(st.integers(0, 9_000), st.integers(0, 400), st.integers(0, 3_000))
def test_the_most_output_fits_and_one_more_does_not(usd_micros: int, most: int, weight: int) -> None:
    spec = BudgetSpec(id="b", caps={"usd_micros": usd_micros, "tokens": 700}, weights={"output": weight})
    asked = structs.replace(NEED, max_output=most)
    largest = budgets.largest_output(spec, BudgetState(), asked, PRICES)

    def fits(output: int) -> bool:
        return budgets.fits(
            spec, BudgetState(), budgets.amounts(spec, structs.replace(asked, max_output=output), PRICES)
        )

    assert largest == -1 or fits(largest)
    assert largest == most or not fits(largest + 1)


@clause("BUDGET-3")
def test_a_settlement_gives_back_what_was_held_and_spends_what_was_used() -> None:
    state = budgets.drawn(BudgetState(spent={"tokens": 7}), HELD)
    used = {"tokens": 120, "tokens.input": 100, "tokens.output": 20, "usd_micros": 450}

    settled = budgets.settled(state, DRAW, used)

    assert state.held == HELD
    assert settled == BudgetState(spent=used | {"tokens": 127}, held={})


@clause("BUDGET-5")
def test_a_call_that_was_never_sent_leaves_a_budget_as_it_was() -> None:
    before = BudgetState(spent={"tokens": 7})

    assert budgets.returned(budgets.drawn(before, HELD), DRAW) == before


@clause("BUDGET-4")
def test_a_lost_run_spends_all_that_it_held_until_it_is_corrected() -> None:
    lost = budgets.spent_in_full(budgets.drawn(BudgetState(), HELD), DRAW)
    kept = structs.replace(DRAW, held=none(), spent=budgets.total(DRAW.spent, DRAW.held))

    assert lost == BudgetState(spent=HELD, held={})
    assert budgets.settled(lost, kept, {"tokens": 30}).spent == {"tokens": 30}


def test_use_so_far_moves_what_is_held_into_what_is_spent() -> None:
    state, draw = budgets.drawn(BudgetState(), {"tokens": 500}), Draw(budget="b", window_ms=0, held={"tokens": 500})

    state, draw = budgets.reported(state, draw, {"tokens": 120})
    assert (state.held, state.spent) == ({"tokens": 380}, {"tokens": 120})
    assert budgets.reported(state, draw, {"tokens": 90}) == (state, draw), "less than before changes nothing"
    state, draw = budgets.reported(state, draw, {"tokens": 700})
    assert (state.held, state.spent) == ({}, {"tokens": 700})
    assert budgets.settled(state, draw, {"tokens": 710}).spent == {"tokens": 710}


def test_names_of_categories_cannot_make_a_budget_grow_without_bound() -> None:
    state = BudgetState()
    for number in range(200):
        used = budgets.amounts_used(SPEC, [Usage(input=1, **{f"c{number}": 1})], {})
        state = budgets.settled(state, Draw(budget="b", window_ms=0, held={"tokens.c199": 1}), used)

    assert state.spent["tokens"] == 400
    assert state.spent["tokens.c199"] == 1, "what has a cap is always counted"
    assert len(state.spent) == 2 * bounds.MAX_CATEGORIES + 1


@clause("BUDGET-7")
@pytest.mark.parametrize(
    ("window", "now", "start", "end"),
    [
        (
            "day",
            datetime(2024, 2, 29, 23, 59, tzinfo=UTC),
            datetime(2024, 2, 29, tzinfo=UTC),
            datetime(2024, 3, 1, tzinfo=UTC),
        ),
        (
            "month",
            datetime(2024, 2, 29, 23, 59, tzinfo=UTC),
            datetime(2024, 2, 1, tzinfo=UTC),
            datetime(2024, 3, 1, tzinfo=UTC),
        ),
        (
            "month",
            datetime(2023, 12, 31, tzinfo=UTC),
            datetime(2023, 12, 1, tzinfo=UTC),
            datetime(2024, 1, 1, tzinfo=UTC),
        ),
        ("month", datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)),
    ],
)
def test_windows_begin_with_days_and_months_in_utc(
    window: Window, now: datetime, start: datetime, end: datetime
) -> None:
    assert budgets.window_start(window, instant_ms(now)) == instant_ms(start)
    assert budgets.window_end(window, instant_ms(now)) == instant_ms(end)


@given(st.integers(0, instant_ms(datetime(9999, 11, 30, tzinfo=UTC))))
def test_months_are_those_of_the_calendar(now_ms: int) -> None:
    now = EPOCH + timedelta(milliseconds=now_ms)
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = first.replace(year=now.year + now.month // 12, month=now.month % 12 + 1)

    assert budgets.window_start("month", now_ms) == instant_ms(first)
    assert budgets.window_end("month", now_ms) == instant_ms(following)


def test_a_budget_without_windows_never_begins_anew_and_far_instants_have_months_too() -> None:
    assert (budgets.window_start(None, 77), budgets.window_end(None, 77)) == (0, None)
    end_ms = budgets.window_end("month", bounds.MAX_INSTANT_MS)
    assert end_ms is not None
    assert 0 < end_ms - budgets.window_start("month", bounds.MAX_INSTANT_MS) <= 31 * 86_400_000


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"parent": ""},
        {"parent": "b"},
        {"caps": {"euros": 1}},
        {"caps": {"tokens.": 1}},
        {"caps": {"tokens": -1}},
        {"caps": {"usd_micros": 0.5}},
        {"caps": {"usd_micros": float("nan")}},
        {"caps": {"tokens": bounds.MAX_MONEY + 1}},
        {"caps": {f"tokens.c{number}": 1 for number in range(33)}},
        {"weights": {"output": -1}},
        {"window": "week"},
        {"on_exceeded": "explode"},
    ],
    ids=str,
)
def test_a_budget_with_a_bad_figure_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        budgets.check_budget(structs.replace(SPEC, **change))


def test_a_budget_passes_at_its_bounds() -> None:
    caps = {"tokens": 0, "usd_micros": bounds.MAX_MONEY, "tokens.cache_read": 1}
    budgets.check_budget(
        BudgetSpec(id="tenant:é x", parent="p", caps=caps, window="month", on_exceeded=OnExceeded.FAIL)
    )
    budgets.check_budget(BudgetSpec(id="b"))
