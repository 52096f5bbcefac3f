"""Saying why a job does not run."""

from aiq.backends.memory.books import MemoryBooks
from aiq.backends.memory.data import Tables
from aiq.backends.memory.keys import spot_of
from aiq.backends.memory.lanes import place_of
from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_PAGE
from aiq.errors import NotFound
from aiq.model import JobRecord, State, Why, none
from aiq.rules.explaining import Aside, Facts, KeyLine, why
from aiq.rules.keys import Stand


def explain(tx: Transaction, job_id: str) -> Why:
    """Name the one gate that a job waits for. Reads only. Spec: WHY-1"""
    record = tx.tables.jobs.get(job_id)
    if record is None:
        raise NotFound(job_id)
    return why(MemoryBooks(tx), _facts(tx.tables, record))


def _facts(tables: Tables, record: JobRecord) -> Facts:
    if record.state is State.READY:
        return _ready(tables, record)
    accounts = tables.accounts
    hold = accounts.holds.by_job.get(record.id)
    run = (record.id, record.fence)
    return Facts(
        record=record,
        upstream=_upstream(tables, record),
        signal=tables.awaited.get(record.id, ""),
        calls=[accounts.waiting[key] for key in sorted(accounts.waiting) if key[:2] == run],
        need=none() if hold is None else hold.need,
    )


def _upstream(tables: Tables, record: JobRecord) -> str | None:
    """The first dependency that has not ended, of a job that has never run."""
    waits = (job_id for job_id in record.depends_on if not tables.jobs[job_id].state.terminal)
    return next(waits, None) if record.fence == 0 else None


def _ready(tables: Tables, record: JobRecord) -> Facts:
    lanes, key = tables.lanes[record.queue], tables.line(record)
    gate = lanes.aside.get(record.id)
    wake_at_ms = None if gate is None else lanes.shut.wake_ms(gate)
    return Facts(
        record=record,
        paused=record.queue in tables.paused,
        key=_key_line(tables, record),
        aside=Aside(limit=gate[3], key=gate[4], wake_at_ms=wake_at_ms) if gate and wake_at_ms is not None else None,
        pool=lanes.pools.get(key[0]),
        line=lanes.lines.get(key),
        before=min(lanes.before(key, place_of(record)), MAX_PAGE),
        urgent=min(lanes.urgent(record.band), MAX_PAGE),
        others=min(lanes.less_served(key), MAX_PAGE),
    )


def _key_line(tables: Tables, record: JobRecord) -> KeyLine | None:
    """How the key of a job stands that is in no lane for it. Reads only. Spec: KEY-15"""
    keys = tables.keys
    if record.id not in keys.aside:
        return None
    spot, keyed = spot_of(record), keys.jobs[record.id]
    return KeyLine(
        paused=keys.state(spot).paused,
        holder=keys.first_holder(spot),
        holders=keys.state(spot).holders,
        first=next(iter(keys.first(spot, 1)), ""),
        before=min(keys.lines[spot].place((keyed.place,)), MAX_PAGE) if keyed.stand is Stand.LINE else 0,
    )
