"""Workers, as they tell of themselves and as a storage tells of them."""

from dataclasses import dataclass
from enum import StrEnum


class WorkerState(StrEnum):
    """What is known of a worker by what it last said. Spec: WORK-2"""

    ALIVE = "alive"
    BLOCKED = "blocked"
    """It says that its loop does not turn: a handler keeps it from everything else. Its leases are renewed."""
    GONE = "gone"
    """It has said nothing for WORKER_GONE_MS."""


@dataclass(frozen=True, slots=True)
class SlotUse:
    """How many jobs of a queue a worker runs at once, and how many it runs now.

    `used` is over `total` while runs that had lent their places have taken them back.
    """

    queue: str
    total: int
    used: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What a worker says of itself, every few seconds.

    `worker` is the name under which it claims, the owner of its jobs. `up_ms` is how long it has been up; `lent` how
    many of its runs have lent their places while they wait; `lag_ms` how long its loop took, or has taken so far, to
    answer; `blocked` that this is too long.
    """

    worker: str
    host: str = ""
    pid: int = 0
    up_ms: int = 0
    version: str = ""
    python: str = ""
    slots: tuple[SlotUse, ...] = ()
    lent: int = 0
    lag_ms: int = 0
    blocked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A worker as a storage knows it: its last beat, and how it stands by the store's clock.

    `silent_ms` is how long ago the beat came, `started_at_ms` when the worker was up by its first one.
    """

    beat: Beat
    state: WorkerState
    started_at_ms: int
    beat_at_ms: int
    silent_ms: int
