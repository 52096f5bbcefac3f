"""Ordered keys: who holds one, who stands in its line, and when the next may go. Spec: chapter 18."""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from itertools import islice
from typing import Final, NamedTuple, TypeAlias, TypeVar

from msgspec import Struct, structs

from aiq.errors import Conflict
from aiq.model import JobSpec, State


class Stand(IntEnum):
    """What an ordered job has to do with its key."""

    LINE = 0
    HOLDS = 1
    AWAY = 2
    """It has ended, is held, or is parked and lets those behind it pass."""


class Branch(NamedTuple):
    """Where a job stands in its tree: the number of the job at the top, and how many parents are above it."""

    root: int
    depth: int


def branch_under(number: int, branch: Branch | None) -> Branch:
    """The branch of a child whose parent has that number, and that branch if it has a parent itself. Spec: KEY-13"""
    return Branch(branch.root, branch.depth + 1) if branch else Branch(number, 1)


Place: TypeAlias = tuple[int, int, int]
"""The order of a line. Spec: KEY-2, KEY-13"""

_Name = TypeVar("_Name")
_PARKING: Final = frozenset({State.WAITING, State.SUSPENDED, State.SCHEDULED})


class KeyState(Struct, frozen=True, array_like=True, gc=False):
    """One key of one queue. `holders` and `line` count the jobs that hold it and that stand in its line."""

    per_key: int = 0
    places: int = 0
    holders: int = 0
    line: int = 0
    paused: bool = False

    @property
    def room(self) -> int:
        """How many more may hold the key now. Spec: KEY-1, KEY-11"""
        return 0 if self.paused else max(0, self.places - self.holders)

    @property
    def waits(self) -> bool:
        """Whether somebody of the line may hold the key. Spec: KEY-3"""
        return self.line > 0 and self.room > 0

    @property
    def forgotten(self) -> bool:
        """Whether there is nothing to know of it. Spec: KEY-12"""
        return not (self.holders or self.line or self.paused)

    def told(self, per_key: int) -> "KeyState":
        """The key when a job of that `per_key` was enqueued. Spec: KEY-10"""
        return structs.replace(self, per_key=per_key, places=max(per_key, self.holders))

    def known(self, per_key: int) -> "KeyState":
        """The key, for a job of that `per_key` that comes to it: of one that was forgotten it tells. Spec: KEY-12"""
        return self if self.per_key else self.told(per_key)

    def moved(self, before: Stand, after: Stand) -> "KeyState":
        """The key when one of its jobs goes from one stand to another.

        Places over `per_key` are those of jobs that held the key when that was lowered: they go with them. Spec: KEY-10
        """
        holders = self.holders + (after is Stand.HOLDS) - (before is Stand.HOLDS)
        line = self.line + (after is Stand.LINE) - (before is Stand.LINE)
        places = max(self.per_key, min(self.places, holders))
        return structs.replace(self, holders=holders, line=line, places=places)


def place_in_line(turn: int, branch: Branch | None) -> Place:
    """Where a job stands in a line that took its `turn`; a job without a parent has no branch.

    Whoever a parked parent waits for stands before it, and before those who wait for it: so no circle can come about.

    Spec: KEY-2, KEY-13
    """
    return (branch.root, -branch.depth, turn) if branch else (turn, 0, turn)


def parked(state: State, wait_key: str | None) -> bool:
    """Whether a job waits for something that one of its runs has asked for. Spec: KEY-6"""
    return state in _PARKING and bool(wait_key)


def arrived(key: KeyState, state: State, while_parked: str, *, parks: bool) -> Stand:
    """Where a job stands that is new, or begins anew. Spec: KEY-2, KEY-4, KEY-7"""
    if parks and while_parked == "free":
        return Stand.AWAY
    return Stand.HOLDS if state is State.READY and key.room and not key.line else Stand.LINE


def follows(stand: Stand, key: KeyState, while_parked: str, state: State, *, parks: bool) -> Stand:
    """Where a job stands after a move to a state, which had not ended. Spec: KEY-4 to KEY-9"""
    if state.terminal or state is State.HELD:
        return Stand.AWAY
    if parks:
        return Stand.AWAY if while_parked == "free" else Stand.LINE
    if state is not State.READY or stand is Stand.HOLDS:
        return stand
    return Stand.HOLDS if key.room and key.line == (stand is Stand.LINE) else Stand.LINE


def called_up(room: int, line: Iterable[tuple[_Name, State, bool]]) -> Iterator[_Name]:
    """Who of a line may hold its key now. Of each of its first `room` jobs: who it is, its state, whether it is parked.

    A parked one takes a place from those behind it; one that has not started, and may not yet, stops them.

    Spec: KEY-3, KEY-6
    """
    for name, state, parks in islice(line, room):
        if state is State.READY:
            yield name
        elif not parks:
            return


def fits(stand: Stand, state: State, *, parks: bool, while_parked: str) -> bool:
    """Whether a job that has not ended may stand there in that state; for the audit."""
    if parks:
        return stand is (Stand.AWAY if while_parked == "free" else Stand.LINE)
    match state:
        case State.RUNNING:
            return stand is Stand.HOLDS
        case State.HELD:
            return stand is Stand.AWAY
        case _:
            return stand is not Stand.AWAY


def check_order(spec: JobSpec, *, lifo: bool) -> None:
    """Refuse an ordered job in a queue that gives the newest first.

    Raises:
        Conflict("lifo"): it is one.
    Spec: LIFO-2
    """
    if lifo and spec.ordered:
        raise Conflict(
            f"Queue {spec.queue!r} gives the newest first, and job {spec.id!r} is to start in the order of its key. "
            "Enqueue it elsewhere, or with `per_key=0`.",
            reason="lifo",
        )


def position(number: int, record: JobSpec, *, fresh: bool, lifo: bool) -> int:
    """The position of a job that becomes ready; the newest first is below all others. Spec: LIFO-1, LIFO-2"""
    return -number if fresh and lifo and not record.ordered else number
