"""What tokens cost."""

from typing import Any

import pytest

from aiq import bounds
from aiq.errors import InvalidInput
from aiq.model import PriceRow
from aiq.rules.prices import check_price, cost, in_force
from aiq.testing.marks import clause

PRICES = {"input": 2_500_000, "output": 10_000_000}


@clause("USAGE-5")
@pytest.mark.parametrize(
    ("tokens", "usd_micros"),
    [
        ({}, 0),
        ({"input": 1_000_000}, 2_500_000),
        ({"input": 980, "output": 800}, 2_450 + 8_000),
        ({"input": 1}, 3),
        ({"input": 1, "output": 1}, 13),
        ({"input": 3, "output": 0}, 8),
    ],
)
def test_the_cost_of_a_call_is_rounded_up_once(tokens: dict[str, int], usd_micros: int) -> None:
    assert cost(tokens, PRICES) == (usd_micros, 0)


@clause("USAGE-9")
def test_a_category_without_a_price_costs_what_the_dearest_does_and_is_told() -> None:
    assert cost({"input": 100, "thoughts": 100}, PRICES) == (250 + 1_000, 100)
    assert cost({"input": 100}, {}) == (0, 100)


def test_a_cost_stays_within_what_a_budget_counts() -> None:
    assert cost({"input": 10**12}, {"input": bounds.MAX_MONEY}) == (bounds.MAX_MONEY, 0)


@clause("USAGE-6", "USAGE-7")
def test_the_newest_price_that_has_begun_is_in_force() -> None:
    rows = [
        PriceRow(model="m", category="input", usd_micros_per_million=3, from_ms=200),
        PriceRow(model="m", category="input", usd_micros_per_million=2, from_ms=100),
        PriceRow(model="m", category="input", usd_micros_per_million=1),
        PriceRow(model="m", category="output", usd_micros_per_million=9, from_ms=200),
    ]

    assert [in_force(rows, now_ms) for now_ms in (99, 100, 199)] == [{"input": 1}, {"input": 2}, {"input": 2}]
    assert in_force(rows, 200) == {"input": 3, "output": 9}


@pytest.mark.parametrize(
    "change",
    [
        {"model": ""},
        {"category": "no category"},
        {"usd_micros_per_million": -1},
        {"usd_micros_per_million": 2.5},
        {"usd_micros_per_million": bounds.MAX_MONEY + 1},
        {"from_ms": -1},
        {"from_ms": bounds.MAX_INSTANT_MS + 1},
    ],
    ids=str,
)
def test_a_price_with_a_bad_figure_is_refused(change: dict[str, Any]) -> None:
    right: dict[str, Any] = {"model": "m", "category": "input", "usd_micros_per_million": 0}
    check_price(PriceRow(**right))
    with pytest.raises(InvalidInput):
        check_price(PriceRow(**right | change))
