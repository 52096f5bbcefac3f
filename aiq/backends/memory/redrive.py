"""Giving jobs that ended badly another generation: T17, and what they wait for again."""

from collections.abc import Sequence
from dataclasses import replace

from aiq.backends.memory.data import Edge, Outgoing
from aiq.backends.memory.deaths import leave_group
from aiq.backends.memory.fan_in import count, doomed
from aiq.backends.memory.items import void_marker
from aiq.backends.memory.transition import Transaction, move
from aiq.backends.memory.unique import retake_key
from aiq.errors import Conflict, NotFound
from aiq.model import Cause, JobRecord, Redrive, Redriven, State, Target, Wait
from aiq.rules.outbox import DEPENDENCIES, Kind
from aiq.rules.redriving import anew, check_edges, check_redrive, edges, first_change, key_taken, refusal, reopened


def redrive(tx: Transaction, request: Redrive) -> list[Redriven | Conflict | NotFound]:
    """Redrive each job by itself. Spec: DEAD-11 to DEAD-19"""
    check_redrive(request)
    if request.budget is not None and request.budget not in tx.tables.accounts.budgets:
        raise NotFound(request.budget, f"No budget {request.budget!r} is stored here. Store it, or name another.")
    check_edges([_edges(tx, target) for target in request.targets])
    return [_redrive(tx, request, place, target) for place, target in enumerate(request.targets)]


def redrive_child(tx: Transaction, record: JobRecord) -> None:
    """Redrive a child for whose end its parent waits again. Spec: DEAD-16"""
    request = Redrive(id=f"parent {record.parent_id}", targets=(Target(record.id, record.generation),))
    _begin(tx, record, request, 0)


def _edges(tx: Transaction, target: Target) -> int:
    record, tables = tx.tables.jobs.get(target.job_id), tx.tables
    if record is None:
        return 0
    waits = {key: wait for (job_id, key), wait in tables.waits.items() if job_id == record.id}
    own = waits.pop(DEPENDENCIES, Wait(DEPENDENCIES, 0))
    return edges(record, target, dependencies=own.total, others=sum(1 + wait.failed for wait in waits.values()))


def _redrive(tx: Transaction, request: Redrive, place: int, target: Target) -> Redriven | Conflict | NotFound:
    record = tx.tables.jobs.get(target.job_id)
    if record is None:
        return NotFound(target.job_id)
    before = tx.tables.graves.following.get(record.id)
    if before is not None and before.redrive_id == request.id and record.generation == target.generation + 1:
        return Redriven(record.id, record.state, record.generation, existed=True)
    refused = refusal(
        record, target.generation, request, orphaned=_is_orphan(tx, record), doomed_by=_doomed_by(tx, record)
    )
    if refused is not None:
        return refused
    if record.unique is not None and not retake_key(tx, record):
        return key_taken(record)
    begun = _begin(tx, record, request, place)
    return Redriven(begun.id, begun.state, begun.generation)


def _begin(tx: Transaction, record: JobRecord, request: Redrive, place: int) -> JobRecord:
    leave_group(tx, record, request.id)
    if request.forget_steps:
        tx.tables.steps.pop(record.id, None)
    if request.detach and record.parent_id is not None:
        tx.tables.children[record.parent_id].remove(record.id)
    void_marker(tx, record)
    waits = [*_await_dependencies(tx, record), *_await_children(tx, record)]
    change = first_change(request, place, waits[0].key if waits else None)
    after = replace(
        anew(record, request),
        state=change.state,
        lane=change.lane,
        due_ms=None if change.delay_ms is None else tx.now_ms + change.delay_ms,
        wait_key=change.wait_key,
        pending=waits[0].pending if waits else 0,
        remembers=bool(tx.tables.steps.get(record.id)),
    )
    return move(tx, "T17", record, after)


def _is_orphan(tx: Transaction, record: JobRecord) -> bool:
    if record.parent_id is None:
        return False
    parent = tx.tables.jobs.get(record.parent_id)
    return parent is None or parent.state.terminal


def _doomed_by(tx: Transaction, record: JobRecord) -> str | None:
    """The first dependency, by id, that keeps a job from ever running."""
    if record.fence or record.on_upstream == "continue":
        return None
    ended = (tx.tables.jobs[edge.upstream_id] for edge in _dependencies(tx, record))
    return min((one.id for one in ended if one.state.terminal and one.state is not State.SUCCEEDED), default=None)


def _dependencies(tx: Transaction, record: JobRecord) -> Sequence[Edge]:
    return list(tx.tables.edges_in.get((record.id, DEPENDENCIES), {}).values())


def _await_dependencies(tx: Transaction, record: JobRecord) -> list[Wait]:
    """Count the dependencies of a job that has not run as they stand now; its wait, if some have not ended. DEAD-15"""
    edges = [] if record.fence else _dependencies(tx, record)
    if not edges:
        return []
    place = (record.id, DEPENDENCIES)
    tx.tables.waits[place] = Wait(DEPENDENCIES, len(edges))
    for edge in sorted(edges, key=lambda one: tx.tables.numbers[one.upstream_id]):
        _open(tx, edge)
        upstream = tx.tables.jobs[edge.upstream_id]
        if upstream.state.terminal:
            tx.tables.edges_out[edge.upstream_id].remove(edge)
            count(tx, edge, upstream)
    wait = tx.tables.waits[place]
    if doomed(record, wait):
        tx.tables.outbox.append(Outgoing(Kind.DIE, record.id))
        return [wait]
    return [wait] if wait.pending else []


def _await_children(tx: Transaction, record: JobRecord) -> list[Wait]:
    """Begin the waits on children again that the job has to see end; those, by key. Spec: DEAD-16"""
    tables = tx.tables
    if record.id not in tables.children:
        return []
    begun: list[Wait] = []
    for key in sorted(key for job_id, key in tables.waits if job_id == record.id and key != DEPENDENCIES):
        seen = tables.step(record.id, key) is not None and record.cause is not Cause.CHILD
        wait = reopened(tables.waits[record.id, key], seen=seen)
        if wait is None:
            continue
        tables.steps[record.id].pop(key, None)
        tables.waits[record.id, key] = wait
        for edge in tables.edges_in[record.id, key].values():
            if edge.done_order is not None and not edge.succeeded:
                _open(tx, edge)
        tables.outbox.append(Outgoing(Kind.REDRIVE, record.id, key))
        begun.append(wait)
    return begun


def _open(tx: Transaction, edge: Edge) -> None:
    """Let an edge be flipped again."""
    edge.done_order, edge.succeeded = None, False
    if edge not in tx.tables.edges_out[edge.upstream_id]:
        tx.tables.edges_out[edge.upstream_id].append(edge)
