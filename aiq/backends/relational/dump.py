"""Reading everything, as records that any storage can take in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, TypeAlias

import msgspec

from aiq.backends.relational.events import SQL as EVENTS
from aiq.backends.relational.events import read_events
from aiq.backends.relational.get_schedules import get_schedules
from aiq.backends.relational.holds import Room
from aiq.backends.relational.reserved import Bodies
from aiq.backends.relational.retention import get_retention, results_mark
from aiq.backends.relational.rows import whole_records
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_PAGE
from aiq.model import (
    BudgetSpec,
    BudgetState,
    Chunk,
    ChunkKind,
    DeadGroup,
    HeldFor,
    JobRecord,
    LimitSpec,
    LimitState,
    MinuteRow,
    PriceRow,
    QueueSettings,
    State,
    Step,
    StepKind,
    Wait,
    moving,
)
from aiq.rules.books import Learned
from aiq.rules.metrics import COLUMNS
from aiq.rules.moving import cursor_at, page_of, place_of_cursor

SQL: Final = load("dump")

_Row: TypeAlias = list[Any]
Key: TypeAlias = tuple[str | int, ...]
_NUMBERS: Final = -1
_TEXTS: Final = ""


Found: TypeAlias = tuple[Key, moving.Record]
"""A record, and the key behind which a dump goes on."""


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of records: before which key they begin, what reads some behind a key, in the order of their keys, and
    how many are read at once: fewer where one may be large."""

    first: Key
    read: Callable[[Transaction, Key, int], list[Found]]
    most: int = MAX_PAGE


def dump(tx: Transaction, cursor: str | None, limit: int) -> moving.Dumped:
    """Read one page, of one kind of records. Spec: MOVE-7"""
    kind, place = place_of_cursor(cursor, len(SOURCES))
    source = SOURCES[kind]
    after = tuple(msgspec.json.decode(place)) if place else source.first
    most = min(limit, source.most)
    found = source.read(tx, after, most + 1)
    page = page_of([record for _, record in found[:most]])
    if len(page) < len(found):
        return moving.Dumped(page, cursor_at(kind, msgspec.json.encode(found[len(page) - 1][0]).decode()))
    return moving.Dumped(page, cursor_at(kind + 1, "") if kind + 1 < len(SOURCES) else None)


def _rows(tx: Transaction, name: str, after: Key, limit: int) -> list[_Row]:
    rows = tx.table(SQL[name], {"after": msgspec.json.encode(after).decode(), "limit": limit})
    return sorted(rows, key=itemgetter(*range(len(after))))


def _table(name: str, first: Key, make: Callable[[_Row], moving.Record], most: int = MAX_PAGE) -> Source:
    """Records that are rows of one statement; each row begins with its key."""

    def read(tx: Transaction, after: Key, limit: int) -> list[Found]:
        return [(tuple(row[: len(first)]), make(row)) for row in _rows(tx, name, after, limit)]

    return Source(first, read, most)


def _jobs(tx: Transaction, after: Key, limit: int) -> list[Found]:
    rows = _rows(tx, "jobs", after, limit)
    records = whole_records(tx.connection, [n for n, *_ in rows])
    return [((row[0],), _job(record, row)) for record, row in zip(records, rows, strict=True)]


def _job(record: JobRecord, row: _Row) -> moving.Record:
    number, root, depth, signal, held_at, need, since_ms, patience_end_ms, turn, grave, rising = row
    return moving.Job(
        record=record,
        number=number,
        root=root or 0,
        depth=depth or 0,
        signal=signal,
        held_at=held_at,
        need=need,
        since_ms=since_ms,
        patience_end_ms=patience_end_ms,
        turn=_of(turn, moving.Turn | None),
        grave=_of(grave, moving.Grave | None),
        rising=_of(rising, moving.Rising | None),
    )


def _unique(row: _Row) -> moving.Record:
    task, key, job_id, how, last_id, last_digest, until_ms, state = row
    return moving.Unique(
        task=task,
        key=key,
        job_id=job_id,
        how=how,
        last_id=last_id,
        last_digest=last_digest,
        until_ms=until_ms,
        state=None if state is None else State(state),
    )


