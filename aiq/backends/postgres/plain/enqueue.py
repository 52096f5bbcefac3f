"""Storing plain jobs by one function of the schema, see migrations/0004_plain/2_enqueue.sql."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec

from aiq.backends.postgres.atomic import Home, alone, call, tell
from aiq.backends.postgres.line import Line
from aiq.model import Enqueued, JobSpec, Lease, State
from aiq.storage import events_topic, job_topic, queue_topic

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


def enqueue(
    home: Home, line: Line, unwanted: Callable[[], bool], batch: Sequence[JobSpec], _parent: None
) -> list[Enqueued] | None:
    """Store a batch whole, or answer nothing where it has to be decided in Python. Spec: ENQ-1 to ENQ-7"""
    ids, queues = [spec.id for spec in batch], [spec.queue for spec in batch]
    found: dict[tuple[object, ...], int] = {}
    kinds = [found.setdefault(_kind_of(spec), len(found)) for spec in batch]
    described = [{"kind": number, **dict(zip(_KIND, kind, strict=True))} for kind, number in found.items()]
    columns = (ids, [spec.digest for spec in batch], [spec.payload for spec in batch], kinds, queues)
    given = (*alone(home), *columns, msgspec.json.encode(described).decode())
    (answer,) = call(home, line, unwanted, "aiq_enqueue_4", given)
    if answer is None:
        return None
    now_ms, changes = answer
    topics = {events_topic(), *map(job_topic, ids), *map(queue_topic, set(queues))}
    tell(home, line, topics, range(changes + 1, changes + 1 + len(ids)))
    states = [_first_state(kind, now_ms) for kind in described]
    return [Enqueued(job_id, states[kind]) for job_id, kind in zip(ids, kinds, strict=True)]


# Any: what is said of a kind is as many types as columns.
def _first_state(kind: Mapping[str, Any], now_ms: int) -> State:
    """As `fan_in.started` has it."""
    start_ms = now_ms + kind["delay_ms"] if kind["at_ms"] is None else kind["at_ms"]
    return State.SCHEDULED if start_ms > now_ms else State.READY
