"""What makes two failures the same."""

import json
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiq.model import Cause
from aiq.rules.fingerprints import OF_CAUSE, code_of, folded, place_of
from aiq.rules.retry import job_error


def raised(message: str, kind: type[Exception] = ValueError) -> Exception:
    try:
        raise kind(message)
    except Exception as error:  # noqa: BLE001 - whatever was asked for
        return error


def elsewhere(message: str) -> Exception:
    try:
        raise ValueError(message)
    except ValueError as error:
        return error


class ProviderError(Exception):
    def __init__(self, **told: Any) -> None:
        super().__init__("no")
        vars(self).update(told)


def print_of(error: Exception) -> str:
    return job_error(error).fingerprint


def test_every_cause_has_a_fingerprint_of_its_own() -> None:
    assert {OF_CAUSE[cause] for cause in Cause} == {OF_CAUSE[cause.value] for cause in Cause}
    assert len(set(OF_CAUSE.values())) == len(OF_CAUSE)
    assert all(len(name) == 32 for name in OF_CAUSE.values())


@pytest.mark.parametrize(
    ("message", "pattern"),
    [
        ("took 3.5 s of 12", "took <n> s of <n>"),
        ("no user 'u-17'", "no user '<id>'"),
        ('no "name" given', 'no "name" given'),
        ("request 550e8400-e29b-41d4-a716-446655440000", "request <id>"),
        ("at 0x7f3a and deadbeef01", "at <hex> and <hex>"),
        ("a facade added", "a facade added"),
        ("two\n  lines", "two lines"),
        ("", ""),
    ],
)
def test_what_differs_from_job_to_job_is_folded_out_of_a_message(message: str, pattern: str) -> None:
    assert folded(message) == pattern


NAMES = [
    f"{first}{last}" for first in ("ali", "bo", "cy", "dé", "O'") for last in map("".join, combinations("abcdefgh", 3))
]
OF_NAMES = (
    "{!r}",
    "no document {}.pdf",
    "user {}@x.com",
    "https://x.com/{}/q",
    '{{"name": "{}"}}',
    "can't read {!r}",
    "at /home/{}",
)


@pytest.mark.parametrize("message", ["no user {}", *OF_NAMES])
def test_failures_in_one_place_are_the_same_whatever_they_say(message: str) -> None:
    assert len({print_of(raised(message.format(name))) for name in NAMES}) == 1


@pytest.mark.parametrize("message", OF_NAMES)
def test_failures_without_a_place_that_differ_in_names_alone_are_the_same(message: str) -> None:
    assert len({print_of(ValueError(message.format(name))) for name in NAMES}) == 1


def test_a_name_that_is_cut_off_with_its_message_makes_no_group() -> None:
    assert print_of(KeyError("a" * 600)) == print_of(KeyError("b" * 700))


def test_failures_without_a_place_that_differ_in_numbers_alone_are_the_same() -> None:
    assert print_of(ValueError("no row 1")) == print_of(ValueError("no row 2"))


def test_failures_of_other_classes_and_places_are_not_the_same() -> None:
    prints = {print_of(raised("no row")), print_of(raised("no row", KeyError)), print_of(elsewhere("no row"))}

    assert len(prints) == 3


def test_failures_without_a_place_that_say_other_things_are_not_the_same() -> None:
    assert print_of(ValueError("no row 1")) != print_of(ValueError("no line 1"))


def test_groups_of_other_classes_are_not_the_same_and_groups_of_other_sizes_are() -> None:
    def print_of_all(*kinds: type[Exception]) -> str:
        return print_of(ExceptionGroup("unhandled", [raised("no row", kind) for kind in kinds]))

    assert print_of_all(ValueError, KeyError) == print_of_all(KeyError, ValueError, KeyError)
    assert print_of_all(ValueError, KeyError) != print_of_all(ValueError, OSError)


def test_failures_with_other_codes_of_their_provider_are_not_the_same() -> None:
    assert print_of(ProviderError(code="a")) != print_of(ProviderError(code="b"))
    assert code_of(ProviderError(status_code=429, code="quota", type="quota")) == "429/quota"
    assert code_of(ProviderError(code=None, type=True)) == ""


def test_a_provider_whose_code_cannot_be_asked_has_none() -> None:
    class Odd(Exception):
        @property
        def code(self) -> str:
            raise RuntimeError

    assert code_of(Odd()) == ""


def test_failures_that_differ_in_a_secret_alone_are_the_same() -> None:
    keys = ("sk-abcdefghijklmnopq", "sk-ABCDefghijklmnopqrstu", "sk-abc123def456ghi789jkl")

    assert len({print_of(ValueError(f"Incorrect API key provided: {key}.")) for key in keys}) == 1


@given(st.text("ab1 =:'-", max_size=24), st.text("ab1 =:'-", max_size=24))
def test_clearing_parts_nothing_that_folding_puts_together(one: str, two: str) -> None:
    for start in ("token=", "sk-", "no row "):
        if folded(start + one) == folded(start + two):
            assert print_of(ValueError(start + one)) == print_of(ValueError(start + two))


def test_the_pattern_of_a_failure_tells_no_secret() -> None:
    error = job_error(raised("bad key sk-abc123def456ghi789 at https://api.example/v1?key=abcdef"))

    assert error.pattern == "bad key [redacted] at https://api.example/v<n>?key=[redacted]"


def test_the_place_is_the_deepest_function_of_the_user() -> None:
    def parse() -> None:
        json.loads("{")

    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is the library's
        parse()

    assert place_of(caught.value).endswith("test_fingerprints:test_the_place_is_the_deepest_function_of_the_user.parse")


def test_an_error_that_nobody_raised_has_no_place() -> None:
    assert place_of(ValueError("no")) == ""


def test_a_group_of_errors_is_told_by_its_first() -> None:
    error = job_error(ExceptionGroup("unhandled", [raised("no row 1"), raised("no row 2")]))

    assert error.place.endswith(":raised")
    assert error.pattern == "ValueError: no row <n>; ValueError: no row <n>"