def _key(row: _Row) -> moving.Record:
    queue, key, per_key, places, holders, line, paused = row
    return moving.Key(
        queue=queue, key=key, per_key=per_key, places=places, holders=holders, line=line, paused=bool(paused)
    )


def _schedules(tx: Transaction, after: Key, limit: int) -> list[Found]:
    found = get_schedules(tx, (), str(after[0]), limit)
    return [((status.name,), moving.Schedule(status=status)) for status in found]


def _queue(row: _Row) -> moving.Record:
    name, paused, settings = row
    return moving.Queue(name=name, paused=bool(paused), settings=_of(settings or {}, QueueSettings))


def _learned(row: _Row) -> moving.Record:
    known = _of(row[2], Learned)
    return moving.Learned(
        task=row[0], model=row[1], output=known.output, outputs=known.outputs, input=known.input, inputs=known.inputs
    )


def _answer(row: _Row) -> moving.Record:
    _, job_id, settled_id, state, late, step = row
    fence, lease_id, own_id = settled_id.split(":", 2)
    return moving.Answer(
        job_id=job_id, fence=int(fence), lease_id=lease_id, id=own_id, state=State(state), late=bool(late), step=step
    )


def _wait(row: _Row) -> moving.Record:
    _, key, job_id, *counts = row
    return moving.Wait(job_id=job_id, wait=Wait(key, *counts))


def _edge(row: _Row) -> moving.Record:
    _, key, _, upstream, dependent, ended, succeeded = row
    return moving.Edge(upstream=upstream, dependent=dependent, key=key, ended=ended, succeeded=bool(succeeded))


def _step(row: _Row) -> moving.Record:
    _, key, job_id, kind, digest, fence, value = row
    return moving.Step(job_id=job_id, step=Step(key, StepKind(kind), value, digest, fence))


def _signal(row: _Row) -> moving.Record:
    _, job_id, signal_id, name, kept, bound, over_ms, payload = row
    return moving.Signal(
        job_id=job_id, id=signal_id, name=name, payload=payload, bound=bool(bound), kept=bool(kept), over_ms=over_ms
    )


def _item(row: _Row) -> moving.Record:
    _, number, job_id, kind, fence, seq, step, at_ms, data = row
    return moving.Item(job_id=job_id, chunk=Chunk(number, ChunkKind(kind), data, fence, at_ms, step), seq=seq)


def _range(row: _Row) -> moving.Record:
    _, first, job_id, last, fence, step, void = row
    return moving.Range(job_id=job_id, first=first, last=last, fence=fence, step=step, void=bool(void))


def _log(tx: Transaction, after: Key, limit: int) -> list[Found]:
    del limit
    if after != (_NUMBERS,):
        return []
    trimmed, results_ms = tx.rows(EVENTS["span"])[0][0], results_mark(tx)[0]
    return [((0,), moving.Log(trimmed=trimmed > 0, retention=get_retention(tx), results_ms=results_ms))]


def _events(tx: Transaction, after: Key, limit: int) -> list[Found]:
    page = read_events(tx, str(after[0]) or None, limit)
    return [((event.cursor,), moving.Event(event=event)) for event in page.events]


def _tombstone(row: _Row) -> moving.Record:
    _, job_id, digest, state, task, queue, until_ms = row
    return moving.Tombstone(id=job_id, digest=digest, state=State(state), task=task, queue=queue, until_ms=until_ms)


def _remains(row: _Row) -> moving.Record:
    _, job_id, parent_id, flow, due_ms = row
    return moving.Remains(job_id=job_id, parent_id=parent_id, flow=flow, due_ms=due_ms)


def _minute(row: _Row) -> moving.Record:
    minute_ms, queue, task, *figures = row
    told = dict(zip(COLUMNS, figures, strict=True))
    return moving.Minute(row=MinuteRow(minute_ms=minute_ms, queue=queue, task=task, **told))


