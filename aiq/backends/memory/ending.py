"""The step that ends a job: its stream is closed, and whoever waits for it is told. Spec: STATE-2, CANCEL-8."""

from aiq.backends.memory.data import Outgoing
from aiq.backends.memory.deaths import follow_end
from aiq.backends.memory.fan_in import flip_edges
from aiq.backends.memory.items import close_stream
from aiq.backends.memory.transition import Transaction, move
from aiq.backends.memory.unique import free_key
from aiq.bounds import MAX_FLIPS
from aiq.model import JobRecord, State
from aiq.rules.outbox import Kind
from aiq.rules.schedules import job_ended


def end(tx: Transaction, row: str, before: JobRecord, after: JobRecord, *, sample: str | None = None) -> JobRecord:
    """Move a job to a terminal state, with all that belongs to the same step.

    What does not fit into it goes to the outbox: edges over MAX_FLIPS, and the cancelling of children. `sample` is what
    the run told of its input.
    """
    ended = move(tx, row, before, close_stream(tx, before, after))
    follow_end(tx, ended, sample)
    flip_edges(tx, ended, MAX_FLIPS)
    if ended.unique is not None:
        free_key(tx, ended)
    if tx.tables.edges_out[ended.id]:
        tx.tables.outbox.append(Outgoing(Kind.FLIP, ended.id))
    if ended.state is not State.SUCCEEDED and _has_living_children(tx, ended):
        tx.tables.outbox.append(Outgoing(Kind.CANCEL_CHILDREN, ended.id))
    calendar = tx.tables.calendar
    for name in sorted(calendar.awaited.get(ended.id, ())):
        calendar.put(job_ended(calendar.standing[name], tx.now_ms))
    return ended


def _has_living_children(tx: Transaction, ended: JobRecord) -> bool:
    jobs = tx.tables.jobs
    return any(not jobs[child].state.terminal for child in tx.tables.children.get(ended.id, ()))
