"""Reading everything, as records that any storage can take in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, TypeAlias

import msgspec

from aiq.backends.sqlite.rows import whole_records
from aiq.backends.sqlite.sql import load
from aiq.backends.sqlite.transaction import Transaction
from aiq.bounds import MAX_PAGE
from aiq.model import (
    BudgetSpec,
    BudgetState,
    Chunk,
    ChunkKind,
    Dumped,
    LimitSpec,
    LimitState,
    Moved,
    MovedAnswer,
    MovedBalance,
    MovedBudget,
    MovedEdge,
    MovedEvent,
    MovedGrant,
    MovedItem,
    MovedJob,
    MovedLearned,
    MovedLevel,
    MovedLimit,
    MovedLine,
    MovedOutgoing,
    MovedPrice,
    MovedQueue,
    MovedRange,
    MovedReservation,
    MovedSignal,
    MovedStep,
    MovedTenant,
    MovedUsage,
    MovedWait,
    PriceRow,
    QueueSettings,
    Reservation,
    State,
    Step,
    StepKind,
    Wait,
)
from aiq.rules.books import Learned
from aiq.rules.moving import cursor_at, page_of, place_of_cursor

SQL: Final = load("dump")

_Row: TypeAlias = list[Any]
_NUMBERS: Final = -1
_TEXTS: Final = ""


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of records: the statement that reads it, before which key its rows begin, what makes a record of a row,
    and how many rows are read at once: fewer where one may be large."""

    name: str
    first: tuple[str | int, ...]
    make: Callable[[_Row], Moved]
    most: int = MAX_PAGE


def dump(tx: Transaction, cursor: str | None, limit: int) -> Dumped:
    """Read one page, of one kind of records. Spec: MOVE-7"""
    kind, place = place_of_cursor(cursor, len(SOURCES))
    source = SOURCES[kind]
    after = place or msgspec.json.encode(source.first).decode()
    most = min(limit, source.most)
    rows = _rows(tx, source, after, most + 1)
    found = _jobs(tx, rows[:most]) if source.name == "jobs" else [source.make(row) for row in rows[:most]]
    page = page_of(found)
    if len(page) < len(rows):
        last = rows[len(page) - 1][: len(source.first)]
        return Dumped(page, cursor_at(kind, msgspec.json.encode(last).decode()))
    return Dumped(page, cursor_at(kind + 1, "") if kind + 1 < len(SOURCES) else None)


def _rows(tx: Transaction, source: Source, after: str, limit: int) -> list[_Row]:
    rows = tx.table(SQL[source.name], {"after": after, "limit": limit})
    return sorted(rows, key=itemgetter(*range(len(source.first))))


def _jobs(tx: Transaction, rows: Sequence[_Row]) -> list[Moved]:
    records = whole_records(tx.connection, [n for n, *_ in rows])
    return [
        MovedJob(record=record, signal=signal, held_at=held_at, need=msgspec.json.decode(need or "{}"))
        for record, (_, signal, held_at, need) in zip(records, rows, strict=True)
    ]


def _queue(row: _Row) -> Moved:
    name, paused, settings = row
    return MovedQueue(name=name, paused=bool(paused), settings=_of(settings or {}, QueueSettings))


def _learned(row: _Row) -> Moved:
    known = _of(row[2], Learned)
    return MovedLearned(
        task=row[0], model=row[1], output=known.output, outputs=known.outputs, input=known.input, inputs=known.inputs
    )


def _answer(row: _Row) -> Moved:
    _, job_id, settled_id, state, late, step = row
    fence, lease_id, own_id = settled_id.split(":", 2)
    return MovedAnswer(
        job_id=job_id, fence=int(fence), lease_id=lease_id, id=own_id, state=State(state), late=bool(late), step=step
    )


def _wait(row: _Row) -> Moved:
    _, key, job_id, *counts = row
    return MovedWait(job_id=job_id, wait=Wait(key, *counts))


def _edge(row: _Row) -> Moved:
    _, key, _, upstream, dependent, ended, succeeded = row
    return MovedEdge(upstream=upstream, dependent=dependent, key=key, ended=ended, succeeded=bool(succeeded))


