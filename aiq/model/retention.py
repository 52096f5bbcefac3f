"""How long what is over is kept."""

from dataclasses import dataclass, field
from typing import Final

_DAY_MS: Final = 24 * 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How long rows of one kind are kept, and how many of them; None is not bounded. The oldest go first."""

    for_ms: int | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSpec:
    """What a storage keeps of what is over. Upkeep removes the rest, a bounded amount at a time.

    `succeeded`, `dead` and `cancelled` are jobs, by when they ended, with everything that belongs to them. What may go
    before its job: `results` of jobs that have succeeded; `steps` and `streams` of those that have ended; `signals`
    that were taken, or whose job has ended. `events` are the log of transitions, `minutes` the metrics and `usage` what
    was used in each minute by tenants and by all. `ids_ms` is how long the id of a job that is gone is remembered, so
    that enqueueing it again stores nothing.
    """

    succeeded: Keep = field(default=Keep(for_ms=7 * _DAY_MS))
    dead: Keep = field(default=Keep(for_ms=30 * _DAY_MS))
    cancelled: Keep = field(default=Keep(for_ms=7 * _DAY_MS))
    results: Keep = field(default=Keep())
    steps: Keep = field(default=Keep())
    signals: Keep = field(default=Keep())
    streams: Keep = field(default=Keep())
    events: Keep = field(default=Keep(for_ms=_DAY_MS, count=1_000_000))
    minutes: Keep = field(default=Keep(for_ms=30 * _DAY_MS))
    usage: Keep = field(default=Keep(for_ms=400 * _DAY_MS))
    ids_ms: int = _DAY_MS
