"""Storing jobs: T1 for a batch, and T24 when a run spawns children."""

from collections.abc import Sequence
from dataclasses import fields, replace

from aiq.backends.memory.data import Kind, Outgoing
from aiq.backends.memory.fan_in import DEPENDENCIES, add_edge, doomed, started
from aiq.backends.memory.transition import Transaction, move
from aiq.bounds import MAX_DEPENDENCIES
from aiq.errors import Conflict, NotFound, TooLarge
from aiq.model import Enqueued, JobRecord, JobSpec, Lease, State, Wait
from aiq.rules.leases import lost_or_expired
from aiq.rules.validation import check_batch

_SPEC_FIELDS = [field.name for field in fields(JobSpec)]


def enqueue(tx: Transaction, batch: Sequence[JobSpec], parent: Lease | None) -> list[Enqueued]:
    """Store a batch whole or not at all: everything is checked before anything is written. Spec: ENQ-1 to ENQ-8."""
    check_batch(batch, parent)
    _check_parent(tx, parent)
    _check_ids(tx, batch, parent)
    _check_children(tx, batch, parent)
    known = len(tx.tables.jobs)
    answers = [_store(tx, spec, parent) for spec in batch]
    if parent is not None and len(tx.tables.jobs) > known:
        spawner = tx.tables.jobs[parent.job_id]
        move(tx, "T24", spawner, spawner)
    return answers


def _check_parent(tx: Transaction, parent: Lease | None) -> None:
    if parent is not None:
        gone = lost_or_expired(tx.tables.jobs.get(parent.job_id), parent, tx.now_ms)
        if gone is not None:
            raise gone


def _check_ids(tx: Transaction, batch: Sequence[JobSpec], parent: Lease | None) -> None:
    """Look for conflicts and unknown dependencies, as if each job saw those before it. Spec: ENQ-3, ENQ-7, FLOW-7"""
    fresh: dict[str, JobSpec] = {}
    for spec in batch:
        standing = tx.tables.jobs.get(spec.id) or fresh.get(spec.id)
        if standing is None:
            for dependency in spec.depends_on:
                if dependency not in tx.tables.jobs and dependency not in fresh:
                    raise NotFound(dependency, f"Job {spec.id!r} depends on {dependency!r}, which is not stored.")
            fresh[spec.id] = spec
        elif standing.digest != spec.digest:
            raise Conflict(f"Job {spec.id!r} is stored already, with another content.", reason="content")
        elif parent is not None and not _is_child(standing, parent, spec):
            raise Conflict(f"Job {spec.id!r} is stored already, and not as a child of this wait.", reason="parent")


def _is_child(standing: JobSpec | JobRecord, parent: Lease, spec: JobSpec) -> bool:
    """Whether what stands under an id already counts for the wait under which it is spawned. Spec: FLOW-16"""
    same_parent = not isinstance(standing, JobRecord) or standing.parent_id == parent.job_id
    return same_parent and standing.child_of == spec.child_of


def _check_children(tx: Transaction, batch: Sequence[JobSpec], parent: Lease | None) -> None:
    """Refuse more children under one key than a fan-in takes."""
    if parent is None:
        return
    fresh = {spec.id: spec.child_of for spec in batch if spec.id not in tx.tables.jobs}
    for key in set(fresh.values()):
        wait = tx.tables.waits.get((parent.job_id, key or ""), Wait("", 0))
        total = wait.total + sum(1 for other in fresh.values() if other == key)
        if total > MAX_DEPENDENCIES:
            raise TooLarge(f"number of children under {key!r}", total, MAX_DEPENDENCIES, "Make it a tree.")


def _store(tx: Transaction, spec: JobSpec, parent: Lease | None) -> Enqueued:
    standing = tx.tables.jobs.get(spec.id)
    if standing is not None:
        return Enqueued(spec.id, standing.state, existed=True)
    for dependency in dict.fromkeys(spec.depends_on):
        add_edge(tx, tx.tables.jobs[dependency], spec.id, DEPENDENCIES)
    record = move(tx, "T1", None, _first_state(tx, _new_record(tx, spec, parent)))
    if parent is not None and spec.child_of is not None:
        tx.tables.children[parent.job_id].append(spec.id)
        add_edge(tx, record, parent.job_id, spec.child_of)
    return Enqueued(spec.id, record.state)


def _new_record(tx: Transaction, spec: JobSpec, parent: Lease | None) -> JobRecord:
    content = {name: getattr(spec, name) for name in _SPEC_FIELDS}
    return JobRecord(
        **content,
        state=State.WAITING,
        wait_key=DEPENDENCIES,
        parent_id=parent.job_id if parent else None,
        created_at_ms=tx.now_ms,
    )


def _first_state(tx: Transaction, record: JobRecord) -> JobRecord:
    """Where a new job stands. One that depends on a bad end never starts: upkeep ends it."""
    wait = tx.tables.waits.get((record.id, DEPENDENCIES), Wait(DEPENDENCIES, 0))
    if doomed(record, wait):
        tx.tables.outbox.append(Outgoing(Kind.DIE, record.id))
        return _waiting(record, wait)
    return _waiting(record, wait) if wait.pending else started(tx, record)


def _waiting(record: JobRecord, wait: Wait) -> JobRecord:
    return replace(record, pending=wait.pending)
