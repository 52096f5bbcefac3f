"""By when a job must have ended, and what becomes of one that has not. Spec: DEADLINE-1 to DEADLINE-9.

Whether a request to stop came from a deadline is told by its instant: one that was made before it came from a person.
So nothing more has to be stored of it, and a clock that steps back changes nothing afterwards.
"""

from aiq.model import Cause, JobError, JobRecord, JobSpec


def effective_ms(spec: JobSpec, parent_deadline_ms: int | None, now_ms: int) -> int | None:
    """The instant by which a new job must have ended: the first of all that were named. Spec: DEADLINE-1, DEADLINE-8"""
    expires_at_ms = None if spec.expires_ms is None else now_ms + spec.expires_ms
    named = [one for one in (spec.deadline_ms, expires_at_ms, parent_deadline_ms) if one is not None]
    return min(named, default=None)


def overdue(record: JobRecord, now_ms: int) -> bool:
    """Whether a job that does not succeed now is dead by its deadline. A request from before it stays a cancel.

    Spec: DEADLINE-6, DEADLINE-7
    """
    asked_at_ms = record.cancel_requested_at_ms
    since_ms = now_ms if asked_at_ms is None else asked_at_ms
    return record.deadline_ms is not None and since_ms >= record.deadline_ms


def deadline_passed(record: JobRecord) -> JobError:
    """The error of a job that its deadline found in some state."""
    return JobError(
        type="DeadlinePassed",
        message=f"Its deadline passed while it was {record.state}.",
        cause=Cause.DEADLINE,
    )
