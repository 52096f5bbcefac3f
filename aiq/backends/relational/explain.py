"""Saying why a job does not run."""

from typing import Any, Final

from aiq.backends.relational.admission import admission
from aiq.backends.relational.gates import Gate
from aiq.backends.relational.get import get
from aiq.backends.relational.keys import keys_of, spot_of
from aiq.backends.relational.rows import Job, ids
from aiq.backends.relational.shelf import decoder_of
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_PAGE
from aiq.errors import NotFound
from aiq.model import JobRecord, State, Why
from aiq.rules.explaining import Aside, Facts, KeyLine, why
from aiq.rules.keys import Stand

SQL: Final = load("explain")

_WAITING: Final[Any] = tuple[int, str]


def explain(tx: Transaction, job_id: str) -> Why:
    """Name the one gate that a job waits for. Reads only. Spec: WHY-1"""
    job, (record,) = tx.job(job_id), get(tx, [job_id])
    if job is None or record is None:
        raise NotFound(job_id)
    facts = _ready(tx, job, record) if record.state is State.READY else _facts(tx, job, record)
    return why(admission(tx).ledger, facts)


def _facts(tx: Transaction, job: Job, record: JobRecord) -> Facts:
    known = admission(tx)
    return Facts(
        record=record,
        upstream=_upstream(tx, record),
        signal=job.signal or "",
        calls=known.ledger.calls.of_run(record.id, record.fence),
        need=known.holds.need(job.n),
    )


def _upstream(tx: Transaction, record: JobRecord) -> str | None:
    """The first dependency that has not ended, of a job that has never run."""
    if record.fence or not record.depends_on:
        return None
    found = tx.peek(SQL["upstream"], {"ids": ids(record.depends_on)}, decoder_of(_WAITING))
    return min(found)[1] if found else None


def _ready(tx: Transaction, job: Job, record: JobRecord) -> Facts:
    lanes, key = admission(tx).lanes, admission(tx).lanes.key_of(record)
    queue, pool, band, tenant = key
    place = {"queue": queue, "pool": pool, "band": int(band), "tenant": tenant if job.gated else ""}
    spot = {"lane": int(record.lane), "position": record.position, "limit": MAX_PAGE}
    turns = lanes.turns(queue, pool, band)
    line = turns.line(turns.row(str(place["tenant"])))
    paused, before, urgent, others = tx.rows(SQL["standing"], {**place, **spot, "service": line.service})[0]
    return Facts(
        record=record,
        paused=bool(paused),
        key=_key_line(tx, job),
        aside=_aside(tx, Gate(*key, *job.aside)) if job.aside is not None else None,
        pool=lanes.pools.row(queue, pool).pool,
        line=line,
        before=before,
        urgent=urgent,
        others=others,
    )


def _aside(tx: Transaction, gate: Gate) -> Aside | None:
    row = tx.row(SQL["gate"], gate._asdict())
    return None if row is None else Aside(limit=gate.name, key=gate.part, wake_at_ms=row[0])


def _key_line(tx: Transaction, job: Job) -> KeyLine | None:
    """How the key of a job stands that is in no lane for it. Spec: KEY-15"""
    keyed, spot = job.keyed, spot_of(job.record)
    if keyed is None or not keyed.aside:
        return None
    asked = {"queue": spot[0], "order_key": spot[1], "root": keyed.branch.root, "depth": keyed.branch.depth}
    holder, first, before = tx.rows(SQL["key_line"], {**asked, "turn": keyed.turn, "limit": MAX_PAGE})[0]
    key = keys_of(tx).state(spot)
    before = before if keyed.stand is Stand.LINE else 0
    return KeyLine(paused=key.paused, holder=holder, holders=key.holders, first=first or "", before=before)
