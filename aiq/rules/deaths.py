"""What a group of dead jobs becomes by a death, a redrive, and what follows. Spec: chapter 16

Each is one step of a group: a store reads it, and writes what it is answered.
"""

from collections.abc import Sequence
from dataclasses import replace

from aiq.bounds import MAX_LEVEL, MAX_SAMPLE_BYTES
from aiq.errors import InvalidInput
from aiq.model import AGES_MS, Cause, DeadGroup, DeadQuery, JobError, JobRecord
from aiq.rules.checks import cut
from aiq.rules.fingerprints import of_error


def died(group: DeadGroup | None, record: JobRecord, error: JobError, now_ms: int) -> DeadGroup:
    """A group with one more job that died of `error`; `record` is the dead job. Spec: DEAD-1, DEAD-3, DEAD-4"""
    before = group or _new(error, now_ms)
    return replace(
        before,
        task=record.task,
        cause=record.cause or error.cause,
        type=error.type,
        code=error.code,
        place=error.place,
        pattern=error.pattern or error.message[:MAX_SAMPLE_BYTES],
        last_seen_ms=now_ms,
        dead=before.dead + 1,
        died=before.died + 1,
        attempts=before.attempts + record.attempt,
        touched_at_ms=now_ms,
    )


def wasted(group: DeadGroup, tokens: int, usd_micros: int) -> DeadGroup:
    """A group whose jobs have used so much more, or less. Spec: DEAD-4, DEAD-5"""
    return replace(group, tokens=group.tokens + tokens, usd_micros=group.usd_micros + usd_micros)


def redriven(group: DeadGroup, now_ms: int) -> DeadGroup:
    """A group of which one job has another generation."""
    return replace(group, dead=group.dead - 1, redriven=group.redriven + 1, touched_at_ms=now_ms)


def removed(group: DeadGroup, now_ms: int) -> DeadGroup:
    """A group of which one job is removed."""
    return replace(group, dead=group.dead - 1, touched_at_ms=now_ms)


def recovered(group: DeadGroup, now_ms: int) -> DeadGroup:
    """A group of which one job has succeeded after its redrive. Spec: DEAD-22"""
    return replace(group, recovered=group.recovered + 1, touched_at_ms=now_ms)


def relapsed(group: DeadGroup, now_ms: int) -> DeadGroup:
    """A group of which one job has died again after its redrive. Spec: DEAD-22"""
    return replace(group, relapsed=group.relapsed + 1, touched_at_ms=now_ms)


def kept_sample(sample: str | None, kept: int, most: int) -> str | None:
    """What is kept of a sample where so many are kept already. Spec: DEAD-6"""
    return None if sample is None or kept >= most else cut(sample, MAX_SAMPLE_BYTES)


def ages_of(died_at_ms: Sequence[int], now_ms: int) -> tuple[int, ...]:
    """A histogram of ages, for a store that has no index to count by. Spec: DEAD-8"""
    counts = [0] * (len(AGES_MS) + 1)
    for at_ms in died_at_ms:
        counts[sum(now_ms - at_ms > age_ms for age_ms in AGES_MS)] += 1
    return tuple(counts)


def no_error(cause: Cause | None) -> JobError:
    """What stands for the error of a job that died without one."""
    error = JobError(type="", message="", cause=cause or Cause.HANDLER)
    return replace(error, fingerprint=of_error(error))


def _new(error: JobError, now_ms: int) -> DeadGroup:
    return DeadGroup(
        fingerprint=of_error(error),
        task="",
        cause=error.cause,
        type="",
        code="",
        place="",
        pattern="",
        first_seen_ms=now_ms,
        last_seen_ms=now_ms,
    )


def order_of(query: DeadQuery, group: DeadGroup) -> tuple[int, str]:
    """The place of a group in an answer: the newest, or the largest, first. Spec: DEAD-7"""
    return (-(group.last_seen_ms if query.by == "last_seen" else group.dead), group.fingerprint)


def group_cursor(query: DeadQuery, group: DeadGroup) -> str:
    """The cursor that asks for what comes after a group."""
    figure, fingerprint = order_of(query, group)
    return f"{-figure} {fingerprint}"


def after_group(cursor: str | None) -> tuple[int, str]:
    """The place that a cursor stands for; None is before all.

    Raises:
        InvalidInput: it is no cursor.
    """
    if cursor is None:
        return (-MAX_LEVEL, "")
    figure, _, fingerprint = cursor.partition(" ")
    if not (figure.isascii() and figure.isdecimal() and fingerprint) or int(figure) > MAX_LEVEL:
        raise InvalidInput(f"{cursor!r} is not a cursor. Pass the one that came with the page before, or None.")
    return (-int(figure), fingerprint)
