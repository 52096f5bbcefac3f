"""Giving jobs that ended badly another generation: T17, and what they wait for again."""

from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Final

from aiq.backends.relational.admission import admission
from aiq.backends.relational.fan_in import doomed, put_wait, read_wait, send_out
from aiq.backends.relational.graves import graves
from aiq.backends.relational.moves import move
from aiq.backends.relational.rows import Job, numbers
from aiq.backends.relational.statements import load
from aiq.backends.relational.terms import terms_of
from aiq.backends.relational.transaction import Transaction
from aiq.backends.relational.unique import retake_key
from aiq.errors import Conflict, NotFound
from aiq.model import Cause, JobRecord, Redrive, Redriven, State, Target, Wait
from aiq.rules.outbox import DEPENDENCIES, Kind
from aiq.rules.redriving import anew, check_edges, edges, first_change, key_taken, refusal, reopened
from aiq.rules.waits import counted

SQL: Final = load("redrive")


def redrive(tx: Transaction, request: Redrive) -> list[Redriven | Conflict | NotFound]:
    """Redrive each job by itself. Spec: DEAD-11 to DEAD-19"""
    if request.budget is not None and admission(tx).ledger.budget(request.budget) is None:
        raise NotFound(request.budget, f"No budget {request.budget!r} is stored here. Store it, or name another.")
    jobs = tx.fetch(target.job_id for target in request.targets)
    check_edges(_edges(tx, request.targets, jobs))
    rows = tx.table(SQL["seen"], {"ns": numbers(job.n for job in jobs)})
    seen = {job_id: (redrive_id, parent) for job_id, redrive_id, parent in rows}
    return [
        _redrive(tx, request, place, target, *seen.get(target.job_id, (None, None)))
        for place, target in enumerate(request.targets)
    ]


def redrive_child(tx: Transaction, job: Job) -> None:
    """Redrive a child for whose end its parent waits again. Spec: DEAD-16"""
    target = Target(job.record.id, job.record.generation)
    _begin(tx, job, Redrive(id=f"parent {job.record.parent_id}", targets=(target,)), 0)


def _edges(tx: Transaction, targets: Sequence[Target], jobs: Sequence[Job]) -> list[int]:
    rows = tx.table(SQL["edges"], {"ns": numbers(job.n for job in jobs)})
    waits = {n: {"dependencies": dependencies, "others": others} for n, dependencies, others in rows}
    stored = {job.record.id: job for job in jobs}
    none = {"dependencies": 0, "others": 0}
    return [
        edges(stored[target.job_id].record, target, **waits.get(stored[target.job_id].n, none))
        if target.job_id in stored
        else 0
        for target in targets
    ]


def _redrive(
    tx: Transaction, request: Redrive, place: int, target: Target, redrive_id: str | None, parent: str | None
) -> Redriven | Conflict | NotFound:
    job = tx.job(target.job_id)
    if job is None:
        return NotFound(target.job_id)
    record = job.record
    if redrive_id == request.id and record.generation == target.generation + 1:
        return Redriven(record.id, record.state, record.generation, existed=True)
    orphaned = record.parent_id is not None and (parent is None or _now(tx, record.parent_id, parent).terminal)
    refused = refusal(record, target.generation, request, orphaned=orphaned, doomed_by=_doomed_by(tx, job))
    if refused is not None:
        return refused
    if record.unique is not None and not retake_key(tx, record):
        return key_taken(record)
    state = _begin(tx, job, request, place)
    return Redriven(record.id, state, record.generation + 1)


def _begin(tx: Transaction, job: Job, request: Redrive, place: int) -> State:
    record = job.record
    graves(tx).redriven(job.n, request.id)
    if request.forget_steps and job.steps:
        tx.run(SQL["forget_steps"], {"n": job.n})
        job.steps = 0
    if record.chunks:
        # The first run of the next generation names the end of this one in its reset. Spec: DEAD-20
        tx.run(SQL["void_marker"], {"n": job.n, "number": record.chunks, "fence": record.fence})
    waits = [*_await_dependencies(tx, job), *_await_children(tx, job)]
    change = first_change(request, place, waits[0].key if waits else None)
    _write(tx, job, request, anew(record, request))
    move(tx, job, change)
    return change.state


def _now(tx: Transaction, job_id: str, stored: str) -> State:
    """How a job stands in this step, which may have moved it."""
    known = tx.job(job_id)
    return known.record.state if known is not None else State(stored)


def _write(tx: Transaction, job: Job, request: Redrive, after: JobRecord) -> None:
    """Write what a move does not: the generation, and what the redrive has changed of the job. Spec: DEAD-17"""
    job.record = replace(after, state=job.record.state)
    if request.budget is not None:
        job.gated = 1
        tx.run(SQL["terms"], {"n": job.n, "terms": terms_of(after)})
    if request.payload is not None:
        tx.run(SQL["payload"], {"n": job.n, "payload": request.payload})
    row = {"n": job.n, "generation": after.generation, "queue": after.queue, "band": after.band}
    tx.later(SQL["begin"], {**row, "parent_id": after.parent_id, "gated": job.gated})


def _doomed_by(tx: Transaction, job: Job) -> str | None:
    """The first dependency, by id, that keeps a job from ever running."""
    if job.record.fence or job.record.on_upstream == "continue":
        return None
    ended = ((name, State(state)) for name, state, *_ in tx.table(SQL["upstreams"], {"n": job.n}))
    return min((name for name, state in ended if state in (State.DEAD, State.CANCELLED)), default=None)


def _await_dependencies(tx: Transaction, job: Job) -> list[Wait]:
    """Count the dependencies of a job that has not run as they stand now; its wait, if some have not ended. DEAD-15

    What was counted of each is written where it differs: of most that have not ended nothing was.
    """
    upstreams = [] if job.record.fence else tx.table(SQL["upstreams"], {"n": job.n})
    if not upstreams:
        return []
    wait = Wait(DEPENDENCIES, len(upstreams))
    for name, state, upstream, *before in sorted(upstreams, key=itemgetter(2)):
        ended = State(state).terminal
        succeeded = state == State.SUCCEEDED
        wait = counted(wait, name, succeeded=succeeded) if ended else wait
        place = wait.succeeded + wait.failed if ended else 0
        if [place, succeeded] != before:
            edge = {"n": job.n, "key": DEPENDENCIES, "upstream": upstream, "ended": place, "succeeded": succeeded}
            tx.run(SQL["put_edge"], edge)
    put_wait(tx, job.n, wait)
    if doomed(job.record.on_upstream, wait):
        send_out(tx, Kind.DIE, job.n)
        return [wait]
    return [wait] if wait.pending else []


def _await_children(tx: Transaction, job: Job) -> list[Wait]:
    """Begin the waits on children again that the job has to see end; those, by key. Spec: DEAD-16"""
    if not job.children:
        return []
    begun: list[Wait] = []
    for key, remembered in sorted(tx.table(SQL["waits_on_children"], {"n": job.n})):
        seen = bool(remembered) and job.record.cause is not Cause.CHILD
        wait = reopened(read_wait(tx, job.n, key), seen=seen)
        if wait is None:
            continue
        if remembered:
            tx.run(SQL["forget_step"], {"n": job.n, "key": key})
            job.steps -= 1
        put_wait(tx, job.n, wait)
        tx.run(SQL["open_edges"], {"n": job.n, "key": key})
        send_out(tx, Kind.REDRIVE, job.n, key)
        begun.append(wait)
    return begun
