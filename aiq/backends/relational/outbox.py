"""Applying what did not fit into a step. Each application looks again, so that twice has the effect of once."""

from collections.abc import Sequence
from typing import Final, assert_never

from aiq.backends.relational.cancel import cancel_job
from aiq.backends.relational.ending import end
from aiq.backends.relational.fan_in import count, doomed, flip_edges, look_ahead, read_wait
from aiq.backends.relational.moves import add_error
from aiq.backends.relational.redrive import SQL as REDRIVE
from aiq.backends.relational.redrive import redrive_child
from aiq.backends.relational.rows import Job
from aiq.backends.relational.statements import load
from aiq.backends.relational.steps import find_step
from aiq.backends.relational.transaction import Transaction
from aiq.model import Cause, State
from aiq.rules.failures import upstream_failed
from aiq.rules.outbox import DEPENDENCIES, Kind
from aiq.rules.settling import Change

SQL: Final = load("outbox")


def apply_outbox(tx: Transaction, limit: int) -> int:
    """Apply rows, the oldest first, until `limit` is used up; say how much of it was.

    A row costs what it does, and at least 1, so that rows with nothing left to do cannot make a call long.
    What applying adds to the outbox comes behind, and still belongs to the same call. Spec: FAN-2, FAN-8
    """
    applied = 0
    while applied < limit:
        row = tx.row(SQL["oldest"])
        if row is None:
            break
        number, kind, key, job_id = row
        done, finished = _apply(tx, Kind(kind), _existing(tx, job_id), key, limit - applied)
        applied += max(1, done)
        if finished:
            tx.run(SQL["remove"], {"number": number})
    return applied


def _existing(tx: Transaction, job_id: str) -> Job:
    job = tx.job(job_id)
    assert job is not None
    return job


def _apply(tx: Transaction, kind: Kind, job: Job, key: str, room: int) -> tuple[int, bool]:
    """Do at most `room` of a row: how many jobs or edges it was, and whether the row is finished."""
    match kind:
        case Kind.FLIP if not job.record.state.terminal:
            return 0, True  # it has another generation, and flips them when that ends
        case Kind.FLIP:
            done, left = flip_edges(tx, job, job.record.state, room)
            return done, not left
        case Kind.DIE:
            return _die(tx, job), True
        case Kind.CANCEL_REST if find_step(tx, job, key) is None:
            return 0, True  # the wait has begun again
        case Kind.CANCEL_REST:
            place = {"n": job.n, "wait_key": key, "limit": room + 1}
            return _cancel_some(tx, tx.names(SQL["waited_for"], place), room)
        case Kind.REDRIVE:
            return _redrive_some(tx, job, key, room)
        case Kind.CANCEL_CHILDREN if not job.record.state.terminal:
            return 0, True  # it has another generation, and waits for them
        case Kind.CANCEL_CHILDREN:
            return _cancel_some(tx, tx.names(SQL["children"], {"id": job.record.id, "limit": room + 1}), room)
        case _:
            assert_never(kind)


def _die(tx: Transaction, job: Job) -> int:
    """End a job whose dependency ended badly, unless it has been ended since. Spec: FLOW-3, FLOW-4"""
    record = job.record
    wait = read_wait(tx, job.n, DEPENDENCIES)
    if record.state is not State.WAITING or not doomed(record.on_upstream, wait):
        return 0
    first_failed = wait.first_failed or ""
    told = add_error(tx, job, upstream_failed(_existing(tx, first_failed).record)).message
    change = Change("T12", State.DEAD, failures=record.failures, stalls=record.stalls, cause=Cause.UPSTREAM)
    end(tx, job, change, told=told)
    return 1


def _cancel_some(tx: Transaction, found: Sequence[str], room: int) -> tuple[int, bool]:
    """Cancel children, in the order of their ids, and ask those that run; there is one more if not all have room."""
    chosen = found[:room]
    look_ahead(tx, tx.fetch(chosen))
    for job_id in chosen:
        cancel_job(tx, _existing(tx, job_id))
    return min(len(found), room), len(found) <= room


def _redrive_some(tx: Transaction, parent: Job, key: str, room: int) -> tuple[int, bool]:
    """Redrive children for which a job waits again. If it has ended since, they count as they have ended.

    In the order of enqueueing, since a child may depend on one that was spawned before it. Spec: DEAD-16
    """
    found = sorted(tx.table(REDRIVE["to_redrive"], {"n": parent.n, "key": key, "limit": room + 1}))
    tx.fetch(job_id for _, job_id in found[:room])
    for _, job_id in found[:room]:
        child = _existing(tx, job_id)
        if parent.record.state.terminal or child.record.state is State.SUCCEEDED:
            count(tx, child, child.record.state, parent.n, key)
        else:
            redrive_child(tx, child)
    return min(len(found), room), len(found) <= room
