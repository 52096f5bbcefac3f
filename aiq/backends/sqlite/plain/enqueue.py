"""Storing plain jobs in a few statements, see sql/plain_enqueue.sql."""

import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from aiq.backends.relational.fan_in import started
from aiq.backends.relational.plain import enqueue as plain
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.model import Enqueued, JobSpec, State
from aiq.model.making import maker
from aiq.rules.deadlines import effective_ms
from aiq.rules.metrics import COLUMNS
from aiq.storage import job_topic, queue_topic

SQL: Final = load("plain_enqueue")

MOST_KINDS: Final = 4
"""Each kind of jobs is two statements; a batch of more kinds is put down job by job, as the step does it."""
_ENQUEUED: Final = COLUMNS.index("enqueued")
_encode: Final = msgspec.json.Encoder().encode
_answer: Final = maker(Enqueued, ("job_id", "state"))


def enqueue(tx: Transaction, batch: Sequence[JobSpec], _parent: None) -> list[Enqueued] | None:
    """Store a batch whole, or answer nothing where it has to be looked at job by job. Spec: ENQ-1 to ENQ-7"""
    numbers, found = plain.kinds(batch)
    if len(found) > MOST_KINDS:
        return None
    queues = list(dict.fromkeys(kind["queue"] for kind in found))
    if tx.rows(SQL["any_settings"], {"queues": json.dumps(queues)})[0][0]:
        return None
    states = [plain.first_state(kind, tx.now_ms) for kind in found]
    ready = _put_down(tx, batch, numbers, states)
    if ready is None:
        return None
    if tx.rows(SQL["any_known"])[0][0]:
        tx.run(SQL["clear"])
        return None
    _store(tx, batch, numbers, found, ready)
    tx.run(SQL["clear"])
    tx.topics.update([job_topic(spec.id) for spec in batch], map(queue_topic, queues))
    return [_answer(spec.id, states[kind]) for spec, kind in zip(batch, numbers, strict=True)]


def _put_down(tx: Transaction, batch: Sequence[JobSpec], numbers: Sequence[int], states: Sequence[State]) -> int | None:
    """Put down what is each job's own, and say how many stand ready at once; None where it cannot be said in UTF-8."""
    rows, start, ready = [], 2, 0
    for place, (spec, kind) in enumerate(zip(batch, numbers, strict=True), 1):
        is_ready, size = states[kind] is State.READY, len(spec.payload)
        ready += is_ready
        rows.append((place, spec.id, spec.digest, start, size, kind, ready if is_ready else None))
        start += size
    try:
        text = _encode(rows).decode()
    except UnicodeEncodeError:
        return None
    tx.run(SQL["new"], {"rows": text})
    return ready


# Any: what is said of a kind is as many types as columns.
def _store(
    tx: Transaction,
    batch: Sequence[JobSpec],
    numbers: Sequence[int],
    found: Sequence[dict[str, Any]],
    ready: int,
) -> None:
    before = {"before_n": tx.next_numbers(len(batch)).start - 1, "now_ms": tx.now_ms}
    before_position = tx.next_positions(ready).start - 1
    # They begin with a byte that nobody points to: SQLite takes an empty value for none at all.
    payloads = b"\0" + b"".join([spec.payload for spec in batch])
    for number, kind in enumerate(found):
        spec = batch[numbers.index(number)]
        tx.run(
            SQL["jobs"], {**kind, **_standing(tx, spec), **before, "before_position": before_position, "kind": number}
        )
        tx.run(SQL["specs"], {**kind, **before, "payloads": payloads, "kind": number})
        tx.figures(spec.queue, spec.task)[_ENQUEUED] += numbers.count(number)
    changes = tx.next_changes(len(batch))
    tx.run(SQL["events"], {**before, "before": changes.start - 1})
    tx.logged += len(batch)


def _standing(tx: Transaction, spec: JobSpec) -> dict[str, object]:
    """What the jobs of a kind are at first."""
    change = started(spec, "T1", tx.now_ms, tx.now_ms)
    return {
        "state": change.state,
        "lane": change.lane,
        "due_ms": None if change.delay_ms is None else tx.now_ms + change.delay_ms,
        "deadline_ms": effective_ms(spec, None, tx.now_ms),
    }
