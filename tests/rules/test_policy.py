"""Durations, instants and bands, as users write them."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from aiq.errors import InvalidInput, InvalidName
from aiq.model import Band
from aiq.policy import Retry, Signal, band_of, duration_ms, instant_ms


@pytest.mark.parametrize(
    ("written", "ms"),
    [(0, 0), (1, 1000), (0.25, 250), (2.3, 2300), (timedelta(minutes=2), 120_000), (1e-9, 1), (0.0004, 1)],
)
def test_durations_are_seconds_or_timedeltas_and_kept_in_milliseconds(written: float | timedelta, ms: int) -> None:
    assert duration_ms("delay", written) == ms


@pytest.mark.parametrize("written", [-1, -0.01, float("nan"), float("inf"), timedelta(days=367)])
def test_a_duration_out_of_range_is_refused_by_its_name(written: float | timedelta) -> None:
    with pytest.raises(InvalidInput, match=r"^delay is "):
        duration_ms("delay", written)


@pytest.mark.parametrize("written", ["3", None, [3], 10**400, 3j])
def test_what_is_no_duration_is_refused_with_what_to_pass(written: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^delay is .*; pass seconds as a number, or a timedelta\.$"):
        duration_ms("delay", written)


def test_an_instant_is_the_same_in_every_time_zone() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)

    assert instant_ms("at", noon) == instant_ms("at", noon.astimezone(timezone(timedelta(hours=9)))) == 1767268800000


def test_an_instant_without_a_time_zone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="time zone"):
        instant_ms("at", datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize("written", ["2026-01-01T00:00:00Z", 1767268800, date(2026, 1, 1)])
def test_what_is_no_instant_is_refused_with_what_to_pass(written: Any) -> None:
    with pytest.raises(InvalidInput, match="pass a datetime with a time zone"):
        instant_ms("at", written)


def test_bands_have_names() -> None:
    assert [band_of(name) for name in ("interactive", "high", "normal", "batch")] == list(Band)
    assert band_of(Band.HIGH) is Band.HIGH


def test_an_unknown_band_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InvalidInput, match="interactive, high, normal, batch"):
        band_of("urgent")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "two words", "-first", "a/b", "é", "x" * 129, bool])
def test_a_signal_with_a_name_outside_the_alphabet_is_refused(name: Any) -> None:
    with pytest.raises(InvalidName):
        Signal(name, bool)


def test_exceptions_are_named_one_by_one_or_in_any_collection() -> None:
    assert Retry(on=ValueError).on == Retry(on=[ValueError]).on == Retry(on={ValueError}).on == (ValueError,)
    assert Retry(never=KeyError).never == (KeyError,)
    assert (Retry().on, Retry().never) == ((Exception,), ())


@pytest.mark.parametrize("on", ["ValueError", ValueError("x"), (ValueError, "KeyError"), int, None])
def test_what_is_no_exception_class_is_refused_with_what_to_pass(on: Any) -> None:
    with pytest.raises(InvalidInput, match=r"on has .*; name exception classes: Retry\(on=\(TimeoutError, OSError\)\)"):
        Retry(on=on)
    with pytest.raises(InvalidInput, match=r"^never has "):
        Retry(never=on)


@pytest.mark.parametrize("attempts", ["3", 2.5, None, 0, 1_001])
def test_attempts_are_a_whole_number(attempts: Any) -> None:
    with pytest.raises(InvalidInput, match="is a whole number from 1 to 1,000"):
        Retry(attempts=attempts)


def test_a_policy_is_a_value() -> None:
    assert Retry(attempts=5) == Retry(attempts=5) != Retry(attempts=4)
    with pytest.raises(AttributeError):
        Retry().attempts = 4  # type: ignore[misc]
