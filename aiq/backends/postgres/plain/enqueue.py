"""Storing plain jobs by one function of the schema, see migrations/0004_plain/2_enqueue.sql."""

from collections.abc import Callable, Sequence

import msgspec

from aiq.backends.postgres.atomic import Home, alone, call, tell
from aiq.backends.postgres.line import Line
from aiq.backends.relational.plain.enqueue import first_state, kinds
from aiq.model import Enqueued, JobSpec
from aiq.storage import events_topic, job_topic, queue_topic


def enqueue(
    home: Home, line: Line, unwanted: Callable[[], bool], batch: Sequence[JobSpec], _parent: None
) -> list[Enqueued] | None:
    """Store a batch whole, or answer nothing where it has to be decided in Python. Spec: ENQ-1 to ENQ-7"""
    ids, queues = [spec.id for spec in batch], [spec.queue for spec in batch]
    numbers, found = kinds(batch)
    described = [{"kind": number, **kind} for number, kind in enumerate(found)]
    columns = (ids, [spec.digest for spec in batch], [spec.payload for spec in batch], numbers, queues)
    given = (*alone(home), *columns, msgspec.json.encode(described).decode())
    (answer,) = call(home, line, unwanted, "aiq_enqueue_4", given)
    if answer is None:
        return None
    now_ms, changes = answer
    topics = {events_topic(), *map(job_topic, ids), *map(queue_topic, set(queues))}
    tell(home, line, topics, range(changes + 1, changes + 1 + len(ids)))
    states = [first_state(kind, now_ms) for kind in found]
    return [Enqueued(job_id, states[kind]) for job_id, kind in zip(ids, numbers, strict=True)]
