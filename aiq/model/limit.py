"""Limits: what may be taken from a provider in a time, or at once, and how much of it is left."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from aiq import bounds

By: TypeAlias = Literal["tenant", "key"]
"""By what one limit becomes many, each with amounts of its own: the tenant of a job, or its key."""

_NONE: Final[Mapping[str, int]] = MappingProxyType({})


def none() -> Mapping[str, int]:
    """Nothing at all: the default of every mapping in a frozen value."""
    return _NONE


class Charge(StrEnum):
    """What a provider takes from its bucket when a call arrives; the rest follows, or not."""

    STREAM = "stream"
    """The input; output is counted as it is produced."""
    RESERVE = "reserve"
    """The input and the most output that was asked for; what was not used comes back at the end."""
    MAX = "max"
    """The larger of the input and the most output that was asked for; nothing comes back."""
    INPUT = "input"
    """The input, and never any output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSpec:
    """A rate, a concurrency, or both, under one name. All of its numbers are whole.

    `requests` and `tokens` are per `per_ms`; `burst_ms` is how much time's worth of the rate may be taken at
    once. `ramp_ms` is how long a new limit takes to reach its rate. `weights` are per mille of a token by category;
    a category that is not there weighs 1000. `refund` says whether unused tokens come back at settlement.
    """

    name: str
    requests: int | None = None
    tokens: int | None = None
    per_ms: int = 60_000
    burst_ms: int = bounds.DEFAULT_BURST_MS
    ramp_ms: int = 0
    concurrency: int | None = None
    by: By | None = None
    charge: Charge = Charge.STREAM
    refund: bool = True
    weights: Mapping[str, int] = field(default_factory=none)


class LimitState(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is left of one limit, or of one tenant's or key's share of it, at the instant `at_ms`.

    `requests` and `tokens` are levels and `held` is what open calls are expected to use yet, all in the sub-units
    of `rules.limits`, which make every refill a whole number; levels may be below zero. `pace` is the part of
    the rate in force, per mille; it was last changed at `paced_at_ms`. Nothing is admitted before `frozen_until_ms`.
    `running` counts the units of concurrency that are taken; `strikes` the 429s in a row that named no time.
    """

    at_ms: int
    born_ms: int
    requests: int = 0
    tokens: int = 0
    held: int = 0
    pace: int = 1000
    paced_at_ms: int = 0
    frozen_until_ms: int = 0
    running: int = 0
    strikes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitStatus:
    """A limit as it stands. Levels are whole requests and tokens, rounded down; below zero is debt, which the rate pays
    back in `debt_ms`.

    `key` is the tenant or key whose share it is, "" for a limit without `by`; `used` is False for one from which
    nothing was taken yet. `waiting` counts the calls of running jobs that stand in line for it.
    """

    spec: LimitSpec
    key: str = ""
    used: bool = False
    requests_left: int | None = None
    tokens_left: int | None = None
    tokens_held: int = 0
    pace: int = 1000
    frozen_ms: int = 0
    running: int = 0
    waiting: int = 0
    debt_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """A provider answered 429 to a call of `tokens`. `retry_after_ms` is what it said, None if it said nothing.

    `key` is the tenant or key of the call where the limit has a `by`.
    """

    limit: str
    key: str = ""
    tokens: int = 0
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """What a provider says is left, in the headers of an answer. It lowers a level, and never raises one."""

    limit: str
    requests: int | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """What an operator set for a queue; None is no bound.

    `max_ready` bounds the jobs that stand ready or scheduled; `concurrency` those that run; `rate` how many start
    in `rate_per_ms`. `lifo` gives the newest first of the jobs that become ready from then on.
    """

    max_ready: int | None = None
    concurrency: int | None = None
    rate: int | None = None
    rate_per_ms: int = 1_000
    lifo: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """A queue's settings, and how it stands. `ready` is counted only where `max_ready` is set."""

    name: str
    settings: QueueSettings = field(default_factory=QueueSettings)
    paused: bool = False
    ready: int | None = None
