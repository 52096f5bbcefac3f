"""What became of one run of a job, as a value."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from aiq.model.budget import Amounts
from aiq.model.job import HeldFor, JobError
from aiq.model.limit import Throttle, none


@dataclass(frozen=True, slots=True)
class Succeeded:
    """It returned. T5."""

    result: bytes


@dataclass(frozen=True, slots=True)
class Retried:
    """It failed and may try again after `delay_ms`; the store makes it dead when no attempt is left. T6.

    A job with routes takes the next one that is open, and after the last one begins anew with the first. `sample` as
    in `Died`, for a job that has no attempt left.
    """

    error: JobError
    delay_ms: int
    sample: str | None = None


@dataclass(frozen=True, slots=True)
class Died:
    """It failed, and no attempt can help. T7.

    `sample` is what it worked on, as text and without secrets: a few are kept with the dead of its kind.
    """

    error: JobError
    sample: str | None = None


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


@dataclass(frozen=True, slots=True)
class Deferred:
    """A provider had no room: it is given back, no failure is counted, and it goes first when `delay_ms` is over. T20.

    `throttles` pause limits for everybody, in the same step. With `close_route` the job may not take its route
    again: it goes on with its next one at once, and is held when there is none. The store makes it dead, of
    RATE_LIMITED with this error, once it has been deferred for `max_deferral_ms`.
    """

    error: JobError
    delay_ms: int
    throttles: tuple[Throttle, ...] = ()
    close_route: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """It is held, and leaves its worker: on a budget that cannot hold `need`, or for another reason. T21.

    If the budget has room by now it is ready at once, in front. A run that goes on after it resumes.
    """

    reason: HeldFor
    by: str = ""
    need: Amounts = field(default_factory=none)


Outcome: TypeAlias = (
    Succeeded | Retried | Died | Cancelled | Released | Suspended | Waiting | Sleeping | Deferred | Held
)
