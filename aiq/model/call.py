"""Calls: what a run reserves before it spends, and what it says of it afterwards."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from msgspec import Struct

from aiq.errors import LeaseLost
from aiq.model.budget import Amounts, OnExceeded
from aiq.model.job import Lease
from aiq.model.limit import Remaining, none
from aiq.model.usage import Estimate, Usage

FIRST: Final = 0
"""The call that the claim reserves for. Those that a handler opens are numbered from 1 within the run."""


class CallState(StrEnum):
    """How a reservation stands."""

    OPEN = "open"
    SETTLED = "settled"
    """What was used is known, or an estimate stands for it."""
    UNSENT = "unsent"
    """Nothing was sent, so everything was given back; also of one that another call has adopted."""
    THROTTLED = "throttled"
    """The provider refused it: the tokens were given back, the request was not."""
    EXPIRED = "expired"
    """Its run was lost, so all of it was charged; a late report corrects that once."""


class Need(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one call needs, with every number filled in. `declared` says that somebody gave them; else they were
    learned, or are a default that must not keep a job from running. With `open_ended` nobody said how much output may
    be asked for, and no budget has lowered what was assumed: `max_output` is set aside, and binds nobody."""

    model: str = ""
    input: int = 0
    output: int = 0
    max_output: int = 0
    min_output: int | None = None
    declared: bool = True
    open_ended: bool = False


class Part(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a reservation has taken of one limit: so many requests, `charge` tokens for good and `rest` held, both in
    whole weighted tokens; `slot` says that a unit of its concurrency goes with it."""

    limit: str
    key: str = ""
    requests: int = 0
    charge: int = 0
    rest: int = 0
    slot: bool = False


class Draw(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a reservation holds of one budget, in the window in which it was admitted."""

    budget: str
    window_ms: int
    held: Amounts = none()
    spent: Amounts = none()


class Reservation(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One call, known by (job_id, fence, call). `cost` is what fairness counted for it, on the limit `cost_limit`."""

    job_id: str
    fence: int
    call: int
    need: Need
    parts: tuple[Part, ...] = ()
    draws: tuple[Draw, ...] = ()
    prices: Mapping[str, int] = none()
    cost: int = 1
    cost_limit: str | None = None
    state: CallState = CallState.OPEN
    used: tuple[Usage, ...] = ()
    """What was reported so far, one for each model."""
    opened_at_ms: int = 0
    closed_at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """A running job asks for its next call. `limits` empty means those of the job, or of its route.

    (lease, number) is the id of the call: a repeat gets the first answer. `inside` are the open calls of its run that
    go on until this one has ended.
    """

    lease: Lease
    number: int
    limits: tuple[str, ...] = ()
    estimate: Estimate = field(default_factory=Estimate)
    inside: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The call may be made, with at most `max_output` tokens asked for; None where nobody said a bound, and no budget
    needs one."""

    max_output: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MustWait:
    """A limit has no room; ask again in `wait_ms`, or when `limit_topic(limit)` is told. None: only then.

    The call stands in line until then, before those of later runs. `key` is the tenant or key whose part of the
    limit it is, where that has a `by`."""

    limit: str
    key: str = ""
    wait_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceeded:
    """A budget has no room for `need`, and says what is to become of the job."""

    budget: str
    on_exceeded: OnExceeded
    need: Amounts
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The call can never be admitted: `kind` is "never_fits", "own_units", "price_unknown" or "unknown_limit"."""

    kind: str
    text: str


Acquired: TypeAlias = Admitted | MustWait | Exceeded | Refused | LeaseLost


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of a call so far, or in the end. `used` is everything it has used, one Usage for each model: a
    repeat, or a report that says no more than an earlier one, changes nothing.

    `retry_after_ms` goes with THROTTLED, and is what the provider said; `remaining` is what its headers said.
    """

    lease: Lease
    call: int
    state: CallState
    used: tuple[Usage, ...] = ()
    retry_after_ms: int | None = None
    remaining: tuple[Remaining, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A report was taken. `cancel_requested` asks the run to stop; `late` says that it only corrects the ledger."""

    cancel_requested: bool = False
    late: bool = False
