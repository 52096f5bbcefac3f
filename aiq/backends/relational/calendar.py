"""Schedules as they are stored."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec

from aiq.backends.relational.rows import ids
from aiq.backends.relational.shelf import decoder_of
from aiq.backends.relational.statements import load
from aiq.backends.relational.terms import plain
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_PAGE_BYTES
from aiq.model import Phase, ScheduleSpec, ScheduleStatus
from aiq.rules.schedules import job_ended

SQL: Final = load("schedules")

AWAITED: Final = 2
"""The bit of a job's `dependents` that says that a schedule waits for its end."""

_STATE: Final = (
    *(
        "revision",
        "paused",
        "phase",
        "next_ms",
        "passed_ms",
        "fires",
        "skipped",
        "refused",
        "last_job_id",
        "last_fired_ms",
        "error",
    ),
)
"""What changes in a status, in the order of the columns."""
_ROW: Final[Any] = tuple[
    int, ScheduleSpec, int, int, Phase, int | None, int, int, int, int, str | None, int | None, str
]
_encoder: Final = msgspec.json.Encoder(enc_hook=plain)


def named(tx: Transaction, names: Sequence[str]) -> dict[str, ScheduleStatus]:
    """The schedules of these names that are stored."""
    found = _read(tx, "named", {"names": ids(names), "bytes": _ALL})
    return {status.name: status for status in found}


def page(tx: Transaction, kind: str, asked: Mapping[str, object]) -> list[ScheduleStatus]:
    """A page of schedules by one of the statements, in its order. Spec: STORE-13"""
    return _read(tx, kind, {**asked, "bytes": MAX_PAGE_BYTES})


def write(tx: Transaction, status: ScheduleStatus) -> None:
    """Write what changes in a schedule that is stored, and let the job know for which it waits."""
    tx.run(SQL["state"], _state(status))
    if status.awaited is not None:
        tx.run(SQL["await"], {"job_id": status.awaited})
        job = tx.known(status.awaited)
        if job is not None:
            tx.forget(job)


def write_whole(tx: Transaction, status: ScheduleStatus) -> None:
    """Write a schedule that is new or has changed."""
    spec = _encoder.encode(status.spec).decode()
    tx.run(SQL["put"], {**_state(status), "spec": spec, "size": len(status.spec.template.payload)})
    write(tx, status)


def delete(tx: Transaction, names: Sequence[str]) -> None:
    """Remove schedules."""
    tx.run(SQL["delete"], {"names": ids(names)})


def tell_end(tx: Transaction, job_id: str) -> None:
    """A job has ended: the next slots of schedules that wait for it count from now. Spec: SCHED-15"""
    for status in _read(tx, "waiting_for", {"job_id": job_id}):
        write(tx, job_ended(status, tx.now_ms))


def count_due(tx: Transaction, limit: int) -> int:
    """How many schedules are due, at most so many. Spec: SCHED-16"""
    return int(tx.rows(SQL["count_due"], {"now_ms": tx.now_ms, "limit": limit})[0][0])


_ALL: Final = 2**53


def _read(tx: Transaction, kind: str, asked: Mapping[str, object]) -> list[ScheduleStatus]:
    tx.flush()
    rows = sorted(tx.peek(SQL[kind], asked, decoder_of(_ROW)), key=itemgetter(0))
    return [_status(spec, state) for _, spec, *state in rows]


def _status(spec: ScheduleSpec, state: Sequence[Any]) -> ScheduleStatus:
    fields = dict(zip(_STATE, state, strict=True))
    return ScheduleStatus(**{**fields, "spec": spec, "paused": bool(fields["paused"])})


def _state(status: ScheduleStatus) -> dict[str, object]:
    return {"name": status.name, **{field: getattr(status, field) for field in _STATE}}
