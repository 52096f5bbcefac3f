"""Storing jobs: T1 for a batch, and T24 when a run spawns children."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace

from aiq.backends.memory.books import MemoryBooks
from aiq.backends.memory.data import Outgoing
from aiq.backends.memory.fan_in import add_edge, doomed, started
from aiq.backends.memory.transition import Transaction, move
from aiq.backends.memory.unique import answer, look_up, take_key
from aiq.bounds import MAX_DEPENDENCIES
from aiq.errors import Conflict, NotFound, QueueFull, TooLarge
from aiq.model import BudgetSpec, Enqueued, JobRecord, JobSpec, Lease, QueueSettings, State, Wait
from aiq.rules.booking import check_at_enqueue
from aiq.rules.deadlines import effective_ms
from aiq.rules.keys import branch_under, check_order
from aiq.rules.leases import lost_or_expired
from aiq.rules.outbox import DEPENDENCIES, Kind
from aiq.rules.retention import check_tombstone
from aiq.rules.trees import to_store
from aiq.rules.unique import Taken
from aiq.rules.validation import check_batch

_SPEC_FIELDS = [field.name for field in fields(JobSpec)]


def enqueue(tx: Transaction, batch: Sequence[JobSpec], parent: Lease | None) -> list[Enqueued]:
    """Store a batch whole or not at all: everything is checked before anything is written. Spec: ENQ-1 to ENQ-8."""
    check_batch(batch, parent)
    _check_parent(tx, parent)
    taken = look_up(tx, batch)
    fresh = _check_ids(tx, [spec for spec in batch if spec.id not in taken], parent)
    _check_children(tx, batch, parent)
    changed = [spec for spec in batch if spec.id in taken and taken[spec.id].changes]
    created = _check_admission(tx, fresh, [_as_changed(tx, spec, taken[spec.id], fresh) for spec in changed])
    _check_order(tx, fresh)
    if parent is None:
        _check_room(tx, fresh)
    tx.tables.accounts.budgets |= created
    known = len(tx.tables.jobs)
    answers = [_store(tx, spec, parent, taken.get(spec.id)) for spec in batch]
    if parent is not None and len(tx.tables.jobs) > known:
        spawner = tx.tables.jobs[parent.job_id]
        move(tx, "T24", spawner, spawner)
    return answers


def check_for_ever(tx: Transaction, spec: JobSpec) -> None:
    """Refuse a job that could never be stored as the storage stands; writes nothing. Spec: SCHED-27"""
    _check_admission(tx, [spec], ())
    _check_order(tx, [spec])


def _check_parent(tx: Transaction, parent: Lease | None) -> None:
    if parent is not None:
        gone = lost_or_expired(tx.tables.jobs.get(parent.job_id), parent, tx.now_ms)
        if gone is not None:
            raise gone


def _check_ids(tx: Transaction, batch: Sequence[JobSpec], parent: Lease | None) -> list[JobSpec]:
    """Look for conflicts and unknown dependencies, as if each job saw those before it; say which jobs are new.

    Spec: ENQ-3, ENQ-7, FLOW-7
    """
    fresh: dict[str, JobSpec] = {}
    for spec in batch:
        standing = tx.tables.jobs.get(spec.id) or fresh.get(spec.id)
        if spec.id in tx.tables.tombstones:
            check_tombstone(spec, tx.tables.tombstones[spec.id].digest, parent)
        elif standing is None:
            for dependency in spec.depends_on:
                if dependency not in tx.tables.jobs and dependency not in fresh:
                    raise NotFound(dependency, f"Job {spec.id!r} depends on {dependency!r}, which is not stored.")
            fresh[spec.id] = spec
        elif standing.digest != spec.digest:
            raise Conflict(f"Job {spec.id!r} is stored already, with another content.", reason="content")
        elif parent is not None and not _is_child(standing, parent, spec):
            raise Conflict(f"Job {spec.id!r} is stored already, and not as a child of this wait.", reason="parent")
    return list(fresh.values())


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


def _as_changed(tx: Transaction, spec: JobSpec, taken: Taken, fresh: Sequence[JobSpec]) -> JobSpec:
    """What a job that is stored, or is about to be, draws from admission with the content of a new one. Spec: UNIQ-6"""
    standing = tx.tables.jobs.get(taken.job_id) or next(one for one in fresh if one.id == taken.job_id)
    return replace(standing, estimate=spec.estimate)


def _check_admission(tx: Transaction, fresh: Sequence[JobSpec], changed: Sequence[JobSpec]) -> dict[str, BudgetSpec]:
    """Refuse jobs that could never run, and say which budgets come with the others.

    Spec: CALL-17, CALL-18, HOLD-8, BUDGET-11
    """
    brought = [budget for spec in fresh for budget in spec.creates]
    created = to_store(tx.tables.accounts.budgets, brought, absent_only=True)
    books = MemoryBooks(tx, created)
    for spec in (*fresh, *changed):
        check_at_enqueue(books, spec)
    return created


def _check_order(tx: Transaction, fresh: Sequence[JobSpec]) -> None:
    """Refuse ordered jobs that could not start in their order. Spec: LIFO-2"""
    for spec in fresh:
        if spec.ordered:
            check_order(spec, lifo=tx.tables.accounts.queues.get(spec.queue, QueueSettings()).lifo)


def _check_room(tx: Transaction, fresh: Sequence[JobSpec]) -> None:
    """Refuse a batch with more jobs that would stand ready or scheduled than a queue has room for. Spec: QUEUE-1"""
    accounts = tx.tables.accounts
    more = Counter(spec.queue for spec in fresh if _stands_at_once(tx, spec))
    for queue, count in more.items():
        bound = accounts.queues.get(queue, QueueSettings()).max_ready
        if bound is not None and accounts.unstarted[queue] + count > bound:
            raise QueueFull(queue, accounts.unstarted[queue], bound)


def _stands_at_once(tx: Transaction, spec: JobSpec) -> bool:
    """Whether a new job waits for no other one."""
    upstream = [tx.tables.jobs.get(job_id) for job_id in spec.depends_on]
    ended = all(record is not None and record.state.terminal for record in upstream)
    bad = any(record is not None and record.state is not State.SUCCEEDED for record in upstream)
    return ended and not (bad and spec.on_upstream == "fail")


def _store(tx: Transaction, spec: JobSpec, parent: Lease | None, taken: Taken | None) -> Enqueued:
    standing = tx.tables.jobs.get(spec.id)
    if standing is not None:
        return Enqueued(spec.id, standing.state, existed=True, by="id")
    if spec.id in tx.tables.tombstones:
        return Enqueued(spec.id, tx.tables.tombstones[spec.id].state, existed=True, by="id", gone=True)
    if taken is not None:
        return answer(tx, spec, taken)
    for dependency in dict.fromkeys(spec.depends_on):
        add_edge(tx, tx.tables.jobs[dependency], spec.id, DEPENDENCIES)
    if parent is not None:
        above, numbers = tx.tables.jobs[parent.job_id], tx.tables.numbers
        child_of_child = above.parent_id is not None
        tx.tables.branches[spec.id] = branch_under(
            numbers[above.id], tx.tables.branches[above.id] if child_of_child else None
        )
    record = move(tx, "T1", None, _first_state(tx, _new_record(tx, spec, parent)))
    if spec.unique is not None:
        take_key(tx, spec)
    if parent is not None and spec.child_of is not None:
        tx.tables.children[parent.job_id].append(spec.id)
        add_edge(tx, record, parent.job_id, spec.child_of)
    return Enqueued(spec.id, record.state)


def _new_record(tx: Transaction, spec: JobSpec, parent: Lease | None) -> JobRecord:
    content = {name: getattr(spec, name) for name in _SPEC_FIELDS}
    until_ms = tx.tables.jobs[parent.job_id].deadline_ms if parent else None
    content |= {"deadline_ms": effective_ms(spec, until_ms, tx.now_ms), "expires_ms": None}
    content |= {"unique_for_ms": None, "on_unique": "keep"}
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
