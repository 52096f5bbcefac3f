"""Rows of SQLite and what they mean."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from aiq.backends.sqlite.sql import load
from aiq.model import Band, Cause, JobError, JobRecord, JobSpec, Lane, State

Row: TypeAlias = tuple[Any, ...]
"""What the driver gives; each use names the columns beside it, and mypy cannot know more."""

SQL: Final = load("jobs")

HOT: Final = (
    *("id", "task", "queue", "delay_ms", "at_ms", "lease_ms", "max_attempts", "max_stalls", "on_upstream", "state"),
    *("fence", "failures", "stalls", "lane", "position", "lease_id", "owner", "expires_at_ms"),
    *("cancel_requested_at_ms", "cause", "wait_key", "kept_signals", "chunks", "late", "events", "created_at_ms"),
)
"""The fields of a record that decisions look at, in the order of the columns of `hot`."""

WHOLE: Final = (
    *("id", "task", "queue", "digest", "band", "delay_ms", "at_ms", "lease_ms", "timeout_ms", "max_attempts"),
    *("max_stalls", "flow", "on_upstream", "child_of", "tenant", "key", "unique", "limits", "routes"),
    *("deadline_ms", "state", "generation", "fence", "failures", "stalls", "lane", "position", "due_ms", "lease_id"),
    *("owner", "expires_at_ms", "cancel_requested_at_ms", "cause", "wait_key", "pending", "parent_id"),
    *("remembers", "kept_signals", "chunks", "late", "events", "created_at_ms", "started_at_ms"),
    *("finished_at_ms", "payload", "depends_on", "estimate", "budget", "result", "progress"),
)
"""All fields but the errors, in the order of the columns of `whole`."""

_STATES: Final = {state.value: state for state in State}
_CAUSES: Final[Mapping[str | None, Cause | None]] = {None: None, **{cause.value: cause for cause in Cause}}
_LANES: Final = tuple(Lane)
_BANDS: Final = tuple(Band)


@dataclass(slots=True)
class Job:
    """A job as a step sees it: of its record the fields of HOT, and what only this store knows of it.

    It is true until the step writes the job; then it is read again.
    """

    record: JobRecord
    n: int
    signal: str | None
    dependents: int
    children: int
    steps: int
    stream_bytes: int
    run_seq: int
    errors: int
    settled_id: str | None
    settled_state: str | None
    settled_late: int | None
    settled_step: str | None


def job_from_row(row: Row) -> Job:
    """Read a row of `hot`."""
    size = len(HOT)
    return Job(JobRecord(**_decided(dict(zip(HOT, row[:size], strict=True)))), *row[size:])


def whole_records(connection: sqlite3.Connection, ns: Sequence[int]) -> list[JobRecord]:
    """Read jobs with everything that belongs to their record, in the order of `ns`."""
    rows = connection.execute(SQL["whole"], {"ns": json.dumps(ns)}).fetchall()
    failed = [n for *_, n, errors in rows if errors]
    errors = _errors(connection, failed) if failed else {}
    records = {n: _whole(fields, errors.get(n, ())) for *fields, n, _ in rows}
    return [records[n] for n in ns]


def spec_columns(spec: JobSpec) -> dict[str, object]:
    """What a producer handed in, as the parameters of an insert."""
    return {
        "id": spec.id,
        "task": spec.task,
        "queue": spec.queue,
        "digest": spec.digest,
        "band": int(spec.band),
        "pool": ",".join(sorted(spec.limits)),
        "delay_ms": spec.delay_ms,
        "at_ms": spec.at_ms,
        "lease_ms": spec.lease_ms,
        "timeout_ms": spec.timeout_ms,
        "max_attempts": spec.max_attempts,
        "max_stalls": spec.max_stalls,
        "flow": spec.flow,
        "on_upstream": spec.on_upstream,
        "child_of": spec.child_of,
        "tenant": spec.tenant,
        "order_key": spec.key,
        "unique_key": spec.unique,
        "limits": ",".join(spec.limits),
        "routes": ",".join(spec.routes),
        "deadline_ms": spec.deadline_ms,
        "payload": spec.payload,
        "depends_on": json.dumps(spec.depends_on) if spec.depends_on else None,
        "estimate": spec.estimate,
        "budget": spec.budget,
    }


def ids(names: Iterable[str]) -> str:
    """Ids as the one parameter of a statement that looks at many."""
    return json.dumps(list(names))


def _decided(values: dict[str, Any]) -> dict[str, Any]:
    """Fields of HOT as the types that they are in a record."""
    values["state"] = _STATES[values["state"]]
    values["lane"] = _LANES[values["lane"]]
    values["cause"] = _CAUSES[values["cause"]]
    values["late"] = bool(values["late"])
    return values


def _whole(fields: Sequence[Any], errors: tuple[JobError, ...]) -> JobRecord:
    values = _decided(dict(zip(WHOLE, fields, strict=True)))
    values["band"] = _BANDS[values["band"]]
    values["remembers"] = bool(values["remembers"])
    values["limits"] = _names(values["limits"])
    values["routes"] = _names(values["routes"])
    values["depends_on"] = tuple(json.loads(values["depends_on"])) if values["depends_on"] else ()
    return JobRecord(**values, errors=errors)


def _names(joined: str) -> tuple[str, ...]:
    # Names hold no comma: their alphabet has none.
    return tuple(joined.split(",")) if joined else ()


def _errors(connection: sqlite3.Connection, ns: Sequence[int]) -> dict[int, tuple[JobError, ...]]:
    found: dict[int, list[JobError]] = {n: [] for n in ns}
    for n, kind, message, traceback, cause, at_ms, fence, attempt in connection.execute(
        SQL["errors"], {"ns": json.dumps(ns)}
    ).fetchall():
        error = JobError(
            type=kind,
            message=message,
            traceback=traceback,
            cause=Cause(cause),
            at_ms=at_ms,
            fence=fence,
            attempt=attempt,
        )
        found[n].append(error)
    return {n: tuple(errors) for n, errors in found.items()}
