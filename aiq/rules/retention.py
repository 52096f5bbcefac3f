"""When what is over goes. Spec: chapter 17."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from aiq import bounds
from aiq.errors import Conflict, InvalidInput, ResultGone
from aiq.model import JobRecord, JobSpec, Keep, Lease, RetentionSpec, State
from aiq.rules.checks import check_range

PACE_MS: Final = 10
"""When upkeep goes on with what is over: claims come in between, since nobody waits for this."""
KINDS: Final = (
    *("succeeded", "dead", "cancelled"),
    *("results", "steps", "signals", "streams", "events", "minutes", "usage"),
)
ENDED: Final = (State.SUCCEEDED, State.DEAD, State.CANCELLED)
"""In the order in which upkeep looks at them."""


def check_retention(spec: RetentionSpec) -> None:
    """Refuse periods and numbers that are out of range."""
    for kind in KINDS:
        keep: Keep = getattr(spec, kind)
        if keep.for_ms is not None:
            # Jobs end within a ms in no order, so their results are looked at once that is over.
            check_range(f"period of {kind} in ms", keep.for_ms, int(kind == "results"), bounds.MAX_KEEP_MS)
        if keep.count is not None:
            check_range(f"number of {kind}", keep.count, 0, bounds.MAX_KEPT)
    check_range("period of ids in ms", spec.ids_ms, 0, bounds.MAX_KEEP_MS)


def of_state(spec: RetentionSpec, state: State) -> Keep:
    """What is kept of the jobs that ended in a state."""
    match state:
        case State.SUCCEEDED:
            return spec.succeeded
        case State.DEAD:
            return spec.dead
        case State.CANCELLED:
            return spec.cancelled
        case _:
            raise InvalidInput(f"A job that is {state} has not ended, and is kept.")


def is_over(spec: RetentionSpec, keep_ms: int | None, state: State, finished_at_ms: int, now_ms: int) -> bool:
    """Whether the period of a job that has ended is over; `keep_ms` is its own. Spec: KEEP-1"""
    for_ms = of_state(spec, state).for_ms if keep_ms is None else keep_ms
    return for_ms is not None and now_ms >= finished_at_ms + for_ms


def tombstone_ms(spec: RetentionSpec) -> int:
    """How long the id of a job is remembered: as long as its events may tell of it, at least. Spec: GONE-3, EVENT-7"""
    return max(spec.ids_ms, spec.events.for_ms or 0)


def check_tombstone(spec: JobSpec, digest: str, parent: Lease | None) -> None:
    """Refuse a job under the id of one that is gone, unless it is the same. Spec: GONE-2, GONE-9"""
    if spec.digest != digest:
        text = f"Job {spec.id!r} was stored with another content, and is gone. Its id is free again after a while."
        raise Conflict(text, reason="content")
    if parent is not None:
        raise Conflict(f"Job {spec.id!r} was stored and is gone, so it cannot be spawned.", reason="parent")


def soon(due_ms: int | None) -> int:
    """When upkeep has something to do next, if it has left something over."""
    return PACE_MS if due_ms is None else min(due_ms, PACE_MS)


def since_ms(keep: Keep, now_ms: int) -> int:
    """What happened at this instant or before is to go; below zero where no period is set. Spec: KEEP-1"""
    return -1 if keep.for_ms is None else now_ms - keep.for_ms


def going(keep: Keep, count: int, instants: Sequence[int], now_ms: int) -> int:
    """How many of the oldest rows of a kind are to go, which are over since `instants`; `count` are kept in all."""
    return max(bisect_right(instants, since_ms(keep, now_ms)), min(excess(keep, count), len(instants)))


def result_of(record: JobRecord) -> bytes:
    """The result of a job that has succeeded, as it is stored.

    Raises:
        ResultGone: its time was over. Spec: KEEP-10
    """
    if record.result is None:
        raise ResultGone(record.id, record.state, dropped=True)
    return record.result


def excess(keep: Keep, count: int) -> int:
    """How many are kept more than the bound. Spec: KEEP-2"""
    return 0 if keep.count is None else max(0, count - keep.count)
