"""What became of one run of a job, as a value."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from aiq.model.job import JobError


@dataclass(frozen=True, slots=True)
class Succeeded:
    """It returned. T5."""

    result: bytes


@dataclass(frozen=True, slots=True)
class Retried:
    """It failed and may try again after `delay_ms`; the store makes it dead when no attempt is left. T6."""

    error: JobError
    delay_ms: int


@dataclass(frozen=True, slots=True)
class Died:
    """It failed, and no attempt can help. T7."""

    error: JobError


@dataclass(frozen=True, slots=True)
class Cancelled:
    """It heeded a cancel. T16."""


@dataclass(frozen=True, slots=True)
class Released:
    """It is given back unharmed: no failure is counted, and it goes first among its like. T8, T20."""

    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class Suspended:
    """It waits for a signal, at most `timeout_ms`. A kept signal is taken at once and the run goes on. T11."""

    key: str
    signal: str
    timeout_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """It waits for the children spawned under `key`. T10.

    `need` is how many must succeed: the wait is over when they have, or when they no longer can. None waits
    for all to end, however they end. When the wait is over before every child has ended, `rest` says
    whether the others are cancelled or left to run.
    """

    key: str
    need: int | None
    rest: Literal["cancel", "leave"] = "cancel"


@dataclass(frozen=True, slots=True)
class Sleeping:
    """It waits for time to pass, then runs again in front. T20."""

    key: str
    delay_ms: int


Outcome: TypeAlias = Succeeded | Retried | Died | Cancelled | Released | Suspended | Waiting | Sleeping
