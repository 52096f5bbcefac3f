"""What the other operations answer."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from aiq.errors import InvalidInput
from aiq.model.job import JobRecord, State


@dataclass(frozen=True, slots=True)
class Enqueued:
    """One job that is stored. `existed` says that it was there already, and `by` how it was found: by the id that the
    new one has, with the same content, or as the one that has its unique key. `gone` says that it is no longer stored,
    but remembered, with the state in which it ended."""

    job_id: str
    state: State
    existed: bool = False
    by: Literal["id", "unique"] | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Renewed:
    """A lease that was prolonged to `lease_ms` from the store's now. `cancel_requested` asks the run to stop."""

    lease_ms: int
    cancel_requested: bool
    paused: bool


@dataclass(frozen=True, slots=True)
class CancelAnswer:
    """What a cancel found or made: CANCELLED, or RUNNING with a request that the holder will see, or the
    terminal state it came too late for, or None where no such job is stored."""

    job_id: str
    state: State | None
    requested: bool = False


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Instants in ms since 1970, from `since_ms` on and before `until_ms`; None is open. `aiq.between` makes one of
    datetimes."""

    since_ms: int | None = None
    until_ms: int | None = None

    def __contains__(self, at_ms: int | None) -> bool:
        """Whether an instant is in it; what has no instant is in none."""
        if at_ms is None:
            return False
        return (self.since_ms is None or at_ms >= self.since_ms) and (self.until_ms is None or at_ms < self.until_ms)


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a listing shows; None and the empty set mean all. `fingerprint` is that of the group of dead jobs in
    which they stand, `tenant` is "" for those of none. `created`, `ended` and `due` say when they were enqueued, when
    they ended, and when what they wait for comes: the instant before which they do not start, or a time-out.

    States may also be given as words, in any collection, or as one alone.

    Raises:
        InvalidInput: a state that there is not, or a value of another type.
    """

    queue: str | None = None
    states: frozenset[State] = frozenset()
    task: str | None = None
    flow: str | None = None
    parent_id: str | None = None
    fingerprint: str | None = None
    tenant: str | None = None
    created: TimeRange | None = None
    ended: TimeRange | None = None
    due: TimeRange | None = None

    def __post_init__(self) -> None:
        """Bring the states into one form, so that no store meets another, and refuse what is no text and no range."""
        object.__setattr__(self, "states", _states_of(self.states))
        for name in ("queue", "task", "flow", "parent_id", "fingerprint", "tenant"):
            value = getattr(self, name)
            if not isinstance(value, str | None):
                raise InvalidInput(f"A filter's `{name}` is {value!r:.100}. Pass a text, or None for all.")
        for name in ("created", "ended", "due"):
            value = getattr(self, name)
            if not isinstance(value, TimeRange | None):
                told = "Pass aiq.between(since=…, until=…): from one datetime on, and before another."
                raise InvalidInput(f"A filter's `{name}` is {value!r:.100}. {told}")


def _states_of(given: object) -> frozenset[State]:
    if given is None:
        return frozenset()
    words = given if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
    try:
        return frozenset(map(State, words))
    except (ValueError, TypeError) as error:
        told = f"Pass some of {', '.join(State)}, or none for all."
        raise InvalidInput(f"A filter's `states` are {given!r:.100}. {told}") from error


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing, in the order of enqueueing. `cursor` asks for the next part, also where this one is empty;
    None ends it."""

    jobs: tuple[JobRecord, ...]
    cursor: str | None

    def __iter__(self) -> Iterator[JobRecord]:
        """The jobs of this part."""
        return iter(self.jobs)


Counts: TypeAlias = Mapping[str, Mapping[State, int]]
"""Jobs by queue and state; what is not there is zero."""


@dataclass(frozen=True, slots=True)
class Upkept:
    """What one call of upkeep did. `next_due_ms` as in `Exchanged`: 0 asks to be called again at once.

    `rerouted` jobs had no patience left with their route; `unheld` ones have room in their budget again;
    `purged` ones are gone.
    `schedules` are due, and the caller is to fire them: see `aiq.storage.Schedules`.
    The deadline of `overdue` ones has passed.
    """

    promoted: int = 0
    revoked: int = 0
    timed_out: int = 0
    cancelled: int = 0
    outbox: int = 0
    next_due_ms: int | None = None
    rerouted: int = 0
    unheld: int = 0
    purged: int = 0
    schedules: int = 0
    overdue: int = 0

    @property
    def total(self) -> int:
        """How much was done."""
        swept = self.promoted + self.revoked + self.timed_out + self.cancelled
        return swept + self.outbox + self.rerouted + self.unheld + self.purged + self.overdue


@dataclass(frozen=True, slots=True)
class Sent:
    """A signal that was accepted. `bound` says that a wait took it in the same step; else it is kept."""

    bound: bool
    existed: bool = False


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing in a storage that a clause forbids. `clause` is its number in spec/."""

    clause: str
    job_id: str
    text: str
