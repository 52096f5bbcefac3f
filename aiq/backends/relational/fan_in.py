"""What the end of one job does to those that wait for it. Spec: chapter 5."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from aiq.backends.relational.moves import By, move, unchanged
from aiq.backends.relational.rows import Job, numbers
from aiq.backends.relational.statements import load
from aiq.backends.relational.steps import remember
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_FLIPS
from aiq.model import JobSpec, Lane, State, StepKind, Wait
from aiq.rules.outbox import DEPENDENCIES, Kind
from aiq.rules.settling import Change
from aiq.rules.waits import counted, remembered, verdict

SQL: Final = load("fan_in")


def send_out(tx: Transaction, kind: Kind, n: int, key: str = "") -> None:
    """Leave something to upkeep."""
    tx.later(SQL["send_out"], {"kind": kind, "n": n, "key": key})


def look_ahead(tx: Transaction, ending: Iterable[Job]) -> None:
    """Read at once what the ends of many jobs will need: their edges, and the jobs and waits those lead to.

    Where there are too many edges, nothing is read: each end then finds its own.
    """
    upstreams: dict[int, list[list[Any]]] = {job.n: [] for job in ending if job.dependents}
    if len(upstreams) < 2:
        return
    rows = tx.table(SQL["edges_ahead"], {"ns": numbers(upstreams), "limit": MAX_FLIPS})
    if len(rows) == MAX_FLIPS:
        return
    for upstream, *edge in rows:
        upstreams[upstream].append(edge)
    tx.edges.update(upstreams)
    tx.fetch(dependent_id for _, dependent_id, _, _ in rows)
    _read_waits(tx, {(dependent, key) for _, _, key, dependent in rows})


def flip_edges(tx: Transaction, upstream: Job, state: State, limit: int) -> tuple[int, bool]:
    """Flip at most `limit` edges that lead out of a job which ended in `state`, by the id of the dependent.

    Says how many, and whether some are left. An edge is flipped once, so a repeat finds nothing. Spec: FAN-1, FAN-2
    """
    edges = tx.edges.pop(upstream.n, None)
    if edges is None:
        edges = tx.table(SQL["open_edges"], {"n": upstream.n, "limit": limit + 1})
    edges.sort()
    for dependent_id, key, dependent in edges[:limit]:
        wait = count(tx, upstream, state, dependent, key)
        job = tx.job(dependent_id)
        if job is not None and job.record.state is State.WAITING and job.record.wait_key == key:
            _advance(tx, job, wait, failed=state is not State.SUCCEEDED)
    return len(edges[:limit]), len(edges) > limit


def read_wait(tx: Transaction, n: int, key: str) -> Wait:
    """How far a wait has come; one that nothing was counted for has a total of 0."""
    if (n, key) not in tx.waits:
        _read_waits(tx, {(n, key)})
    return tx.waits.get((n, key), Wait(key, 0))


def put_wait(tx: Transaction, n: int, wait: Wait) -> None:
    """Keep how far a wait has come."""
    tx.waits[n, wait.key] = wait
    row = {"n": n, "key": wait.key, "total": wait.total, "succeeded": wait.succeeded, "failed": wait.failed}
    row |= {"need": wait.need, "rest": wait.rest, "first_failed": wait.first_failed}
    tx.later(SQL["put_wait"], row, key=(n, wait.key))


def doomed(on_upstream: str, wait: Wait) -> bool:
    """Whether a job will never run, because of a dependency that ended badly. Spec: FLOW-3"""
    return wait.failed > 0 and on_upstream == "fail"


def started(spec: JobSpec, number: str, created_at_ms: int, now_ms: int) -> Change:
    """Where a job goes that waits for no other one: scheduled if its instant is ahead. Spec: ENQ-5, ENQ-6, FLOW-2"""
    due_ms = spec.at_ms if spec.at_ms is not None else created_at_ms + spec.delay_ms
    if due_ms > now_ms:
        return Change(number, State.SCHEDULED, Lane.FRESH, due_ms - now_ms)
    return Change(number, State.READY, Lane.FRESH)


def end_wait(tx: Transaction, number: str, job: Job, wait: Wait, kind: StepKind, by: By | None = None) -> None:
    """Let a run's wait be over: it is remembered, and the job is ready again. Spec: FLOW-11, FLOW-12, FLOW-13"""
    winners = _winners(tx, job, wait) if kind is StepKind.CHILDREN and wait.need is not None else []
    remember(tx, job, remembered(wait, kind, winners, job.record.fence))
    if wait.pending and wait.rest == "cancel":
        send_out(tx, Kind.CANCEL_REST, job.n, wait.key)
    move(tx, job, unchanged(job.record, number, State.READY, Lane.RETURNED), by)


def _read_waits(tx: Transaction, places: Iterable[tuple[int, str]]) -> None:
    for n, *wait in tx.table(SQL["waits_ahead"], {"places": msgspec.json.encode(list(places)).decode()}):
        tx.waits[n, wait[0]] = Wait(*wait)


def _winners(tx: Transaction, job: Job, wait: Wait) -> list[str]:
    rows: list[Any] = tx.table(SQL["winners"], {"n": job.n, "key": wait.key, "limit": wait.need})
    return [job_id for _, job_id in sorted(rows)]


def count(tx: Transaction, upstream: Job, state: State, dependent: int, key: str) -> Wait:
    """Flip one edge, and move the counts of its wait by it."""
    succeeded = state is State.SUCCEEDED
    wait = counted(read_wait(tx, dependent, key), upstream.record.id, succeeded=succeeded)
    put_wait(tx, dependent, wait)
    flipped = {"dependent": dependent, "key": key, "upstream": upstream.n}
    tx.later(SQL["flip"], {**flipped, "ended": wait.succeeded + wait.failed, "succeeded": succeeded})
    return wait


def _advance(tx: Transaction, job: Job, wait: Wait, *, failed: bool) -> None:
    """Move a waiting job, if this was what it waited for. It leaves waiting once. Spec: FAN-3, FAN-6"""
    if wait.key != DEPENDENCIES:
        kind = verdict(wait)
        if kind is not None:
            end_wait(tx, "T12", job, wait, kind)
    elif not doomed(job.record.on_upstream, wait):
        if wait.pending == 0:
            move(tx, job, started(job.record, "T12", job.record.created_at_ms, tx.now_ms))
    elif failed and wait.failed == 1:
        send_out(tx, Kind.DIE, job.n)
