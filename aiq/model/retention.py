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

    `succeeded`, `dead` and `cancelled` are jobs, by when they ended, with everything that belongs to them. `streams`
    are the streams of ended jobs alone, `events` the log of transitions, `minutes` the metrics and `usage` what was
    used in each minute by tenants and by all. `ids_ms` is how long the id of a job that is gone is remembered, so that
    enqueueing it again stores nothing.
    """

    succeeded: Keep = field(default=Keep(for_ms=7 * _DAY_MS))
    dead: Keep = field(default=Keep(for_ms=30 * _DAY_MS))
    cancelled: Keep = field(default=Keep(for_ms=7 * _DAY_MS))
    streams: Keep = field(default=Keep())
    events: Keep = field(default=Keep(for_ms=_DAY_MS, count=1_000_000))
    minutes: Keep = field(default=Keep(for_ms=30 * _DAY_MS))
    usage: Keep = field(default=Keep(for_ms=400 * _DAY_MS))
    ids_ms: int = _DAY_MS
