"""Ordered keys: who holds one, who stands in its line, and when the next may go. Spec: chapter 18."""

from enum import IntEnum
from typing import Final

from msgspec import Struct, structs

from aiq.errors import Conflict
from aiq.model import JobRecord, JobSpec, State


class Stand(IntEnum):
    """What an ordered job has to do with its key. The first two are the parts of a line, in their order."""

    RETURNED = 0
    FRESH = 1
    HOLDS = 2
    AWAY = 3
    """It has ended, is held, or is parked and has given its key up."""

    @property
    def in_line(self) -> bool:
        """Whether it stands in the line."""
        return self < Stand.HOLDS


_WAITS: Final = frozenset({State.WAITING, State.SUSPENDED})


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
        """Whether the first of the line may hold the key, if it is ready. Spec: KEY-3"""
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
        line = self.line + after.in_line - before.in_line
        places = max(self.per_key, min(self.places, holders))
        return structs.replace(self, holders=holders, line=line, places=places)


def arrived(key: KeyState, state: State) -> Stand:
    """Where a job stands that is new, or begins anew. Spec: KEY-2, KEY-4"""
    return Stand.HOLDS if state is State.READY and key.room and not key.line else Stand.FRESH


def follows(stand: Stand, key: KeyState, record: JobRecord, state: State, *, sleeps: bool, begun: bool) -> Stand:
    """Where a job stands after a move to a state; `record` is what it was, which had not ended.

    `sleeps` says that a job which is scheduled sleeps, `begun` that it has run in this generation.

    Spec: KEY-4 to KEY-9
    """
    if state.terminal or state is State.HELD:
        return Stand.AWAY
    if record.state is State.RUNNING and record.while_parked == "free" and (state in _WAITS or sleeps):
        return Stand.AWAY
    if state is not State.READY or stand is Stand.HOLDS:
        return stand
    if key.room and key.line == stand.in_line:
        return Stand.HOLDS
    if stand is Stand.AWAY:
        return Stand.RETURNED if begun else Stand.FRESH
    return stand


def fits(stand: Stand, state: State, *, begun: bool, while_parked: str) -> bool:
    """Whether a job that has not ended may stand there in that state; for the audit."""
    match state:
        case State.RUNNING:
            return stand is Stand.HOLDS
        case State.HELD:
            return stand is Stand.AWAY
        case State.READY:
            return stand is Stand.HOLDS or stand is (Stand.RETURNED if begun else Stand.FRESH)
        case _ if not begun:
            return stand in (Stand.FRESH, Stand.HOLDS)
        case _:
            return stand is Stand.HOLDS or (stand is Stand.AWAY and while_parked == "free")


def check_child(parent: JobRecord, spec: JobSpec) -> None:
    """Refuse a child that would wait for its parent's key, which the parent keeps while it waits for the child.

    Raises:
        Conflict("key"): it would.
    Spec: KEY-13
    """
    same = spec.ordered and parent.ordered and (spec.queue, spec.key) == (parent.queue, parent.key)
    if same and parent.while_parked == "hold":
        raise Conflict(
            f"Job {spec.id!r} would wait for key {spec.key!r}, which its parent holds until it ends. Give the child "
            'another key or `per_key=0`, or let the parent give its key up: `while_parked="free"`.',
            reason="key",
        )


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
