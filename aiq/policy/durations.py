"""Times as users write them: durations in seconds or as a timedelta, instants with a time zone. Kept in whole ms."""

import math
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from aiq import bounds
from aiq.errors import InvalidInput

Duration: TypeAlias = float | timedelta
"""Seconds, as an int or a float, or a timedelta."""


def duration_ms(kind: str, value: Duration, *, low_ms: int = 0, high_ms: int = bounds.MAX_DELAY_MS) -> int:
    """Whole milliseconds of a duration, rounded; what is above zero stays above it. `kind` is for the message.

    Raises:
        InvalidInput: not a number of seconds, or outside low_ms..high_ms.
    """
    seconds = seconds_of(kind, value)
    if not math.isfinite(seconds):
        raise _no_duration(kind, value)
    ms = round(seconds * 1000)
    if seconds > 0:
        ms = max(ms, 1)
    if not low_ms <= ms <= high_ms:
        low, high = low_ms / 1000, high_ms / 1000
        raise InvalidInput(f"{kind} is {seconds:,.12g} s; it must be from {low:g} s to {high:,.12g} s.")
    return ms


def seconds_of(kind: str, value: Duration) -> float:
    """The seconds of a duration, however long, also where they are no time: a provider may say what it likes.

    Raises:
        InvalidInput: no number that Python can reckon with as a float.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    try:
        math.isfinite(seconds)
    except (TypeError, OverflowError) as error:
        raise _no_duration(kind, value) from error
    return seconds


def _no_duration(kind: str, value: object) -> InvalidInput:
    return InvalidInput(f"{kind} is {value!r:.100}; pass seconds as a number, or a timedelta.")


def lease_ms_of(value: Duration) -> int:
    """A lease in milliseconds: 10 ms to 24 h."""
    return duration_ms("lease", value, low_ms=bounds.MIN_LEASE_MS, high_ms=bounds.MAX_LEASE_MS)


def timeout_ms_of(value: Duration) -> int:
    """A time-out of one run in milliseconds, above nothing."""
    return duration_ms("timeout", value, low_ms=1)


def max_deferral_ms_of(value: Duration) -> int:
    """How long rate limits alone may give a job back, in milliseconds; with nothing its first deferral is its last."""
    return duration_ms("max_deferral", value)


def instant_ms(kind: str, value: datetime) -> int:
    """An aware datetime as whole milliseconds since 1970 UTC.

    Raises:
        InvalidInput: it is no datetime, or has no time zone, so nobody can tell which instant it means.
    """
    if not _is_aware(value):
        raise InvalidInput(f"{kind} is {value!r}; pass a datetime with a time zone: datetime.now(UTC) + ….")
    return round(value.timestamp() * 1000)


def instant_of(ms: int) -> datetime:
    """Milliseconds since 1970 as a datetime in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


# Takes any object: what a type checker has not seen is only told at run time.
def _is_aware(value: object) -> bool:
    return isinstance(value, datetime) and value.utcoffset() is not None
