"""What users write about how jobs run: retries, signals, durations and bands.

Durations are given in seconds or as a timedelta, and kept in whole milliseconds.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Generic, Literal, TypeAlias, TypeVar

from aiq import bounds
from aiq.errors import InvalidInput, InvalidName
from aiq.model import Band

T = TypeVar("T")

Duration: TypeAlias = float | timedelta
"""Seconds, as an int or a float, or a timedelta."""

BandName: TypeAlias = Literal["interactive", "high", "normal", "batch"]
"""The four priorities, most urgent first."""


@dataclass(frozen=True, slots=True, init=False)
class Retry:
    """How often a failed job is tried again, and after what wait.

    The wait before attempt n + 1 is drawn at random from nothing up to `first_delay` doubled n - 1 times,
    at most `max_delay`: spread out, so that a crowd that failed together does not come back together.

        Retry(attempts=5)                                       # four more tries after the first
        Retry(attempts=8, first_delay=0.5, max_delay=60)        # seconds, or timedeltas
        Retry(on=(RateLimited, TimeoutError))                   # any other exception kills the job at once
        Retry(never=BadPrompt)                                  # everything but this is tried again
        Retry(attempts=1)                                       # once, whatever happens

    `Fatal`, the other RunErrors and InvalidInput are never retried. A lease that expires counts as a failed attempt.

    Raises:
        InvalidInput: attempts outside 1..1000, a delay outside 0..366 days, or what is no exception class.
    Source: "full jitter", Marc Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015.
    """

    attempts: int
    first_delay_ms: int
    max_delay_ms: int
    on: tuple[type[BaseException], ...]
    never: tuple[type[BaseException], ...]

    def __init__(
        self,
        attempts: int = bounds.DEFAULT_ATTEMPTS,
        *,
        first_delay: Duration = 1.0,
        max_delay: Duration = 300.0,
        on: type[BaseException] | Iterable[type[BaseException]] = Exception,
        never: type[BaseException] | Iterable[type[BaseException]] = (),
    ) -> None:
        if not _is_whole(attempts, 1, bounds.MAX_ATTEMPTS):
            raise InvalidInput(
                f"attempts is {attempts!r}; it counts the first run too, and is a whole number from 1 to 1,000."
            )
        keep = partial(object.__setattr__, self)
        keep("attempts", attempts)
        keep("first_delay_ms", duration_ms("first_delay", first_delay))
        keep("max_delay_ms", duration_ms("max_delay", max_delay))
        keep("on", _classes("on", on))
        keep("never", _classes("never", never))


@dataclass(frozen=True, slots=True)
class Signal(Generic[T]):
    """A typed message that a job may wait for, known by its name.

        APPROVAL = aiq.Signal("approval", bool)

        approved = await ctx.wait_for(APPROVAL, timeout=3600)   # in the handler; parks the job
        await job.send(APPROVAL, True)                          # from anywhere

    A message that comes early is kept for the wait. `type` is a class that payloads may have: a builtin, an
    Enum, a dataclass, a msgspec Struct or a pydantic model.

    Raises:
        InvalidName: the name is outside the alphabet.
    """

    name: str
    type: type[T]

    def __post_init__(self) -> None:
        if not _is_name(self.name):
            raise InvalidName("signal", self.name)


def duration_ms(kind: str, value: Duration, *, low_ms: int = 0, high_ms: int = bounds.MAX_DELAY_MS) -> int:
    """Whole milliseconds of a duration, rounded; what is above zero stays above it. `kind` is for the message.

    Raises:
        InvalidInput: not a number of seconds, or outside low_ms..high_ms.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    try:
        finite = math.isfinite(seconds)
    except (TypeError, OverflowError):
        finite = False
    if not finite:
        raise InvalidInput(f"{kind} is {value!r}; pass seconds as a number, or a timedelta.")
    ms = round(seconds * 1000)
    if seconds > 0:
        ms = max(ms, 1)
    if not low_ms <= ms <= high_ms:
        low, high = low_ms / 1000, high_ms / 1000
        raise InvalidInput(f"{kind} is {seconds:,.12g} s; it must be from {low:g} s to {high:,.12g} s.")
    return ms


def lease_ms_of(value: Duration) -> int:
    """A lease in milliseconds: 10 ms to 24 h."""
    return duration_ms("lease", value, low_ms=bounds.MIN_LEASE_MS, high_ms=bounds.MAX_LEASE_MS)


def timeout_ms_of(value: Duration) -> int:
    """A time-out of one run in milliseconds, above nothing."""
    return duration_ms("timeout", value, low_ms=1)


def instant_ms(kind: str, value: datetime) -> int:
    """An aware datetime as whole milliseconds since 1970 UTC.

    Raises:
        InvalidInput: it is no datetime, or has no time zone, so nobody can tell which instant it means.
    """
    if not _is_aware(value):
        raise InvalidInput(f"{kind} is {value!r}; pass a datetime with a time zone: datetime.now(UTC) + ….")
    return round(value.timestamp() * 1000)


def band_of(value: BandName | Band) -> Band:
    """The band of a name.

    Raises:
        InvalidInput: there is no such band.
    """
    if isinstance(value, Band):
        return value
    named = {band.name.lower(): band for band in Band}
    if value not in named:
        raise InvalidInput(f"band is {value!r}; the bands are {', '.join(named)}.")
    return named[value]


# What follows takes any object: what a type checker has not seen is only told at run time.


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and low <= value <= high


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bounds.NAME.fullmatch(value) is not None


def _is_aware(value: object) -> bool:
    return isinstance(value, datetime) and value.utcoffset() is not None


def _classes(kind: str, given: object) -> tuple[type[BaseException], ...]:
    classes = tuple(given) if isinstance(given, Iterable) else (given,)
    for one in classes:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise InvalidInput(f"{kind} has {one!r}; name exception classes: Retry({kind}=(TimeoutError, OSError)).")
    return classes
