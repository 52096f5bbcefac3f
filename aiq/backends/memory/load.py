"""Taking in what another storage held."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from msgspec import structs

from aiq.backends.memory.accounts import Hold, LettingGo, Used, line_of
from aiq.backends.memory.books import MemoryBooks
from aiq.backends.memory.configure import configure
from aiq.backends.memory.data import Edge, LastSettlement, Outgoing, Remains, Signal, Tombstone
from aiq.backends.memory.graves import Death, Following
from aiq.backends.memory.holding import await_windows
from aiq.backends.memory.keys import Keyed
from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_PAGE
from aiq.errors import Conflict, Moved
from aiq.model import (
    ChunkKind,
    Settled,
    moving,
)
from aiq.rules.books import Learned
from aiq.rules.keys import Branch, KeyState, Stand, place_in_line
from aiq.rules.metrics import COLUMNS
from aiq.rules.outbox import Kind
from aiq.rules.streams import Range, stored_size
from aiq.rules.unique import Holder
from aiq.rules.validation import check_count, check_opaque
from aiq.storage import queue_topic


def load(tx: Transaction, move_id: str, records: Sequence[moving.Record], *, last: bool) -> None:
    """Take in some records, and open the storage after the last. Spec: MOVE-1, MOVE-2, MOVE-4, MOVE-5, MOVE-9"""
    check_opaque("id of a move", move_id)
    check_count("list of records", len(records), MAX_PAGE)
    loading = tx.tables.loading
    if tx.tables.moved_to is not None:
        raise Moved(tx.tables.moved_to)
    if loading is None:
        if tx.tables.loaded == move_id:
            return
        if tx.tables.jobs:
            raise Conflict("This storage holds jobs already. Load into an empty one.", reason="occupied")
        loading = tx.tables.loading = move_id
    if loading != move_id:
        raise Conflict(f"Another move is being loaded here, {loading}.", reason="occupied")
    for record in records:
        _LOADERS[type(record)](tx, record)
    if last:
        tx.tables.loading, tx.tables.loaded = None, move_id
        await_windows(tx)
        tx.topics |= {queue_topic(name) for name in tx.tables.lanes}


def _limit(tx: Transaction, moved: moving.Limit) -> None:
    tx.tables.accounts.limits[moved.spec.name] = moved.spec


def _queue(tx: Transaction, moved: moving.Queue) -> None:
    configure(tx, moved.name, moved.settings)
    if moved.paused:
        tx.tables.paused.add(moved.name)


def _level(tx: Transaction, moved: moving.Level) -> None:
    MemoryBooks(tx).put_limit_state(moved.name, moved.key, moved.state)


def _budget(tx: Transaction, moved: moving.Budget) -> None:
    tx.tables.accounts.budgets[moved.spec.id] = moved.spec


def _balance(tx: Transaction, moved: moving.Balance) -> None:
    MemoryBooks(tx).put_budget_state(moved.budget, moved.state)


def _grant(tx: Transaction, moved: moving.Grant) -> None:
    tx.tables.accounts.grants[moved.budget][moved.id] = moved.window_ms


def _price(tx: Transaction, moved: moving.Price) -> None:
    row = moved.row
    tx.tables.accounts.prices[row.model][row.category, row.from_ms] = row


def _learn(tx: Transaction, moved: moving.Learned) -> None:
    known = Learned(output=moved.output, outputs=moved.outputs, input=moved.input, inputs=moved.inputs)
    tx.tables.accounts.learned[moved.task, moved.model] = known


def _tenant(tx: Transaction, moved: moving.Tenant) -> None:
    tx.tables.accounts.weights[moved.tenant] = moved.weight


def _key(tx: Transaction, moved: moving.Key) -> None:
    state = KeyState(moved.per_key, moved.places, moved.holders, moved.line, moved.paused)
    tx.tables.keys.states[moved.queue, moved.key] = state


def _unique(tx: Transaction, moved: moving.Unique) -> None:
    told = (moved.job_id, moved.how, moved.last_id, moved.last_digest, moved.until_ms, moved.state)
    tx.tables.unique.put((moved.task, moved.key), Holder(*told))


def _group(tx: Transaction, moved: moving.Group) -> None:
    tx.tables.graves.groups[moved.group.fingerprint] = moved.group


def _job(tx: Transaction, moved: moving.Job) -> None:
    tables, record = tx.tables, moved.record
    if record.id in tables.jobs:
        return
    tables.enlist_as(record.id, moved.number)
    branch = Branch(moved.root, moved.depth) if moved.depth else None
    if branch is not None:
        tables.branches[record.id] = branch
    if moved.turn is not None:
        tables.take_number(moved.turn.turn)
    if moved.turn is not None and not record.state.terminal:
        place = place_in_line(moved.turn.turn, branch if record.parent_id is not None else None)
        tables.keys.restore(record, Keyed(moved.turn.turn, place, Stand(moved.turn.stand)))
    tables.put(record)
    tables.since[record.id] = moved.since_ms
    if record.chunks:
        # Items that are gone leave their numbers behind; the first that comes says where they begin.
        tables.streams[record.id].trimmed = record.chunks
    tables.position = max(tables.position, record.position)
    if record.parent_id is not None:
        tables.children[record.parent_id].append(record.id)
    if moved.signal is not None:
        tables.awaited[record.id] = moved.signal
    if moved.patience_end_ms is not None:
        tables.lanes[record.queue].patience.begin(record.id, tables.pool(record), moved.patience_end_ms)
    if record.held is not None:
        _hold(tx, moved)
    _bury(tx, moved)


def _bury(tx: Transaction, moved: moving.Job) -> None:
    """Let a job stand in the dead-letter view as it did."""
    graves, job_id, grave, rising = tx.tables.graves, moved.record.id, moved.grave, moved.rising
    if grave is not None:
        graves.deaths[job_id] = Death(
            grave.fingerprint, grave.died_at_ms, grave.tokens, grave.usd_micros, sample=grave.sample
        )
        graves.members[grave.fingerprint][job_id] = None
    if rising is not None:
        graves.following[job_id] = Following(rising.redrive_id, rising.fingerprint, rising.tokens, rising.usd_micros)


def _hold(tx: Transaction, moved: moving.Job) -> None:
    """Put a job into its line, which is in the order in which jobs were held."""
    record, holds = moved.record, tx.tables.accounts.holds
    assert record.held is not None
    hold = Hold(moved.held_at, record.id, record.held, record.held_by, moved.need)
    holds.number = max(holds.number, hold.number)
    line = line_of(hold.reason, hold.by)
    holds.by_job[record.id] = holds.lines[line][record.id] = hold
    holds.lines[line] = {one.job_id: one for one in sorted(holds.lines[line].values(), key=lambda one: one.number)}


def _answer(tx: Transaction, moved: moving.Answer) -> None:
    step = None if moved.step is None else tx.tables.step(moved.job_id, moved.step)
    answer = Settled(moved.state, moved.late, step)
    tx.tables.settlements[moved.job_id] = LastSettlement(moved.fence, moved.lease_id, moved.id, answer)


def _wait(tx: Transaction, moved: moving.Wait) -> None:
    tx.tables.waits[moved.job_id, moved.wait.key] = moved.wait


def _edge(tx: Transaction, moved: moving.Edge) -> None:
    edges = tx.tables.edges_in[moved.dependent, moved.key]
    if moved.upstream in edges:
        return
    tx.tables.needed_by[moved.upstream].add((moved.dependent, moved.key))
    edge = Edge(moved.upstream, moved.dependent, moved.key, moved.ended or None, moved.succeeded)
    edges[moved.upstream] = edge
    if not moved.ended:
        tx.tables.edges_out[moved.upstream].append(edge)


def _step(tx: Transaction, moved: moving.Step) -> None:
    tx.tables.steps[moved.job_id][moved.step.key] = moved.step


def _signal(tx: Transaction, moved: moving.Signal) -> None:
    signal = Signal(moved.name, moved.payload, bound=moved.bound, kept=moved.kept, over_ms=moved.over_ms)
    tx.tables.signals[moved.job_id].setdefault(moved.id, signal)


def _item(tx: Transaction, moved: moving.Item) -> None:
    stream = tx.tables.streams[moved.job_id]
    if not stream.chunks:
        stream.trimmed = moved.chunk.number - 1
    elif moved.chunk.number <= stream.chunks[-1].number:
        return
    stream.chunks.append(moved.chunk)
    if moved.seq is None:
        return
    stream.runs[moved.chunk.fence].append(moved.chunk)
    stream.size += stored_size(moved.chunk.data)
    if moved.chunk.kind is ChunkKind.PROGRESS:
        record = tx.tables.jobs[moved.job_id]
        tx.tables.put(replace(record, progress=moved.chunk.data))


def _range(tx: Transaction, moved: moving.Range) -> None:
    stream = tx.tables.streams[moved.job_id]
    if not stream.ranges or stream.ranges[-1].first < moved.first:
        stream.ranges.append(Range(moved.first, moved.last, moved.fence, moved.step, moved.void))


def _log(tx: Transaction, moved: moving.Log) -> None:
    tables = tx.tables
    tables.retention, tables.results_mark = moved.retention, (moved.results_ms, 0)
    if moved.trimmed and not tables.log.trimmed:
        tables.log.trimmed = 1


def _event(tx: Transaction, moved: moving.Event) -> None:
    log, event = tx.tables.log, moved.event
    events = tx.tables.events[event.job_id]
    if events and event.number <= events[-1].number:
        return
    event = replace(event, cursor=log.cursor(log.last + 1))
    log.events.append(event)
    events.append(event)


def _minute(tx: Transaction, moved: moving.Minute) -> None:
    row = moved.row
    tx.tables.minutes[row.minute_ms, row.queue, row.task] = [getattr(row, name) for name in COLUMNS]


def _tombstone(tx: Transaction, moved: moving.Tombstone) -> None:
    tx.tables.tombstones[moved.id] = Tombstone(moved.digest, moved.state, moved.until_ms)


def _remains(tx: Transaction, moved: moving.Remains) -> None:
    tx.tables.remains[moved.job_id] = Remains(moved.parent_id, moved.flow, moved.due_ms)


def _line(tx: Transaction, moved: moving.Line) -> None:
    lanes = tx.tables.lanes[moved.queue]
    line = lanes.line((moved.pool, moved.band, moved.tenant))
    lanes.put_line(structs.replace(line, service=moved.service, wake_at_ms=0, parked_by=""))


def _pool(tx: Transaction, moved: moving.Pool) -> None:
    lanes = tx.tables.lanes[moved.queue]
    lanes.put_pool(replace(lanes.pool(moved.name), served=moved.served))


def _reservation(tx: Transaction, moved: moving.Reservation) -> None:
    MemoryBooks(tx).put_reservation(moved.reservation)


def _room(tx: Transaction, moved: moving.Room) -> None:
    tx.tables.accounts.holds.letting_go[moved.reason, moved.by] = LettingGo(moved.left, moved.granted)


def _usage(tx: Transaction, moved: moving.Usage) -> None:
    used = Used(moved.tokens, moved.usd_micros, moved.unpriced, moved.estimated)
    tx.tables.accounts.usage[moved.scope, moved.owner][moved.minute_ms, moved.model, moved.category] = used


def _schedule(tx: Transaction, moved: moving.Schedule) -> None:
    tx.tables.calendar.put(moved.status)


def _outgoing(tx: Transaction, moved: moving.Outgoing) -> None:
    row = Outgoing(Kind(moved.kind), moved.job_id, moved.key)
    if row not in tx.tables.outbox:
        tx.tables.outbox.append(row)


_LOADERS: Final[dict[type[moving.Record], Callable[[Transaction, Any], None]]] = {
    moving.Limit: _limit,
    moving.Queue: _queue,
    moving.Level: _level,
    moving.Budget: _budget,
    moving.Balance: _balance,
    moving.Grant: _grant,
    moving.Price: _price,
    moving.Learned: _learn,
    moving.Tenant: _tenant,
    moving.Key: _key,
    moving.Unique: _unique,
    moving.Group: _group,
    moving.Job: _job,
    moving.Answer: _answer,
    moving.Wait: _wait,
    moving.Edge: _edge,
    moving.Step: _step,
    moving.Signal: _signal,
    moving.Item: _item,
    moving.Range: _range,
    moving.Tombstone: _tombstone,
    moving.Log: _log,
    moving.Event: _event,
    moving.Minute: _minute,
    moving.Remains: _remains,
    moving.Line: _line,
    moving.Pool: _pool,
    moving.Reservation: _reservation,
    moving.Room: _room,
    moving.Usage: _usage,
    moving.Schedule: _schedule,
    moving.Outgoing: _outgoing,
}
"""What takes in each kind; each of another type, hence Any."""
