"""Numbers as people read them."""

from decimal import Decimal

import pytest

from aiq.policy import counted, money


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        ("0", "$0.00"),
        ("2.5", "$2.50"),
        ("1234567.891", "$1,234,567.891"),
        ("0.000001", "$0.000001"),
        ("1E+3", "$1,000.00"),
        ("0.000000", "$0.00"),
        ("-0.015", "-$0.015"),
    ],
)
def test_money_is_told_exactly_and_with_cents_at_least(usd: str, text: str) -> None:
    assert money(Decimal(usd)) == text


def test_one_of_a_thing_is_no_plural() -> None:
    assert [counted(number, "token") for number in (0, 1, 2_000)] == ["0 tokens", "1 token", "2,000 tokens"]
