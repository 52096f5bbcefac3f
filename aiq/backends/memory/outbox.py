"""Applying what did not fit into a step. Each application looks again, so that twice has the effect of once."""

from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from aiq.backends.memory.cancel import cancel_job
from aiq.backends.memory.data import Edge, Outgoing
from aiq.backends.memory.ending import end
from aiq.backends.memory.fan_in import count, doomed, flip_edges
from aiq.backends.memory.redrive import redrive_child
from aiq.backends.memory.transition import Transaction
from aiq.model import Cause, JobRecord, State
from aiq.rules.failures import appended, upstream_failed
from aiq.rules.outbox import DEPENDENCIES, Kind


def apply_outbox(tx: Transaction, limit: int) -> int:
    """Apply rows, the oldest first, until `limit` is used up; say how much of it was.

    A row costs what it does, and at least 1, so that rows with nothing left to do cannot make a call long.
    What applying adds to the outbox comes behind, and still belongs to the same call. Spec: FAN-2, FAN-8
    """
    outbox, applied = tx.tables.outbox, 0
    while outbox and applied < limit:
        done, finished = _apply(tx, outbox[0], limit - applied)
        applied += max(1, done)
        if finished:
            outbox.popleft()
    return applied


def _apply(tx: Transaction, row: Outgoing, room: int) -> tuple[int, bool]:
    """Do at most `room` of a row: how many jobs or edges it was, and whether the row is finished."""
    record = tx.tables.jobs[row.job_id]
    match row.kind:
        case Kind.FLIP if not record.state.terminal:
            return 0, True  # it has another generation, and flips them when that ends
        case Kind.FLIP:
            done = flip_edges(tx, record, room)
            return done, not tx.tables.edges_out[row.job_id]
        case Kind.DIE:
            return _die(tx, record), True
        case Kind.CANCEL_REST if tx.tables.step(row.job_id, row.key) is None:
            return 0, True  # the wait has begun again
        case Kind.CANCEL_REST:
            return _cancel_some(tx, tx.tables.edges_in[row.job_id, row.key], room)
        case Kind.REDRIVE:
            return _redrive_some(tx, record, row.key, room)
        case Kind.CANCEL_CHILDREN if not record.state.terminal:
            return 0, True  # it has another generation, and waits for them
        case Kind.CANCEL_CHILDREN:
            children = tx.tables.children[row.job_id]
            return _cancel_some(tx, [child for child in children if _goes_along(tx.tables.jobs[child])], room)
        case _:
            assert_never(row.kind)


def _die(tx: Transaction, record: JobRecord) -> int:
    """End a job whose dependency ended badly, unless it has been ended since. Spec: FLOW-3, FLOW-4"""
    wait = tx.tables.waits[record.id, DEPENDENCIES]
    if record.state is not State.WAITING or not doomed(record, wait):
        return 0
    first_failed = wait.first_failed or ""
    errors = appended(record, upstream_failed(tx.tables.jobs[first_failed]), tx.now_ms)
    end(tx, "T12", record, replace(record, state=State.DEAD, cause=Cause.UPSTREAM, errors=errors))
    return 1


def _cancel_some(tx: Transaction, children: Iterable[str], room: int) -> tuple[int, bool]:
    """Cancel children that have not ended, by id, and ask those that run; who was asked is left alone."""
    left = [child for child in sorted(children) if _to_be_asked(tx.tables.jobs[child])]
    for child in left[:room]:
        # Read again: the end of one child may have moved another.
        cancel_job(tx, tx.tables.jobs[child])
    return min(len(left), room), len(left) <= room


def _redrive_some(tx: Transaction, parent: JobRecord, key: str, room: int) -> tuple[int, bool]:
    """Redrive children for which a job waits again. If it has ended since, they count as they have ended.

    In the order of enqueueing, since a child may depend on one that was spawned before it. Spec: DEAD-16
    """
    edges = tx.tables.edges_in[parent.id, key]
    jobs, numbers = tx.tables.jobs, tx.tables.numbers
    left = sorted((name for name in edges if _is_to_be_redriven(edges[name], jobs[name])), key=numbers.__getitem__)
    for name in left[:room]:
        child = jobs[name]
        if parent.state.terminal or child.state is State.SUCCEEDED:
            tx.tables.edges_out[name].remove(edges[name])
            count(tx, edges[name], child)
        else:
            redrive_child(tx, child)
    return min(len(left), room), len(left) <= room


def _is_to_be_redriven(edge: Edge, child: JobRecord) -> bool:
    return edge.done_order is None and child.state.terminal


def _goes_along(child: JobRecord) -> bool:
    """Whether a child goes with its parent. Spec: CANCEL-9"""
    return child.on_parent == "cancel"


def _to_be_asked(record: JobRecord) -> bool:
    asked = record.state is State.RUNNING and record.cancel_requested_at_ms is not None
    return not (asked or record.state.terminal)