def _step(row: _Row) -> Moved:
    _, key, job_id, kind, digest, fence, value = row
    return MovedStep(job_id=job_id, step=Step(key, StepKind(kind), value, digest, fence))


def _signal(row: _Row) -> Moved:
    _, job_id, signal_id, name, kept, bound, payload = row
    return MovedSignal(job_id=job_id, id=signal_id, name=name, payload=payload, bound=bool(bound), kept=bool(kept))


def _item(row: _Row) -> Moved:
    _, number, job_id, kind, fence, seq, step, at_ms, data = row
    return MovedItem(job_id=job_id, chunk=Chunk(number, ChunkKind(kind), data, fence, at_ms, step), seq=seq)


def _range(row: _Row) -> Moved:
    _, first, job_id, last, fence, step, void = row
    return MovedRange(job_id=job_id, first=first, last=last, fence=fence, step=step, void=bool(void))


def _event(row: _Row) -> Moved:
    _, number, job_id, at_ms, name, source, target, fence = row
    return MovedEvent(
        job_id=job_id,
        number=number,
        at_ms=at_ms,
        row=name,
        source=None if source is None else State(source),
        target=State(target),
        fence=fence,
    )


def _usage(row: _Row) -> Moved:
    names = ("scope", "owner", "minute_ms", "model", "category", "tokens", "usd_micros", "unpriced", "estimated")
    return MovedUsage(**dict(zip(names, row, strict=True)))


def _of(value: object, kind: type[Any]) -> Any:  # Any: what the caller names
    return msgspec.convert(value, kind)


SOURCES: Final[Sequence[Source]] = (
    Source("limits", (_TEXTS,), lambda row: MovedLimit(spec=_of(row[1], LimitSpec))),
    Source("queues", (_TEXTS,), _queue),
    Source("levels", (_TEXTS, _TEXTS), lambda row: MovedLevel(name=row[0], key=row[1], state=_of(row[2], LimitState))),
    Source("budgets", (_TEXTS,), lambda row: MovedBudget(spec=_of(row[1], BudgetSpec))),
    Source("balances", (_TEXTS, _NUMBERS), lambda row: MovedBalance(budget=row[0], state=_of(row[2], BudgetState))),
    Source("grants", (_TEXTS, _TEXTS), lambda row: MovedGrant(budget=row[0], id=row[1], window_ms=row[2])),
    Source(
        "prices",
        (_TEXTS, _TEXTS, _NUMBERS),
        lambda row: MovedPrice(
            row=PriceRow(model=row[0], category=row[1], from_ms=row[2], usd_micros_per_million=row[3])
        ),
    ),
    Source("learned", (_TEXTS, _TEXTS), _learned),
    Source("tenants", (_TEXTS,), lambda row: MovedTenant(tenant=row[0], weight=row[1])),
    Source("jobs", (_NUMBERS,), lambda row: MovedJob(record=row[0]), most=16),
    Source("answers", (_NUMBERS,), _answer),
    Source("waits", (_NUMBERS, _TEXTS), _wait),
    Source("edges", (_NUMBERS, _TEXTS, _NUMBERS), _edge),
    Source("steps", (_NUMBERS, _TEXTS), _step, most=8),
    Source("signals", (_NUMBERS,), _signal, most=64),
    Source("items", (_NUMBERS, _NUMBERS), _item, most=64),
    Source("ranges", (_NUMBERS, _NUMBERS), _range),
    Source("events", (_NUMBERS, _NUMBERS), _event),
    Source(
        "lines",
        (_TEXTS, _TEXTS, _NUMBERS, _TEXTS),
        lambda row: MovedLine(queue=row[0], pool=row[1], band=row[2], tenant=row[3], service=row[4]),
    ),
    Source(
        "reservations",
        (_TEXTS, _NUMBERS, _NUMBERS),
        lambda row: MovedReservation(reservation=_of(row[3], Reservation)),
    ),
    Source("usage", (_TEXTS, _TEXTS, _NUMBERS, _TEXTS, _TEXTS), _usage),
    Source("outbox", (_NUMBERS,), lambda row: MovedOutgoing(kind=row[1], job_id=row[2], key=row[3])),
)
"""In the order in which they are loaded: what others name comes first."""
