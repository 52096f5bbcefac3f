"""Looking for anything that a clause forbids. Spec: STATE-3

Every check reads the tables as they are and trusts no operation; a clean storage gives nothing.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from aiq.backends.memory.audit_accounts import of_budgets, of_hold, of_lanes, of_limits, of_reservations
from aiq.backends.memory.audit_graves import of_grave, of_groups
from aiq.backends.memory.audit_keys import of_key, of_keys
from aiq.backends.memory.data import Outgoing, Stream, Tables
from aiq.backends.memory.fan_in import doomed
from aiq.backends.memory.transition import Transaction
from aiq.model import JobRecord, Phase, State, Violation, Wait
from aiq.rules.outbox import DEPENDENCIES, Kind
from aiq.rules.streams import marker
from aiq.rules.unique import holding
from aiq.rules.validation import check_limit
from aiq.rules.waits import verdict


def audit(tx: Transaction, limit: int) -> list[Violation]:
    """Name at most `limit` violations."""
    check_limit(limit)
    tables = tx.tables
    of_jobs = (_of_job(tables, record) for record in tables.jobs.values())
    of_tables = (check(tables) for check in _OF_TABLES)
    return list(islice(chain.from_iterable(chain(of_jobs, of_tables)), limit))


def _of_job(tables: Tables, record: JobRecord) -> Iterator[Violation]:
    checks = (_of_state, _of_indexes, _of_events, _of_stream, _of_signals, of_grave, of_hold, of_key)
    for check in checks:
        for clause, text in check(tables, record):
            yield Violation(clause, record.id, text)


def _of_state(tables: Tables, record: JobRecord) -> Iterator[tuple[str, str]]:
    """Fields that belong to some states only."""
    running = record.state is State.RUNNING
    if any((field is not None) is not running for field in (record.lease_id, record.owner, record.expires_at_ms)):
        yield "STATE-3", f"it is {record.state}, and its lease does not agree"
    if (record.result is not None) is not (record.state is State.SUCCEEDED) and not _may_be_dropped(tables, record):
        yield "STATE-2", f"it is {record.state}, and its result does not agree"
    if record.state.terminal is not (record.finished_at_ms is not None):
        yield "STATE-3", f"it is {record.state}, and its end does not agree"
    if record.state is State.SCHEDULED and record.due_ms is None:
        yield "STATE-3", "it is scheduled for no instant"
    if record.state in (State.WAITING, State.SUSPENDED) and record.wait_key is None:
        yield "STATE-3", f"it is {record.state} for nothing"


def _may_be_dropped(tables: Tables, record: JobRecord) -> bool:
    """Whether upkeep may have let the result of a job go. Spec: KEEP-10"""
    return record.state is State.SUCCEEDED and (record.finished_at_ms or 0) <= tables.results_mark[0]


def _of_indexes(tables: Tables, record: JobRecord) -> Iterator[tuple[str, str]]:
    """Each job is found where its state says."""
    if any(key not in index for index, key in tables.indexes.places(record)):
        yield "STATE-3", "it is missing in an index by instant"
    if (record.state is State.READY) is not tables.stands(record):
        yield "STATE-3", f"it is {record.state}, and the queue does not agree"


def _of_events(tables: Tables, record: JobRecord) -> Iterator[tuple[str, str]]:
    """Events tell the life without a gap: the whole, or the end of it once the log was trimmed."""
    events = tables.events.get(record.id, [])
    first = record.events - len(events) + 1
    numbers = [event.number for event in events]
    if numbers != list(range(first, record.events + 1)) or (first > 1 and not tables.log.trimmed):
        yield "STATE-4", f"its {len(events)} events are not numbered {first} to {record.events}"
    states = [event.target for event in events]
    sources = [None if first == 1 else event.source for event in events[:1]] + states[:-1]
    if [event.source for event in events] != sources or (states and states[-1] is not record.state):
        yield "STATE-4", "its events do not lead from one state to the next, and to the one it is in"
    if first == 1 and sum(event.row == "T3" for event in events) != record.fence:
        yield "CLAIM-8", f"its fence {record.fence} is not the number of its claims"


def _of_stream(tables: Tables, record: JobRecord) -> Iterator[tuple[str, str]]:
    stream = tables.streams.get(record.id, Stream())
    chunks, first = stream.chunks, stream.trimmed + 1
    if [chunk.number for chunk in chunks] != list(range(first, record.chunks + 1)):
        yield "STREAM-1", f"its {len(chunks)} items are not numbered {first} to {record.chunks}"
    if chunks and record.state.terminal and chunks[-1].kind is not marker(record.state):
        yield "STREAM-8", f"it is {record.state}, and its stream ends with {chunks[-1].kind}"


def _of_signals(tables: Tables, record: JobRecord) -> Iterator[tuple[str, str]]:
    kept = sum(signal.kept for signal in tables.signals.get(record.id, {}).values())
    if kept != record.kept_signals:
        yield "SIG-11", f"it counts {record.kept_signals} kept signals, and {kept} are stored"


def _of_waits(tables: Tables) -> Iterator[Violation]:
    for (job_id, key), wait in tables.waits.items():
        edges = tables.edges_in.get((job_id, key), {}).values()
        missing = [edge.upstream_id for edge in edges if edge.upstream_id not in tables.jobs]
        if missing or job_id not in tables.jobs:
            yield Violation("FLOW-7", job_id, f"an edge leads from or to a job that is not stored: {missing or job_id}")
            continue
        done = Counter(e.succeeded for e in edges if e.done_order is not None)
        if tables.jobs[job_id].state is State.SUCCEEDED:
            # What it waited for may be gone before it.
            continue
        if (wait.total, wait.succeeded, wait.failed) != (len(edges), done[True], done[False]):
            yield Violation("FAN-1", job_id, f"the counts of its wait {key!r} are not those of its edges")
        late = [e.upstream_id for e in edges if e.done_order is None and tables.jobs[e.upstream_id].state.terminal]
        redriven = Outgoing(Kind.REDRIVE, job_id, key) in tables.outbox
        if not redriven and any(Outgoing(Kind.FLIP, upstream_id) not in tables.outbox for upstream_id in late):
            yield Violation("FAN-6", job_id, f"its wait {key!r} was not told of an end")
        yield from _of_waiting(tables, tables.jobs[job_id], wait)


def _of_waiting(tables: Tables, record: JobRecord, wait: Wait) -> Iterator[Violation]:
    """A job waits for what is not over."""
    if record.state is not State.WAITING or record.wait_key != wait.key:
        return
    if record.pending != wait.pending:
        yield Violation("STATE-3", record.id, f"it counts {record.pending} pending, and its wait {wait.pending}")
    if wait.key != DEPENDENCIES:
        over = verdict(wait) is not None
    elif doomed(record, wait):
        over = Outgoing(Kind.DIE, record.id) not in tables.outbox
    else:
        over = wait.pending == 0
    if over:
        yield Violation("FAN-6", record.id, f"it waits under {wait.key!r} for what is over")


def _of_schedules(tables: Tables) -> Iterator[Violation]:
    for status in tables.calendar.standing.values():
        if (status.phase is Phase.PLANNED) is not (status.next_ms is not None):
            yield Violation("SCHED-5", status.name, f"it is {status.phase}, and its next slot does not agree")
        awaited = tables.jobs.get(status.awaited or "")
        if status.phase is Phase.WAITING and (awaited is None or awaited.state.terminal):
            yield Violation("SCHED-15", status.name, "it waits for a job that has ended")


def _of_outbox(tables: Tables) -> Iterator[Violation]:
    for row in tables.outbox:
        if row.job_id not in tables.jobs:
            yield Violation("STATE-3", row.job_id, f"the outbox is to {row.kind} for a job that is not stored")


def _of_positions(tables: Tables) -> Iterator[Violation]:
    ready = [record for record in tables.jobs.values() if record.state is State.READY]
    seen = Counter(record.position for record in ready)
    for record in ready:
        if seen[record.position] > 1:
            yield Violation("CLAIM-6", record.id, f"it shares position {record.position} with another ready job")


def _of_gone(tables: Tables) -> Iterator[Violation]:
    """Whatever belongs to a job belongs to one that is stored. Spec: GONE-1, GONE-6"""
    owned: dict[str, Iterable[str]] = {
        "a place": tables.numbers,
        "a branch": tables.branches,
        "a step": tables.steps,
        "a signal": tables.signals,
        "a stream": tables.streams,
        "a settlement": tables.settlements,
        "an instant": tables.since,
        "an edge": (upstream_id for upstream_id, places in tables.needed_by.items() if places),
        "a call": (key[0] for key in tables.accounts.reservations),
        "a wait": (key[0] for key in tables.waits),
    }
    for what, ids in owned.items():
        for name in set(ids) - tables.jobs.keys():
            yield Violation("GONE-1", name, f"it is not stored, and has {what}")
    for name in tables.events.keys() - tables.jobs.keys() - tables.tombstones.keys():
        yield Violation("EVENT-7", name, "events of it are kept, and its id is forgotten")
    for scope, name in tables.accounts.usage:
        if scope == "job" and name not in tables.jobs and name not in tables.remains:
            yield Violation("GONE-6", name, "it is not stored, and what it has used is")


def _of_unique(tables: Tables) -> Iterator[Violation]:
    """A key is that of a job that has not ended, or is taken for a time; then the end of its job is told."""
    for (task, key), holder in tables.unique.holders.items():
        record = holding(tables.jobs.get(holder.job_id), (task, key))
        if record is None:
            wrong = holder.state is None
        else:
            ended = record.state if record.state.terminal else None
            wrong = holder.state is not ended or (holder.until_ms is None and ended is not None)
        if wrong:
            yield Violation("UNIQ-2", holder.job_id, f"the unique key {key!r} of task {task} does not agree with it")


_OF_TABLES = (
    _of_gone,
    _of_waits,
    _of_unique,
    _of_outbox,
    _of_schedules,
    _of_positions,
    of_reservations,
    of_limits,
    of_budgets,
    of_lanes,
    of_keys,
    of_groups,
)
