"""The step that ends a job: its stream is closed, and whoever waits for it is told. Spec: STATE-2, CANCEL-8."""

from aiq.backends.relational.calendar import AWAITED, tell_end
from aiq.backends.relational.fan_in import SQL, flip_edges, send_out
from aiq.backends.relational.graves import graves
from aiq.backends.relational.items import close_stream
from aiq.backends.relational.moves import By, move
from aiq.backends.relational.rows import Job
from aiq.backends.relational.transaction import Transaction
from aiq.backends.relational.unique import free_key
from aiq.bounds import MAX_FLIPS
from aiq.model import State
from aiq.rules.outbox import Kind
from aiq.rules.settling import Change


def end(
    tx: Transaction, job: Job, change: Change, by: By | None = None, *, told: str = "", sample: str | None = None
) -> None:
    """Move a job to a terminal state, with all that belongs to the same step. `told` is its last error, `sample` what
    its run told of its input.

    What does not fit into it goes to the outbox: edges over MAX_FLIPS, and the cancelling of children.
    """
    close_stream(tx, job, change.state, told)
    if change.state is State.DEAD or job.record.generation > 1:
        graves(tx).ended(job, change.state, change.cause, change.failures, sample)
    move(tx, job, change, by)
    if job.record.unique is not None:
        free_key(tx, job.record, change.state)
    if job.dependents:
        _, left = flip_edges(tx, job, change.state, MAX_FLIPS)
        if left:
            send_out(tx, Kind.FLIP, job.n)
    if job.dependents & AWAITED:
        tell_end(tx, job.record.id)
    if change.state is not State.SUCCEEDED and _has_living_children(tx, job):
        send_out(tx, Kind.CANCEL_CHILDREN, job.n)


def _has_living_children(tx: Transaction, job: Job) -> bool:
    return bool(job.children) and tx.row(SQL["living_child"], {"parent_id": job.record.id}) is not None
