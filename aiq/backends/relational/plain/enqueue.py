"""Which batches of new jobs may be plain, and what the jobs of such a batch have in common."""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from aiq.model import JobSpec, Lease, State

_KIND: Final = (
    *("task", "queue", "band", "lease_ms", "max_attempts", "max_stalls", "delay_ms", "at_ms", "deadline_ms"),
    *("expires_ms", "keep_ms", "timeout_ms", "max_deferral_ms", "flow", "key", "on_upstream", "origin"),
)
"""What many jobs of a batch have in common, so that it is sent and read once for all of them."""
_kind_of: Final = attrgetter(*_KIND)
_more_of: Final = attrgetter(
    *("tenant", "unique", "per_key", "depends_on", "limits", "routes", "estimate", "budgets", "creates", "on_parent")
)
_NOTHING: Final = ("", None, 0, (), (), (), None, (), (), "cancel")
"""What a plain job has of these: all that would be written beside its own rows, or looked at before."""


def may_be_plain(batch: Sequence[JobSpec], parent: Lease | None) -> bool:
    """Whether nobody spawns these jobs, all of them are plain, and none comes twice."""
    if parent is not None or not batch or any(_more_of(spec) != _NOTHING for spec in batch):
        return False
    return len({spec.id for spec in batch}) == len(batch)


# Any: what is said of a kind is as many types as columns.
def kinds(batch: Sequence[JobSpec]) -> tuple[list[int], list[dict[str, Any]]]:
    """Of which kind each job is, and what these kinds are."""
    found: dict[tuple[object, ...], int] = {}
    numbers = [found.setdefault(_kind_of(spec), len(found)) for spec in batch]
    return numbers, [dict(zip(_KIND, kind, strict=True)) for kind in found]


def start_ms(kind: Mapping[str, Any], now_ms: int) -> int:
    """When jobs of a kind may start."""
    return int(now_ms + kind["delay_ms"] if kind["at_ms"] is None else kind["at_ms"])


def first_state(kind: Mapping[str, Any], now_ms: int) -> State:
    """As `fan_in.started` has it."""
    return State.SCHEDULED if start_ms(kind, now_ms) > now_ms else State.READY
