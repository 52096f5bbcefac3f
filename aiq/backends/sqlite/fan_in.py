"""What the end of one job does to those that wait for it. Spec: chapter 5."""

from enum import StrEnum
from typing import Final

from aiq.backends.sqlite.moves import move, unchanged
from aiq.backends.sqlite.rows import Job, Row
from aiq.backends.sqlite.sql import load
from aiq.backends.sqlite.steps import remember
from aiq.backends.sqlite.transaction import Transaction
from aiq.model import JobSpec, Lane, State, StepKind, Wait
from aiq.rules.settling import Change
from aiq.rules.waits import remembered, verdict

DEPENDENCIES: Final = ""
"""The key of the wait on dependencies, before a first run."""

SQL: Final = load("fan_in")


class Kind(StrEnum):
    """What is to be done for a row of the outbox."""

    FLIP = "flip"
    """Flip the rest of the edges that lead out of an ended job."""
    DIE = "die"
    """End a job that waits for a dependency which ended badly."""
    CANCEL_REST = "cancel_rest"
    """Cancel the children of a wait that is over without them."""
    CANCEL_CHILDREN = "cancel_children"
    """Cancel the children of a job that ended badly."""


def send_out(tx: Transaction, kind: Kind, n: int, key: str = "") -> None:
    """Leave something to upkeep."""
    tx.run(SQL["send_out"], {"kind": kind.value, "n": n, "wait_key": key})


def flip_edges(tx: Transaction, upstream: Job, state: State, limit: int) -> tuple[int, bool]:
    """Flip at most `limit` edges that lead out of a job which ended in `state`, by the id of the dependent.

    Says how many, and whether some are left. An edge is flipped once, so a repeat finds nothing. Spec: FAN-1, FAN-2
    """
    edges = tx.rows(SQL["open_edges"], {"n": upstream.n, "limit": limit + 1})
    for dependent, key, dependent_id in edges[:limit]:
        wait = _count(tx, upstream, state, dependent, key)
        job = tx.job(dependent_id)
        if job is not None and job.record.state is State.WAITING and job.record.wait_key == key:
            _advance(tx, job, wait, failed=state is not State.SUCCEEDED)
    return len(edges[:limit]), len(edges) > limit


def read_wait(tx: Transaction, n: int, key: str) -> Wait:
    """How far a wait has come; one that nothing was counted for has a total of 0."""
    row = tx.row(SQL["wait"], {"n": n, "wait_key": key})
    return Wait(key, *row) if row else Wait(key, 0)


def doomed(on_upstream: str, wait: Wait) -> bool:
    """Whether a job will never run, because of a dependency that ended badly. Spec: FLOW-3"""
    return wait.failed > 0 and on_upstream == "fail"


def started(spec: JobSpec, number: str, created_at_ms: int, now_ms: int) -> Change:
    """Where a job goes that waits for no other one: scheduled if its instant is ahead. Spec: ENQ-5, ENQ-6, FLOW-2"""
    due_ms = spec.at_ms if spec.at_ms is not None else created_at_ms + spec.delay_ms
    if due_ms > now_ms:
        return Change(number, State.SCHEDULED, Lane.FRESH, due_ms - now_ms)
    return Change(number, State.READY, Lane.FRESH)


def end_wait(
    tx: Transaction,
    number: str,
    job: Job,
    wait: Wait,
    kind: StepKind,
    *,
    late: bool | None = None,
    settled: str | None = None,
) -> None:
    """Let a run's wait be over: it is remembered, and the job is ready again. Spec: FLOW-11, FLOW-12, FLOW-13"""
    rows = tx.rows(SQL["winners"], {"n": job.n, "wait_key": wait.key, "limit": wait.need or 0})
    remember(tx, job, remembered(wait, kind, [row[0] for row in rows], job.record.fence))
    if wait.pending and wait.rest == "cancel":
        send_out(tx, Kind.CANCEL_REST, job.n, wait.key)
    move(tx, job, unchanged(job.record, number, State.READY, Lane.RETURNED), late=late, settled=settled)


def _count(tx: Transaction, upstream: Job, state: State, dependent: int, key: str) -> Wait:
    """Flip one edge, and move the counts of its wait by it."""
    succeeded = state is State.SUCCEEDED
    place = {"n": dependent, "wait_key": key, "succeeded": succeeded, "upstream_id": upstream.record.id}
    row: Row = tx.rows(SQL["count_ended"], place)[0]
    wait = Wait(key, *row)
    flipped = {"dependent": dependent, "wait_key": key, "upstream": upstream.n}
    tx.run(SQL["flip"], {**flipped, "ended": wait.succeeded + wait.failed, "succeeded": succeeded})
    return wait


def _advance(tx: Transaction, job: Job, wait: Wait, *, failed: bool) -> None:
    """Move a waiting job, if this was what it waited for. It leaves waiting once. Spec: FAN-3, FAN-6"""
    if wait.key != DEPENDENCIES:
        kind = verdict(wait)
        if kind is not None:
            end_wait(tx, "T12", job, wait, kind)
            return
    elif not doomed(job.record.on_upstream, wait):
        if wait.pending == 0:
            move(tx, job, started(job.record, "T12", job.record.created_at_ms, tx.now_ms))
            return
    elif failed and wait.failed == 1:
        send_out(tx, Kind.DIE, job.n)
    tx.run(SQL["pending"], {"n": job.n, "pending": wait.pending})
