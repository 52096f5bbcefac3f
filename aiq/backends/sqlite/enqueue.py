"""Storing jobs: T1 for a batch, and T24 when a run spawns children."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from aiq.backends.sqlite.fan_in import DEPENDENCIES, Kind, doomed, read_wait, send_out, started
from aiq.backends.sqlite.moves import add_event
from aiq.backends.sqlite.rows import Job, ids, spec_columns
from aiq.backends.sqlite.sql import load
from aiq.backends.sqlite.transaction import SQL as COMMON
from aiq.backends.sqlite.transaction import Transaction
from aiq.backends.wakeups import job_topic, queue_topic
from aiq.bounds import MAX_DEPENDENCIES
from aiq.errors import Conflict, NotFound, TooLarge
from aiq.model import Enqueued, JobSpec, Lane, Lease, State
from aiq.rules.leases import lost_or_expired
from aiq.rules.settling import Change
from aiq.rules.states import check

SQL: Final = load("enqueue")


@dataclass(slots=True)
class _Batch:
    """A batch on its way: what stands already, and what has been stored of it, by id."""

    tx: Transaction
    parent: Job | None
    digests: dict[str, str]
    states: dict[str, State]
    stored: set[str] = field(default_factory=set)


def enqueue(tx: Transaction, specs: Sequence[JobSpec], parent: Lease | None) -> list[Enqueued]:
    """Store a batch whole or not at all: everything is checked before anything is written. Spec: ENQ-1 to ENQ-7."""
    batch = _look(tx, specs, _live_parent(tx, parent))
    fresh = _check_ids(batch, specs)
    counts = _check_children(batch, fresh)
    answers = [_store(batch, spec) for spec in specs]
    if batch.parent is not None and fresh:
        _spawned(tx, batch.parent, counts)
    return answers


def _live_parent(tx: Transaction, lease: Lease | None) -> Job | None:
    """The job that spawns. Spec: LEASE-6"""
    if lease is None:
        return None
    parent = tx.job(lease.job_id)
    gone = lost_or_expired(parent.record if parent else None, lease, tx.now_ms)
    if gone is not None:
        raise gone
    return parent


def _look(tx: Transaction, specs: Sequence[JobSpec], parent: Job | None) -> _Batch:
    asked = {spec.id for spec in specs}.union(*(spec.depends_on for spec in specs))
    rows = tx.rows(SQL["standing"], {"ids": ids(asked)})
    digests = {job_id: digest for job_id, digest, _ in rows}
    return _Batch(tx, parent, digests, {job_id: State(state) for job_id, _, state in rows})


def _check_ids(batch: _Batch, specs: Sequence[JobSpec]) -> list[JobSpec]:
    """Find what is new, as if each job saw those before it. Spec: ENQ-2, ENQ-3, ENQ-7, FLOW-7"""
    digests, fresh = dict(batch.digests), []
    for spec in specs:
        if spec.id not in digests:
            _check_dependencies(spec, digests)
            digests[spec.id] = spec.digest
            fresh.append(spec)
        elif digests[spec.id] != spec.digest:
            raise Conflict(f"Job {spec.id!r} is stored already, with another content.", reason="content")
    return fresh


def _check_dependencies(spec: JobSpec, known: dict[str, str]) -> None:
    for dependency in spec.depends_on:
        if dependency not in known:
            raise NotFound(dependency, f"Job {spec.id!r} depends on {dependency!r}, which is not stored.")


def _check_children(batch: _Batch, fresh: Sequence[JobSpec]) -> Counter[str]:
    """Count the new children by key, and refuse more under one than a fan-in takes."""
    counts = Counter(spec.child_of for spec in fresh if spec.child_of is not None)
    for key, count in counts.items():
        assert batch.parent is not None
        total = read_wait(batch.tx, batch.parent.n, key).total + count
        if total > MAX_DEPENDENCIES:
            raise TooLarge(f"number of children under {key!r}", total, MAX_DEPENDENCIES, "Make it a tree.")
    return counts


def _store(batch: _Batch, spec: JobSpec) -> Enqueued:
    standing = batch.states.get(spec.id)
    if standing is not None:
        return Enqueued(spec.id, standing, existed=True)
    tx, n = batch.tx, batch.tx.next_number()
    change, pending = _first_state(tx, n, spec)
    check("T1", None, change.state)
    _insert(batch, n, spec, change, pending)
    batch.states[spec.id] = change.state
    tx.topics.add(job_topic(spec.id))
    tx.topics.add(queue_topic(spec.queue))
    return Enqueued(spec.id, change.state)


def _first_state(tx: Transaction, n: int, spec: JobSpec) -> tuple[Change, int]:
    """Where a new job stands, and on how many it waits. One that depends on a bad end never starts: upkeep ends it."""
    if spec.depends_on:
        upstreams = {"n": n, "id": spec.id, "upstreams": ids(dict.fromkeys(spec.depends_on))}
        tx.run(SQL["depend"], upstreams)
        tx.run(SQL["count_dependencies"], upstreams)
        tx.run(SQL["await_upstreams"], upstreams)
        wait = read_wait(tx, n, DEPENDENCIES)
        ended_badly = doomed(spec.on_upstream, wait)
        if ended_badly:
            send_out(tx, Kind.DIE, n)
        if ended_badly or wait.pending:
            return Change("T1", State.WAITING, Lane.FRESH, wait_key=DEPENDENCIES), wait.pending
    return started(spec, "T1", tx.now_ms, tx.now_ms), 0


def _insert(batch: _Batch, n: int, spec: JobSpec, change: Change, pending: int) -> None:
    tx, parent = batch.tx, batch.parent
    columns = {
        **spec_columns(spec),
        "n": n,
        "state": change.state.value,
        "lane": int(change.lane),
        "position": tx.next_position() if change.state is State.READY else 0,
        "due_ms": None if change.delay_ms is None else tx.now_ms + change.delay_ms,
        "wait_key": change.wait_key,
        "pending": pending,
        "parent_id": parent and parent.record.id,
        "dependents": parent is not None,
        "dependent": parent and parent.n,
        "created_at_ms": tx.now_ms,
    }
    tx.later(SQL["job"], columns)
    tx.later(SQL["payload"], columns)
    if parent is not None:
        tx.later(SQL["edge"], columns)
    event = {"change": tx.next_change(), "n": n, "number": 1, "at_ms": tx.now_ms, "transition": "T1"}
    tx.later(COMMON["event"], {**event, "source": None, "target": change.state.value, "fence": 0})


def _spawned(tx: Transaction, parent: Job, counts: Counter[str]) -> None:
    """Count the new children with their parent (T24). Spec: FLOW-8, FAN-5"""
    check("T24", parent.record.state, State.RUNNING)
    tx.many(
        SQL["count_children"],
        [{"n": parent.n, "wait_key": key, "count": count} for key, count in counts.items()],
    )
    tx.run(SQL["spawned"], {"n": parent.n})
    add_event(tx, parent.n, parent.record, "T24", State.RUNNING)
    tx.forget(parent)
