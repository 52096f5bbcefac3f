"""Storing plain jobs by one function of the schema, see migrations/0004_plain/2_enqueue.sql."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from aiq.backends.postgres.atomic import Home, alone, call, tell
from aiq.backends.postgres.line import Line
from aiq.backends.relational.plain.enqueue import first_state, kinds
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.model import Enqueued, JobSpec
from aiq.storage import events_topic, job_topic, queue_topic

SQL: Final = load("plain_enqueue")


def enqueue(
    home: Home, line: Line, unwanted: Callable[[], bool], batch: Sequence[JobSpec], _parent: None
) -> list[Enqueued] | None:
    """Store a batch whole, or answer nothing where it has to be decided in Python. Spec: ENQ-1 to ENQ-7"""
    ids, queues = [spec.id for spec in batch], [spec.queue for spec in batch]
    numbers, found = kinds(batch)
    columns = (ids, [spec.digest for spec in batch], [spec.payload for spec in batch], numbers, queues)
    given = (*alone(home), *columns, _described(found))
    (answer,) = call(home, line, unwanted, "aiq_enqueue_4", given)
    if answer is None:
        return None
    now_ms, changes = answer
    topics = {events_topic(), *map(job_topic, ids), *map(queue_topic, set(queues))}
    tell(home, line, topics, range(changes + 1, changes + 1 + len(ids)))
    states = [first_state(kind, now_ms) for kind in found]
    return [Enqueued(job_id, states[kind]) for job_id, kind in zip(ids, numbers, strict=True)]


def store(tx: Transaction, batch: Sequence[JobSpec]) -> bool:
    """Store a batch within a step, whatever bound its queues have; False where an id is known. Spec: ENQ-9"""
    numbers, found = kinds(batch)
    parameters = {
        "now_ms": tx.now_ms,
        "ids": tuple([spec.id for spec in batch]),
        "digests": tuple([spec.digest for spec in batch]),
        "payloads": tuple([spec.payload for spec in batch]),
        "kinds": tuple(numbers),
        "described": _described(found),
    }
    if tx.rows(SQL["store"], parameters)[0][0] is None:
        return False
    queues = {spec.queue for spec in batch}
    tx.topics.update([events_topic()], [job_topic(spec.id) for spec in batch], map(queue_topic, queues))
    return True


# Any: what is said of a kind is as many types as columns.
def _described(found: Sequence[Mapping[str, Any]]) -> str:
    return msgspec.json.encode([{"kind": number, **kind} for number, kind in enumerate(found)]).decode()
