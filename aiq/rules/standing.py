"""Which limits bind a job, what is left of each now, and how long it lasts until there is room.

Spec: chapter 10
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from aiq import bounds
from aiq.model import Band, JobRecord, LimitSpec, LimitState, Part
from aiq.rules import limits
from aiq.rules.books import Books, WaitingCall

Ahead = tuple[int, int, int, int]
"""What those who go first need: requests, charge, rest, units of concurrency."""
NOBODY: Final[Ahead] = (0, 0, 0, 0)
QUEUE: Final = "queue:"
"""What the limits of a queue's own settings begin with; no other name can."""


class Bound(NamedTuple):
    """One limit that binds, and whose part of it."""

    spec: LimitSpec
    key: str


class Room(NamedTuple):
    """When a limit has room: in so many ms, None until it is told."""

    bound: Bound
    wait_ms: int | None


def key_of(spec: LimitSpec, record: JobRecord) -> str | None:
    """Whose part of a limit a job takes; None when the limit does not bind it. LIMIT-15, LIMIT-16"""
    if spec.by == "tenant":
        return record.tenant or None
    return record.key if spec.by == "key" else ""


def named(books: Books, record: JobRecord, names: Iterable[str]) -> list[Bound]:
    """Those of some limits that are stored and bind a job."""
    found = []
    for name in names:
        spec = books.limit(name)
        key = None if spec is None else key_of(spec, record)
        if spec is not None and key is not None:
            found.append(Bound(spec, key))
    return found


def of_job(books: Books, record: JobRecord) -> list[Bound]:
    """The limits that a job takes when it starts: its own, and those of its queue's settings. QUEUE-2"""
    names = record.taken_limits
    if books.queue_limited(record.queue):
        names = (*names, QUEUE + record.queue)
    return named(books, record, names)


def state_of(books: Books, bound: Bound) -> LimitState:
    """What is left of a limit now."""
    spec, key = bound
    stored, now_ms = books.limit_state(spec.name, key), books.now_ms
    if stored is None:
        return limits.opening(spec, now_ms)
    return stored if stored.at_ms == now_ms else limits.refilled(spec, stored, now_ms)


def before(calls: Sequence[WaitingCall], band: Band, number: int | None) -> list[WaitingCall]:
    """The calls of a line that go first: before a place in it, or, without a place, all of no less urgent bands."""
    if number is None:
        return [call for call in calls if call.band <= band]
    return [call for call in calls if (call.band, call.number) < (band, number)]


def wait_ms(
    books: Books, bound: Bound, state: LimitState, part: Part, unit: bool, calls: Sequence[WaitingCall]
) -> int | None:
    """How long until a limit has room for a part, and a unit if one is wanted, behind these calls: 0 is now, None is
    until it is told. A unit that is free but kept for a call in line is free at the latest when the call has lost its
    place. CALL-5, LIMIT-5, LIMIT-9
    """
    spec = bound.spec
    ahead = _sum(bound, calls) if calls else NOBODY
    if unit and spec.concurrency is not None and state.running + ahead[3] >= spec.concurrency:
        if state.running >= spec.concurrency:
            return None
        return max(1, bounds.PLACE_KEPT_MS + min(call.asked_at_ms for call in calls) - books.now_ms)
    told_ms = limits.wait_ms(spec, state, part, ahead[:3])
    # After a clock was put back, nothing is refilled until it has come again to where the limit stands. LIMIT-8
    return told_ms if not told_ms else told_ms + max(0, state.at_ms - books.now_ms)


def longest(rooms: Iterable[Room]) -> Room | None:
    """The limit that keeps a job the longest; None when all have room now, the first of equals."""
    worst: Room | None = None
    for room in rooms:
        if room.wait_ms != 0 and (worst is None or _longer(room.wait_ms, worst.wait_ms)):
            worst = room
    return worst


def put(books: Books, bound: Bound, old: LimitState, new: LimitState) -> None:
    """Write what is left of a limit, and say so when that lets others go on. POOL-1"""
    spec, key = bound
    books.put_limit_state(spec.name, key, new)
    # Of a queue's own bound nobody waits for the rate to be given back, nor for a unit while one is free.
    if _roomier(old, new) and (full(spec, old) or not spec.name.startswith(QUEUE)):
        books.freed(spec.name, key)


def full(spec: LimitSpec, state: LimitState) -> bool:
    """Whether all units of a concurrency are taken."""
    return spec.concurrency is not None and state.running >= spec.concurrency


def full_queue(books: Books, queue: str) -> bool:
    """Whether a queue runs as many jobs as its settings allow. QUEUE-3"""
    spec = books.limit(QUEUE + queue) if books.queue_limited(queue) else None
    state = None if spec is None else books.limit_state(spec.name, "")
    return spec is not None and state is not None and full(spec, state)


def _sum(bound: Bound, calls: Sequence[WaitingCall]) -> Ahead:
    place = (bound.spec.name, bound.key)
    needs = [call.limits[place] for call in calls]
    requests, charge, rest, units = (sum(column) for column in zip(*needs, strict=True))
    return requests, charge, rest, units


def _longer(wait: int | None, than: int | None) -> bool:
    return than is not None and (wait is None or wait > than)


def _roomier(old: LimitState, new: LimitState) -> bool:
    """Whether some need waits less for the new state than for the old one, at the same instant."""
    return (
        new.tokens > old.tokens
        or new.tokens - new.held > old.tokens - old.held
        or new.requests > old.requests
        or new.running < old.running
    )
