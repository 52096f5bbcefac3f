"""What the end of one job does to those that wait for it. Spec: chapter 5."""

from dataclasses import replace

from aiq.backends.memory.data import Edge, Outgoing
from aiq.backends.memory.transition import Transaction, move, readied, remember
from aiq.model import JobRecord, Lane, State, StepKind, Wait
from aiq.rules.outbox import DEPENDENCIES, Kind
from aiq.rules.waits import remembered, verdict


def flip_edges(tx: Transaction, ended: JobRecord, limit: int) -> int:
    """Flip at most `limit` edges that lead out of an ended job, by the id of the dependent; say how many.

    An edge is flipped once and then gone from its upstream, so a repeat finds nothing. Spec: FAN-1, FAN-2
    """
    edges = sorted(tx.tables.edges_out[ended.id], key=lambda edge: (edge.dependent_id, edge.key))
    tx.tables.edges_out[ended.id] = edges[limit:]
    for edge in edges[:limit]:
        wait = count(tx, edge, ended)
        dependent = tx.tables.jobs[edge.dependent_id]
        if dependent.state is State.WAITING and dependent.wait_key == edge.key:
            _advance(tx, dependent, wait, failed=ended.state is not State.SUCCEEDED)
    return len(edges[:limit])


def count(tx: Transaction, edge: Edge, ended: JobRecord) -> Wait:
    """Flip one edge, and move the counts of its wait by it."""
    place = (edge.dependent_id, edge.key)
    wait = tx.tables.waits[place]
    if ended.state is State.SUCCEEDED:
        wait = replace(wait, succeeded=wait.succeeded + 1)
    else:
        wait = replace(wait, failed=wait.failed + 1, first_failed=wait.first_failed or ended.id)
    edge.done_order, edge.succeeded = wait.succeeded + wait.failed, ended.state is State.SUCCEEDED
    tx.tables.waits[place] = wait
    return wait


def add_edge(tx: Transaction, upstream: JobRecord, dependent_id: str, key: str) -> None:
    """Let a job wait for another one; if that has ended, it counts at once. Spec: FLOW-6, FLOW-8"""
    place = (dependent_id, key)
    wait = tx.tables.waits.get(place, Wait(key, 0))
    tx.tables.waits[place] = replace(wait, total=wait.total + 1)
    edge = Edge(upstream.id, dependent_id, key)
    tx.tables.edges_in[place][upstream.id] = edge
    tx.tables.needed_by[upstream.id].add(place)
    if upstream.state.terminal:
        count(tx, edge, upstream)
    else:
        tx.tables.edges_out[upstream.id].append(edge)


def doomed(record: JobRecord, wait: Wait) -> bool:
    """Whether a job will never run, because of a dependency that ended badly. Spec: FLOW-3"""
    return wait.failed > 0 and record.on_upstream == "fail"


def started(tx: Transaction, record: JobRecord) -> JobRecord:
    """A job that waits for no other one (any more): scheduled if its instant is ahead. Spec: ENQ-5, ENQ-6, FLOW-2"""
    due_ms = record.at_ms if record.at_ms is not None else record.created_at_ms + record.delay_ms
    if due_ms > tx.now_ms:
        return replace(record, state=State.SCHEDULED, lane=Lane.FRESH, due_ms=due_ms, wait_key=None)
    return readied(record, Lane.FRESH)


def end_wait(tx: Transaction, row: str, record: JobRecord, wait: Wait, kind: StepKind) -> JobRecord:
    """Let a run's wait be over: it is remembered, and the job is ready again. Spec: FLOW-11, FLOW-12, FLOW-13"""
    winners = tx.tables.winners(record.id, wait.key)
    after = remember(tx, record, remembered(wait, kind, winners, record.fence))
    if wait.pending and wait.rest == "cancel":
        tx.tables.outbox.append(Outgoing(Kind.CANCEL_REST, record.id, wait.key))
    return move(tx, row, record, readied(after, Lane.RETURNED))


def _advance(tx: Transaction, dependent: JobRecord, wait: Wait, *, failed: bool) -> None:
    """Move a waiting job, if this was what it waited for. It leaves waiting once. Spec: FAN-3, FAN-6"""
    if wait.key != DEPENDENCIES:
        kind = verdict(wait)
        if kind is not None:
            end_wait(tx, "T12", dependent, wait, kind)
            return
    elif not doomed(dependent, wait):
        if wait.pending == 0:
            move(tx, "T12", dependent, started(tx, dependent))
            return
    elif failed and wait.failed == 1:
        tx.tables.outbox.append(Outgoing(Kind.DIE, dependent.id))
    tx.tables.put(replace(dependent, pending=wait.pending))
