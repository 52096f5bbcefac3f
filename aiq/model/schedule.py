"""Schedules: jobs that are made again and again, and when."""

from dataclasses import dataclass
from enum import StrEnum

from aiq.model.job import JobSpec


class Overlap(StrEnum):
    """What happens at a slot while the last job of the schedule has not ended."""

    ALLOW = "allow"
    """The slot is fired beside it."""
    SKIP = "skip"
    """The slot is left out."""
    CANCEL = "cancel"
    """The last job is cancelled, or asked to stop, and the slot is fired."""


class Missed(StrEnum):
    """What becomes of slots that nobody fired in time. A slot is missed when the next one has come, or a minute."""

    SKIP = "skip"
    """They are left out."""
    LATEST = "latest"
    """The last of them is fired, however late."""
    CATCH_UP = "catch_up"
    """The last `catch_up` of them are fired, oldest first."""


class Phase(StrEnum):
    """Where a schedule stands in its plan."""

    UNPLANNED = "unplanned"
    """Its next slot has to be computed."""
    PLANNED = "planned"
    """Its next slot is known."""
    WAITING = "waiting"
    """Its next slot counts from the end of its last job."""
    OVER = "over"
    """It has no next slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSpec:
    """A job that is made again and again. All instants are ms since 1970.

    `template` is the job without an id. One of three says when: `cron`, read in the time zone `tz`; `every_ms`, counted
    from `anchor_ms`; `after_ms`, counted from the end of the last job. No slot lies before `start_ms`, or at `end_ms`
    or later; at most `max_fires` slots are fired. `paused` is for a schedule that is new.
    """

    name: str
    template: JobSpec
    cron: str = ""
    tz: str = "UTC"
    every_ms: int | None = None
    anchor_ms: int = 0
    after_ms: int | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    max_fires: int | None = None
    overlap: Overlap = Overlap.ALLOW
    missed: Missed = Missed.SKIP
    catch_up: int = 1
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleStatus:
    """A schedule as it stands.

    `revision` rises with every change. `next_ms` is the slot that is next while it is PLANNED; no slot up to
    `passed_ms` is fired any more. `fires` counts slots that were fired, `skipped` those that were left out, and
    `refused` those of these whose job was refused. `last_fired_ms` is when the last job was made; `error` is why the
    last slot could not be fired, or empty.
    """

    spec: ScheduleSpec
    revision: int = 1
    paused: bool = False
    phase: Phase = Phase.UNPLANNED
    next_ms: int | None = None
    passed_ms: int = -1
    fires: int = 0
    skipped: int = 0
    refused: int = 0
    last_job_id: str | None = None
    last_fired_ms: int | None = None
    error: str = ""

    @property
    def name(self) -> str:
        """The name under which it is stored."""
        return self.spec.name

    @property
    def due_ms(self) -> int | None:
        """From when on somebody has to plan or fire it; None while nobody has to."""
        if self.paused or self.phase in (Phase.WAITING, Phase.OVER):
            return None
        return 0 if self.phase is Phase.UNPLANNED else self.next_ms

    @property
    def awaited(self) -> str | None:
        """The job for whose end it waits."""
        return self.last_job_id if self.phase is Phase.WAITING else None


@dataclass(frozen=True, slots=True)
class DueSchedules:
    """Schedules that somebody has to plan or fire now, in the order of (due instant, name), and the store's now."""

    now_ms: int
    schedules: tuple[ScheduleStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fire:
    """What a caller has computed of a schedule that is due.

    It takes effect only on the `revision` and the next slot `slot_ms` that it was computed from; without a slot it
    plans a schedule that is UNPLANNED. `jobs` are made, oldest first; `passed_ms` is the last slot that is dealt with,
    `skipped` how many up to it are left out, `refused` how many of these because their job was, and `next_ms` the one
    after it. `error` is why a slot could not be fired.
    """

    name: str
    revision: int
    slot_ms: int | None = None
    jobs: tuple[JobSpec, ...] = ()
    passed_ms: int = -1
    skipped: int = 0
    refused: int = 0
    next_ms: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Fired:
    """What a fire did. `job_ids` are the jobs that it made; `stale` says that it came too late, or too early, and did
    nothing; `existed` that it had happened before."""

    name: str
    job_ids: tuple[str, ...] = ()
    stale: bool = False
    existed: bool = False
