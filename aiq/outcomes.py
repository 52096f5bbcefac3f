"""What became of many jobs that were gone through: what was done, what was refused, and where it ended."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from aiq.bounds import MAX_INSTANT_MS, MAX_TOLD
from aiq.errors import Conflict, InvalidInput, NeverFits, NotFound, PriceUnknown, QueueFull, UnknownLimit

Told: TypeAlias = Callable[["Outcomes"], None]
"""Hears what became of the jobs of each batch."""
PLACE: Final = "+"
"""Stands between the cursor of a storage and the number of jobs before it: a `spread` goes on from it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A job that was left as it is, and why: a word that programs may compare, and a sentence."""

    job_id: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What became of the jobs that were gone through.

    `done` has the ids of those that were done and `refused` those that were not, the first MAX_TOLD of each;
    `done_count` and `reasons` count all of them. `stopped` says what ended it early, None if nothing did. `after` is
    where to go on: a cursor for the same call, which also knows how many went before it, None where nothing is left
    or jobs were named by their ids.
    """

    done: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()
    done_count: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    stopped: str | None = None
    after: str | None = None

    @property
    def refused_count(self) -> int:
        """How many were refused."""
        return sum(self.reasons.values())


class Account:
    """What has become of jobs so far."""

    def __init__(self, told: Told | None = None, after: str | None = None) -> None:
        self._told = told
        self.after, self.before = _parted(after)
        """The cursor of what comes next in the storage, and how many jobs calls before this one have gone through."""
        self._place = self.before
        self._done: list[str] = []
        self._refused: list[Refused] = []
        self._reasons: Counter[str] = Counter()
        self._count = 0

    @property
    def total(self) -> int:
        """How many jobs there were."""
        return self._count + self._reasons.total()

    @property
    def place(self) -> int:
        """How many jobs there were in this call and in those that it goes on from."""
        return self.before + self.total

    def advance(self, cursor: str | None) -> None:
        """Go on from here: all before the cursor is taken down."""
        self.after, self._place = cursor, self.place

    def add(self, done: Iterable[str] = (), refused: Iterable[Refused] = ()) -> None:
        """Take down what became of some jobs, and tell it."""
        did, left = tuple(done), tuple(refused)
        reasons = Counter(one.reason for one in left)
        self._count += len(did)
        self._reasons += reasons
        self._done += did[: MAX_TOLD - len(self._done)]
        self._refused += left[: MAX_TOLD - len(self._refused)]
        if self._told is not None and (did or left):
            self._told(Outcomes(done=did, refused=left, done_count=len(did), reasons=reasons))

    def close(self, *, stopped: str | None = None) -> Outcomes:
        """All of it, and what ended it early."""
        return Outcomes(
            done=tuple(self._done),
            refused=tuple(self._refused),
            done_count=self._count,
            reasons=dict(self._reasons),
            stopped=stopped,
            after=None if self.after is None else f"{self.after}{PLACE}{self._place}",
        )


def _parted(after: str | None) -> tuple[str | None, int]:
    """A cursor of a storage, and the place to which it has come; none is told by a cursor that a listing gave."""
    cursor, sign, place = (after or "").rpartition(PLACE)
    fits = place.isascii() and place.isdecimal() and len(place) <= len(str(MAX_INSTANT_MS))
    return (cursor, int(place)) if sign and fits else (after, 0)


_WORDS: Final[Mapping[type[Exception], str]] = {
    NotFound: "not_found",
    QueueFull: "full",
    UnknownLimit: "unknown_limit",
    NeverFits: "never_fits",
    PriceUnknown: "price_unknown",
}


def refusal(job_id: str, error: Conflict | NotFound | QueueFull | InvalidInput) -> Refused:
    """A job that a storage has refused."""
    word = error.reason if isinstance(error, Conflict) else _WORDS.get(type(error), "invalid")
    return Refused(job_id, word, str(error))
