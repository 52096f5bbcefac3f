"""Dead letters: groups of jobs that died of the same thing, and how jobs are given another generation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from aiq.model.job import Band, Cause, State

AGES_MS: Final = (3_600_000, 21_600_000, 86_400_000, 604_800_000, 2_592_000_000)
"""The ages at which a histogram of ages is cut: 1 hour, 6 hours, 1 day, 7 days, 30 days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadGroup:
    """Jobs that died of the same thing. Spec: DEAD-3, DEAD-4, DEAD-22

    Task, cause, type, code, place and pattern are those of the newest death. `dead` are there now, `died` is how many
    deaths there were. `tokens` and `usd_micros` are what these jobs had used. Of those that were redriven, `recovered`
    have succeeded and `relapsed` have died again.
    """

    fingerprint: str
    task: str
    cause: Cause
    type: str
    code: str
    place: str
    pattern: str
    first_seen_ms: int
    last_seen_ms: int
    dead: int = 0
    died: int = 0
    attempts: int = 0
    tokens: int = 0
    usd_micros: int = 0
    redriven: int = 0
    recovered: int = 0
    relapsed: int = 0
    touched_at_ms: int = 0

    @property
    def success_rate(self) -> float | None:
        """How many of those that were redriven, and have ended, have succeeded; None while none has ended."""
        ended = self.recovered + self.relapsed
        return self.recovered / ended if ended else None


@dataclass(frozen=True, slots=True)
class Sample:
    """What a job that died worked on, as its worker told it: a text without secrets."""

    job_id: str
    died_at_ms: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStatus:
    """A group as it stands now. `ages` counts its jobs by how long ago they died: those within each of AGES_MS that
    are in none before, and the rest."""

    group: DeadGroup
    oldest_ms: int | None
    ages: tuple[int, ...]
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadQuery:
    """Which groups are asked for, and which of them come first: those of the newest death, or with the most dead."""

    fingerprint: str | None = None
    by: Literal["last_seen", "dead"] = "last_seen"


@dataclass(frozen=True, slots=True)
class GroupPage:
    """A part of the groups. `cursor` asks for the next part; None ends it."""

    groups: tuple[GroupStatus, ...]
    cursor: str | None

    def __iter__(self) -> Iterator[GroupStatus]:
        """The groups of this part."""
        return iter(self.groups)


@dataclass(frozen=True, slots=True)
class Target:
    """A job to be redriven, and the generation in which it was seen to end."""

    job_id: str
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Redrive:
    """Jobs to be given another generation. Spec: DEAD-11 to DEAD-19

    `id` names the redrive, so that it can be repeated. What is None stays as it is. `budget` is the one that the jobs
    draw from instead of their own; `payload` is for a single job. The first is due after `delay_ms`, each further one
    `spread_ms` later.
    """

    id: str
    targets: tuple[Target, ...]
    queue: str | None = None
    band: Band | None = None
    route: str | None = None
    budget: str | None = None
    payload: bytes | None = None
    delay_ms: int = 0
    spread_ms: int = 0
    forget_steps: bool = False
    detach: bool = False


@dataclass(frozen=True, slots=True)
class Redriven:
    """A job that has another generation. `existed` says that this redrive had given it that before."""

    job_id: str
    state: State
    generation: int
    existed: bool = False


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge found: the state of a job, None where no such job is known, and whether it is gone now. One that has
    ended and is not gone is needed by another."""

    job_id: str
    state: State | None
    gone: bool
