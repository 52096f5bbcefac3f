"""Sharing out what was used for several jobs together."""

from hypothesis import given
from hypothesis import strategies as st

from aiq.model import Usage
from aiq.rules.sharing import shares


def test_shares_are_in_proportion_to_their_weights() -> None:
    assert shares(Usage("m", input=100, output=10), [1, 4, 5]) == [
        Usage("m", input=10, output=1),
        Usage("m", input=40, output=4),
        Usage("m", input=50, output=5),
    ]


def test_shares_are_even_where_nothing_weighs() -> None:
    assert [share.tokens.get("input", 0) for share in shares(Usage(input=7), [0, 0, 0])] == [2, 2, 3]


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.lists(st.integers(0, 10**6), min_size=1, max_size=64))
def test_shares_together_are_exactly_what_was_used(given_in: int, made: int, weights: list[int]) -> None:
    used = Usage("m", given_in, made, cache_read=given_in // 3)
    total = Usage("m")
    for share in shares(used, weights):
        total += share
    assert total == used


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**6), min_size=1, max_size=64))
def test_no_share_is_a_whole_token_off(count: int, weights: list[int]) -> None:
    whole = sum(weights)
    for share, weight in zip(shares(Usage(input=count), weights), weights, strict=True):
        if whole:
            assert abs(share.tokens.get("input", 0) * whole - count * weight) < whole
