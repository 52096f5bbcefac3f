"""The one way a job changes: every move is a row of the table of states, checked here. Spec: STATE-1, STATE-4."""

from dataclasses import dataclass, field, replace

from aiq.backends.memory.data import Event, Tables
from aiq.model import JobRecord, Lane, State, Step
from aiq.rules.states import check
from aiq.storage import job_topic, queue_topic


@dataclass(slots=True)
class Transaction:
    """One atomic step: the tables, the one instant at which it happens, and whom to wake when it is done."""

    tables: Tables
    now_ms: int
    topics: set[str] = field(default_factory=set)


_PARKED = frozenset({State.WAITING, State.SUSPENDED, State.SCHEDULED})
_TIMED = frozenset({State.SCHEDULED, State.SUSPENDED})


def move(tx: Transaction, row: str, before: JobRecord | None, after: JobRecord) -> JobRecord:
    """Take a job from `before` to `after` by a row of the table, with its event and its wake-ups.

    `after` names the state and what the row decides; what follows from the state alone is done here. The
    record as it was stored is the answer.
    """
    source = before.state if before else None
    check(row, source, after.state)
    moved = _moved(tx, after)
    tx.tables.events[moved.id].append(Event(moved.events, tx.now_ms, row, source, moved.state, moved.fence))
    tx.tables.put(moved)
    if moved.state is not State.SUSPENDED:
        tx.tables.awaited.pop(moved.id, None)
    tx.topics.add(job_topic(moved.id))
    if before is None or moved.state is State.READY:
        tx.topics.add(queue_topic(moved.queue))
    return moved


def readied(record: JobRecord, lane: Lane) -> JobRecord:
    """A job that can be claimed, in one of the two lanes; `move` gives it its position."""
    return replace(record, state=State.READY, lane=lane)


def remember(tx: Transaction, record: JobRecord, step: Step) -> JobRecord:
    """Keep a step, unless one stands under its key: the first one stands. Spec: STEP-1, STEP-6, STEP-7."""
    tx.tables.steps[record.id].setdefault(step.key, step)
    return replace(record, remembers=True)


def _moved(tx: Transaction, record: JobRecord) -> JobRecord:
    """What a state does not use is cleared in one place, so that no row can leave it behind."""
    state = record.state
    running = state is State.RUNNING
    return replace(
        record,
        events=record.events + 1,
        lease_id=record.lease_id if running else None,
        owner=record.owner if running else None,
        expires_at_ms=record.expires_at_ms if running else None,
        position=_next_position(tx.tables) if state is State.READY else record.position,
        due_ms=record.due_ms if state in _TIMED else None,
        wait_key=record.wait_key if state in _PARKED else None,
        pending=record.pending if state is State.WAITING else 0,
        finished_at_ms=tx.now_ms if state.terminal else None,
    )


def _next_position(tables: Tables) -> int:
    tables.position += 1
    return tables.position
