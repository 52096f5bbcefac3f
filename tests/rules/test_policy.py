"""Durations, instants and bands, as users write them."""

from datetime import UTC, datetime, timedelta, timezone

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


def test_an_instant_is_the_same_in_every_time_zone() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)

    assert instant_ms("at", noon) == instant_ms("at", noon.astimezone(timezone(timedelta(hours=9)))) == 1767268800000


def test_an_instant_without_a_time_zone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="time zone"):
        instant_ms("at", datetime(2026, 1, 1))  # noqa: DTZ001


def test_bands_have_names() -> None:
    assert [band_of(name) for name in ("interactive", "high", "normal", "batch")] == list(Band)
    assert band_of(Band.HIGH) is Band.HIGH


def test_an_unknown_band_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InvalidInput, match="interactive, high, normal, batch"):
        band_of("urgent")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "two words", "-first", "a/b", "é", "x" * 129])
def test_a_signal_with_a_name_outside_the_alphabet_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        Signal(name, bool)


def test_a_policy_is_a_value() -> None:
    assert Retry(attempts=5) == Retry(attempts=5) != Retry(attempts=4)
    with pytest.raises(AttributeError):
        Retry().attempts = 4  # type: ignore[misc]
