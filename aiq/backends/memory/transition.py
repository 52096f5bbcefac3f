"""The one way a job changes: every move is a row of the table of states, checked here. Spec: STATE-1, STATE-4."""

from dataclasses import dataclass, field, replace

from aiq.backends.memory.accounts import HoldLine
from aiq.backends.memory.data import Tables, unstarted
from aiq.model import Event, JobRecord, Lane, QueueSettings, State, Step
from aiq.rules.keys import position
from aiq.rules.metrics import MINUTE_MS, tally, told_cause
from aiq.rules.states import TRANSITIONS, check
from aiq.storage import events_topic, job_topic, queue_topic, room_topic


@dataclass(slots=True)
class Transaction:
    """One atomic step: the tables, the one instant at which it happens, and whom to wake when it is done.

    `rooms` are the lines of held jobs for which room has appeared, and whether by a grant, which opens approvals too.
    """

    tables: Tables
    now_ms: int
    topics: set[str] = field(default_factory=set)
    rooms: dict[HoldLine, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tables.lanes.idle.now_ms = self.now_ms


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
    if moved.ordered:
        _follow(tx, before, moved)
    log_event(tx, row, source, moved)
    tx.tables.put(moved)
    if moved.state is not State.SUSPENDED:
        tx.tables.awaited.pop(moved.id, None)
    if source is State.HELD:
        tx.tables.accounts.holds.drop(moved.id)
    if moved.state is State.READY:
        begin_patience(tx, moved)
    _tell(tx, before, moved)
    return moved


def _follow(tx: Transaction, before: JobRecord | None, moved: JobRecord) -> None:
    """Let an ordered job stand at its key where its move takes it. Spec: KEY-2, KEY-16"""
    tables = tx.tables
    if before is not None and not before.state.terminal:
        tables.keys.follow(moved)
        return
    turn = tables.enlist(moved.id) if before is None else tables.next_number()
    branch = None if moved.parent_id is None else tables.branches[moved.id]
    tables.keys.arrive(moved, turn, branch, new=before is None)


def log_event(tx: Transaction, row: str, source: State | None, moved: JobRecord) -> None:
    """Append a job's next event, and count it. Spec: STATE-4, METRIC-1, METRIC-2"""
    tables, now_ms = tx.tables, tx.now_ms
    event = Event(
        cursor=tables.log.cursor(tables.log.last + 1),
        job_id=moved.id,
        task=moved.task,
        queue=moved.queue,
        number=moved.events,
        row=row,
        transition=TRANSITIONS[row].name,
        source=source,
        target=moved.state,
        fence=moved.fence,
        at_ms=now_ms,
        cause=told_cause(moved.state, moved.cause),
    )
    tables.log.events.append(event)
    tables.events[moved.id].append(event)
    lasted_ms = max(0, now_ms - tables.since.get(moved.id, now_ms))
    minute = (now_ms - now_ms % MINUTE_MS, moved.queue, moved.task)
    tally(tables.minutes[minute], row, source, moved.state, lasted_ms)
    if moved.state is not source:
        tables.since[moved.id] = now_ms
    tx.topics.add(events_topic())


def begin_patience(tx: Transaction, record: JobRecord, patience_ms: int | None = None) -> None:
    """Let a ready job wait for its route, as long as that has patience, or as long as it is said. Spec: ROUTE-5"""
    if patience_ms is None and record.routes:
        patience_ms = record.routes[record.route].patience_ms
    if patience_ms is not None:
        patience = tx.tables.lanes[record.queue].patience
        patience.begin(record.id, tx.tables.pool(record), tx.now_ms + patience_ms)


def readied(record: JobRecord, lane: Lane) -> JobRecord:
    """A job that can be claimed, in one of the two lanes; `move` gives it its position."""
    return replace(record, state=State.READY, lane=lane)


def remember(tx: Transaction, record: JobRecord, step: Step) -> JobRecord:
    """Keep a step, unless one stands under its key: the first one stands. Spec: STEP-1, STEP-6, STEP-7."""
    tx.tables.steps[record.id].setdefault(step.key, step)
    return replace(record, remembers=True)


def _tell(tx: Transaction, before: JobRecord | None, moved: JobRecord) -> None:
    """Wake those who wait for the job, for work, or for room in its queue."""
    tx.topics.add(job_topic(moved.id))
    if before is None or moved.state is State.READY:
        tx.topics.add(queue_topic(moved.queue))
    if before is None:
        return
    if before.state is State.READY and before.key is not None:
        # The next job of its key may have come back into its lane.
        tx.topics.add(queue_topic(moved.queue))
    accounts = tx.tables.accounts
    bound = accounts.queues.get(moved.queue, QueueSettings()).max_ready
    if bound is not None and unstarted(before) > unstarted(moved) and accounts.unstarted[moved.queue] < bound:
        tx.topics.add(room_topic(moved.queue))


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
        position=_next_position(tx.tables, record) if state is State.READY else record.position,
        due_ms=record.due_ms if state in _TIMED else None,
        wait_key=record.wait_key if state in _PARKED else None,
        pending=record.pending if state is State.WAITING else 0,
        held=record.held if state is State.HELD else None,
        held_by=record.held_by if state is State.HELD else "",
        finished_at_ms=tx.now_ms if state.terminal else None,
    )


def _next_position(tables: Tables, record: JobRecord) -> int:
    """The place of a job that becomes ready. Spec: LIFO-1"""
    tables.position += 1
    settings = tables.accounts.queues.get(record.queue)
    lifo = settings is not None and settings.lifo
    return position(tables.position, record, fresh=record.lane is Lane.FRESH, lifo=lifo)