def _usage(row: _Row) -> moving.Record:
    names = ("scope", "owner", "minute_ms", "model", "category", "tokens", "usd_micros", "unpriced", "estimated")
    return moving.Usage(**dict(zip(names, row, strict=True)))


def _room(row: _Row) -> moving.Record:
    room = _of(row[2], Room)
    return moving.Room(reason=HeldFor(row[0]), by=row[1], left=room.left, granted=room.granted)


def _of(value: object, kind: Any) -> Any:  # Any: what the caller names
    return msgspec.convert(value, kind)


SOURCES: Final[Sequence[Source]] = (
    _table("limits", (_TEXTS,), lambda row: moving.Limit(spec=_of(row[1], LimitSpec))),
    _table("queues", (_TEXTS,), _queue),
    _table(
        "levels", (_TEXTS, _TEXTS), lambda row: moving.Level(name=row[0], key=row[1], state=_of(row[2], LimitState))
    ),
    _table("budgets", (_TEXTS,), lambda row: moving.Budget(spec=_of(row[1], BudgetSpec))),
    _table("balances", (_TEXTS, _NUMBERS), lambda row: moving.Balance(budget=row[0], state=_of(row[2], BudgetState))),
    _table("grants", (_TEXTS, _TEXTS), lambda row: moving.Grant(budget=row[0], id=row[1], window_ms=row[2])),
    _table(
        "prices",
        (_TEXTS, _TEXTS, _NUMBERS),
        lambda row: moving.Price(
            row=PriceRow(model=row[0], category=row[1], from_ms=row[2], usd_micros_per_million=row[3])
        ),
    ),
    _table("learned", (_TEXTS, _TEXTS), _learned),
    _table("tenants", (_TEXTS,), lambda row: moving.Tenant(tenant=row[0], weight=row[1])),
    _table("keys", (_TEXTS, _TEXTS), _key),
    _table("uniques", (_TEXTS, _TEXTS), _unique),
    _table("groups", (_TEXTS,), lambda row: moving.Group(group=_of(row[1], DeadGroup))),
    Source((_NUMBERS,), _jobs, most=16),
    _table("waits", (_NUMBERS, _TEXTS), _wait),
    _table("edges", (_NUMBERS, _TEXTS, _NUMBERS), _edge),
    _table("steps", (_NUMBERS, _TEXTS), _step, most=8),
    _table("answers", (_NUMBERS,), _answer),
    _table("signals", (_NUMBERS,), _signal, most=64),
    _table("items", (_NUMBERS, _NUMBERS), _item, most=64),
    _table("ranges", (_NUMBERS, _NUMBERS), _range),
    _table("tombstones", (_NUMBERS,), _tombstone),
    Source((_NUMBERS,), _log),
    Source((_TEXTS,), _events),
    _table("minutes", (_NUMBERS, _TEXTS, _TEXTS), _minute),
    _table("remains", (_NUMBERS,), _remains),
    _table(
        "lines",
        (_TEXTS, _TEXTS, _NUMBERS, _TEXTS),
        lambda row: moving.Line(queue=row[0], pool=row[1], band=row[2], tenant=row[3], service=row[4]),
    ),
    _table("pools", (_TEXTS, _TEXTS), lambda row: moving.Pool(queue=row[0], name=row[1], served=tuple(row[2]))),
    _table(
        "reservations",
        (_TEXTS, _NUMBERS, _NUMBERS),
        lambda row: moving.Reservation(reservation=Bodies().reservation((row[0], row[1], row[2]), *row[3:])),
    ),
    _table("rooms", (_TEXTS, _TEXTS), _room),
    Source((_TEXTS,), _schedules),
    _table("usage", (_TEXTS, _TEXTS, _NUMBERS, _TEXTS, _TEXTS), _usage),
    _table("outbox", (_NUMBERS,), lambda row: moving.Outgoing(kind=row[1], job_id=row[2], key=row[3])),
)
"""In the order in which they are loaded: what others name comes first."""
