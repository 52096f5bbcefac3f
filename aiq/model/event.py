"""What happened to jobs: the log of transitions, and what is counted of them by minute."""

from dataclasses import dataclass
from typing import Final

from aiq.model.job import Cause, State

NOW: Final = "now"
"""In the place of a cursor: behind the newest event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One transition of a job. `number` is 1, 2, 3 … within the job, `cursor` its place in the log of the storage.

    `transition` is the name of a row of the table of states, `row` the row's own number; `source` is None for a new
    job. `cause` is why a job died, of the event by which it did.
    """

    cursor: str
    job_id: str
    task: str
    queue: str
    number: int
    row: str
    transition: str
    source: State | None
    target: State
    fence: int
    at_ms: int
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class EventPage:
    """A part of the log. `cursor` asks for what comes after it, and is never None: more may happen at any time.

    `lost` says that events between the cursor asked from and the first of these were removed before they were read;
    `more` that there are more already.
    """

    events: tuple[Event, ...]
    cursor: str
    lost: bool = False
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteFilter:
    """Which minutes are asked for: of a queue, of a task, from an instant on; None is all."""

    queue: str | None = None
    task: str | None = None
    since_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteRow:
    """What happened within one minute to the jobs of one queue and task.

    `ended` counts the runs that were over, however; `failed` those among them that failed or whose lease expired,
    `retried` those of the failed after which the job goes on. `waited_ms` is how long the jobs that started had stood
    ready, `ran_ms` how long the runs that ended had lasted, each in all and at most. Money is in micro-dollars.
    """

    minute_ms: int
    queue: str
    task: str
    enqueued: int = 0
    started: int = 0
    ended: int = 0
    succeeded: int = 0
    failed: int = 0
    retried: int = 0
    dead: int = 0
    cancelled: int = 0
    waited_ms: int = 0
    waited_most_ms: int = 0
    ran_ms: int = 0
    ran_most_ms: int = 0
    tokens: int = 0
    usd_micros: int = 0


@dataclass(frozen=True, slots=True)
class MinutePage:
    """A part of the metrics, in the order of (minute, queue, task). `cursor` asks for the next part."""

    rows: tuple[MinuteRow, ...]
    cursor: str | None
