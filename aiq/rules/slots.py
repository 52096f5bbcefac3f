"""When schedules fire: the slots after an instant, and what a caller hands to a storage for a schedule that is due.

Nothing here is part of an atomic step, for a storage knows no cron. Whoever finds a schedule due computes from what is
stored, and from the storage's own now, what is to be done; the storage does it if nothing has changed since.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from aiq.bounds import MAX_BATCH_BYTES, MAX_SLOT_MS, MAX_SLOTS, MISSED_AFTER_MS
from aiq.errors import InvalidInput
from aiq.model import Fire, Missed, ScheduleSpec, ScheduleStatus
from aiq.rules.coding import check_readable
from aiq.rules.schedules import job_of

_OVERHEAD_BYTES: Final = 1_024


def slot_id(name: str, slot_ms: int) -> str:
    """The id of the job that a slot makes, so that whoever fires it makes the same: nightly@2026-11-22T03:00:00Z.

    Spec: SCHED-25
    """
    seconds, ms = divmod(slot_ms, 1000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{name}@{text}.{ms:03d}Z" if ms else f"{name}@{text}Z"


def check_times(spec: ScheduleSpec) -> None:
    """Refuse a cron expression that cannot be read or names no instant, and a time zone that is not known here.

    Only callers can tell; a storage takes any text for both.
    """
    if spec.cron and next(_cron_slots(spec, spec.start_ms or 0), None) is None:
        raise InvalidInput(f'cron="{spec.cron}" of schedule "{spec.name}" names no instant in 50 years.')


def zone_of(spec: ScheduleSpec) -> tzinfo:
    """The time zone in which a schedule is read.

    Raises:
        InvalidInput: it is not known here.
    """
    try:
        return UTC if spec.tz == "UTC" else ZoneInfo(spec.tz)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidInput(
            f'tz="{spec.tz}" of schedule "{spec.name}" is not known here. Use a name like "Europe/Berlin"; where '
            "a machine has no time zones, `pip install tzdata` brings them."
        ) from error


def plan(status: ScheduleStatus, now_ms: int) -> Fire:
    """What is to be done for a schedule that is due, at the storage's now.

    Raises:
        InvalidInput: its cron expression or its time zone means nothing here, or its template cannot be read here.
        Unavailable: the template is kept elsewhere, and cannot be had now.
    Spec: SCHED-21, SCHED-22, SCHED-23, SCHED-24
    """
    spec = status.spec
    if status.next_ms is None:
        return Fire(name=spec.name, revision=status.revision, next_ms=_first(status, now_ms))
    due, after_ms = _due(spec, status.next_ms, now_ms)
    more = after_ms is not None and after_ms <= now_ms
    left_out = len(due) - _most(spec, due[-1], now_ms, more=more)
    kept = due[max(0, left_out) :]
    # Which of them are the last will be seen when those before have passed.
    fired = [] if more else kept[: _at_once(spec)]
    if fired:
        check_readable(spec.template.payload)
    return Fire(
        name=spec.name,
        revision=status.revision,
        slot_ms=status.next_ms,
        jobs=tuple(job_of(spec.template, slot_id(spec.name, slot_ms)) for slot_ms in fired),
        passed_ms=[*due[: len(due) - len(kept)], *fired][-1],
        skipped=len(due) - len(kept),
        next_ms=[*kept[len(fired) :], after_ms][0],
    )


def without_jobs(fire: Fire, error: str) -> Fire:
    """A fire whose jobs no storage takes: its slots are left out, and it says why. Spec: SCHED-9, SCHED-28"""
    refused = len(fire.jobs)
    return replace(fire, jobs=(), skipped=fire.skipped + refused, refused=refused, error=error)


def _first(status: ScheduleStatus, now_ms: int) -> int | None:
    """The first slot that is not past, and not before one that has passed: the clock may have gone back."""
    spec = status.spec
    if spec.after_ms is None:
        return next(_slots(spec, max(now_ms - 1, status.passed_ms)), None)
    at_ms = max(now_ms, status.passed_ms + 1, spec.start_ms or 0)
    return at_ms if at_ms < _end_ms(spec) else None


def _due(spec: ScheduleSpec, first_ms: int, now_ms: int) -> tuple[list[int], int | None]:
    """The slots that are due, at most MAX_SLOTS of them, and the one after."""
    due = [first_ms]
    if spec.after_ms is None:
        for slot_ms in _slots(spec, first_ms):
            if slot_ms > now_ms or len(due) == MAX_SLOTS:
                return due, slot_ms
            due.append(slot_ms)
    return due, None


def _most(spec: ScheduleSpec, last_ms: int, now_ms: int, *, more: bool) -> int:
    """How many of the slots that are due may be fired, the last ones. `more` says that there are later ones."""
    if spec.after_ms is not None:
        return 1
    if spec.missed is Missed.CATCH_UP:
        return spec.catch_up
    in_time = spec.missed is Missed.LATEST or now_ms - last_ms <= MISSED_AFTER_MS
    return 1 if in_time and not more else 0


def _at_once(spec: ScheduleSpec) -> int:
    """How many jobs of a schedule go into one step, also when codecs make their payloads a little longer."""
    return max(1, MAX_BATCH_BYTES // (len(spec.template.payload) + _OVERHEAD_BYTES))


def _slots(spec: ScheduleSpec, after_ms: int) -> Iterator[int]:
    """The slots after an instant, each later than the one before it."""
    last_ms, end_ms = max(after_ms, (spec.start_ms or 0) - 1), _end_ms(spec)
    for slot_ms in _cron_slots(spec, last_ms) if spec.cron else _anchored(spec, last_ms):
        if slot_ms >= end_ms:
            return
        # Two local times may mean one instant, where clocks are put forward; where they are put back, one that was
        # looked for from within the hour that comes twice may lie before.
        if slot_ms > last_ms:
            last_ms = slot_ms
            yield slot_ms


def _anchored(spec: ScheduleSpec, after_ms: int) -> Iterator[int]:
    """Whole intervals from the anchor, whenever anything was fired: nothing drifts. Spec: SCHED-22"""
    every_ms = spec.every_ms or 0
    slot_ms = after_ms + every_ms - (after_ms - spec.anchor_ms) % every_ms
    while True:
        yield slot_ms
        slot_ms += every_ms


def _cron_slots(spec: ScheduleSpec, after_ms: int) -> Iterator[int]:
    """Instants that a cron expression names in its time zone. Spec: SCHED-23"""
    # Imported where it is used: a program without cron expressions does not load it.
    from cronsim import CronSim, CronSimError

    start = datetime.fromtimestamp(after_ms // 1000, zone_of(spec))
    try:
        found = CronSim(spec.cron, start)
    except CronSimError as error:
        raise InvalidInput(
            f'cron="{spec.cron}" of schedule "{spec.name}" cannot be read: {error}. Write minute, hour, day of month, '
            'month and day of week: "0 3 * * *" is every night at three.'
        ) from error
    return (int(instant.timestamp()) * 1000 for instant in found)


def _end_ms(spec: ScheduleSpec) -> int:
    return MAX_SLOT_MS if spec.end_ms is None else spec.end_ms
