"""What may be changed of a job from outside, and where that leaves it. Spec: EDIT-1 to EDIT-7"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from aiq import bounds
from aiq.errors import Conflict, InvalidInput, TooLarge
from aiq.model import Edit, JobRecord, State
from aiq.rules.checks import IN_PARTS, check_count, check_opaque, check_range, check_size

_EDITABLE: Final = frozenset({State.SCHEDULED, State.READY, State.WAITING, State.HELD})
_TO_BEGIN: Final = frozenset({State.SCHEDULED, State.READY, State.WAITING})
"""Where a job that has not run has an instant before which it does not."""


def check_edits(edits: Sequence[Edit]) -> None:
    """Refuse edits that are out of range, and two of one job: nobody could say which is to be refused."""
    check_count("list of edits", len(edits), bounds.MAX_BATCH)
    if len({edit.job_id for edit in edits}) < len(edits):
        raise InvalidInput("Two edits name one job. Say all that is to be changed of a job in one of them.")
    size = sum(len(edit.content.payload) for edit in edits if edit.content is not None)
    if size > bounds.MAX_BATCH_BYTES:
        raise TooLarge("list of edits", size, bounds.MAX_BATCH_BYTES, IN_PARTS, unit=" bytes")
    for edit in edits:
        check_opaque("job id", edit.job_id)
        if edit.band is not None:
            check_range("band", edit.band, 0, 3)
        if edit.delay_ms is not None:
            check_range("delay in ms", edit.delay_ms, 0, bounds.MAX_DELAY_MS)
        if edit.at_ms is not None:
            check_range("start in ms since 1970", edit.at_ms, 0, bounds.MAX_INSTANT_MS)
        if edit.content is not None:
            check_size("payload", edit.content.payload, bounds.MAX_PAYLOAD_BYTES)


def edited(record: JobRecord, edit: Edit, now_ms: int) -> JobRecord:
    """A job as an edit leaves it, in the state in which that leaves it.

    Raises:
        Conflict("state"): it runs, waits for a signal or has ended; it has run, and its payload is to be changed; or
            it has no instant that could be changed.
        Conflict("task"): the content is that of another task.
    Spec: EDIT-1 to EDIT-4
    """
    if record.state not in _EDITABLE:
        raise _conflict(record, "only one that waits to run can be changed")
    after = record if edit.band is None else replace(record, band=edit.band)
    if edit.content is not None:
        after = _with_content(after, edit)
    if edit.at_ms is None and edit.delay_ms is None:
        return after
    if record.state is not State.SCHEDULED and (record.fence or record.state not in _TO_BEGIN):
        raise _conflict(record, "it has no instant that could be moved")
    return due_at(after, edit.at_ms if edit.at_ms is not None else now_ms + (edit.delay_ms or 0), now_ms)


def due_at(record: JobRecord, at_ms: int, now_ms: int) -> JobRecord:
    """A job that is to run no earlier than an instant. One that waits for others will look at it then.

    Spec: EDIT-3, EDIT-4
    """
    ahead = at_ms > now_ms
    if record.state is State.READY and not ahead:
        return record
    moved = replace(record, delay_ms=0, at_ms=at_ms)
    if record.state is State.WAITING:
        return moved
    return replace(moved, state=State.SCHEDULED if ahead else State.READY, due_ms=at_ms if ahead else None)


def _with_content(record: JobRecord, edit: Edit) -> JobRecord:
    content = edit.content
    assert content is not None
    if record.task != content.task:
        text = f"Job {record.id} is of task {record.task}; arguments of {content.task} do not fit it."
        raise Conflict(text, reason="task")
    if (record.payload, record.estimate) == (content.payload, content.estimate):
        return record
    if record.fence:
        raise _conflict(record, "it has run, so its payload stays: cancel it, and redrive it with another one")
    return replace(record, payload=content.payload, estimate=content.estimate)


def _conflict(record: JobRecord, why: str) -> Conflict:
    return Conflict(f"Job {record.id} is {record.state}; {why}.", reason="state")
