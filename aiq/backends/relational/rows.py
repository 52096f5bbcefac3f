"""Rows and what they mean."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from aiq.backends.relational.connection import Reader
from aiq.backends.relational.records import ADMISSION, Maker, overwrite
from aiq.backends.relational.statements import load
from aiq.backends.relational.table import read_table
from aiq.model import Cause, JobError, JobRecord
from aiq.rules.keys import Branch, KeyState, Stand

SQL: Final = load("jobs")

HOT: Final = (
    *("id", "task", "queue", "delay_ms", "at_ms", "lease_ms", "max_attempts", "max_stalls", "on_upstream", "state"),
    *("fence", "failures", "stalls", "lane", "position", "lease_id", "owner", "expires_at_ms"),
    *("cancel_requested_at_ms", "cause", "wait_key", "kept_signals", "chunks", "late", "events", "created_at_ms"),
    *("band", "tenant", "key", "flow", "parent_id", "max_deferral_ms", "generation", "deadline_ms", "unique"),
    ADMISSION,
)
"""The fields of a record that decisions look at, in the order of the columns of `hot`."""

WHOLE: Final = (
    *("id", "task", "queue", "digest", "band", "delay_ms", "at_ms", "lease_ms", "timeout_ms", "max_attempts"),
    *("max_stalls", "flow", "on_upstream", "child_of", "on_parent", "tenant", "key", "unique"),
    *("max_deferral_ms", ADMISSION),
    *(
        "deadline_ms",
        "keep_ms",
        "state",
        "generation",
        "fence",
        "failures",
        "stalls",
        "lane",
        "position",
        "due_ms",
        "lease_id",
    ),
    *("owner", "expires_at_ms", "cancel_requested_at_ms", "cause", "wait_key", "pending", "parent_id"),
    *("remembers", "kept_signals", "chunks", "late", "events", "created_at_ms", "started_at_ms"),
    *("finished_at_ms", "origin", "depends_on", "payload", "result", "progress", "errors"),
)
"""All fields, in the order of the columns of `whole`, and the errors, which are read apart."""

_hot: Final = Maker(HOT)
_whole: Final = Maker(WHOLE)


@dataclass(slots=True)
class KeyedRow:
    """What only ordered jobs have: where one stands with its key, its turn, and where it stands in its tree.

    `aside` says that its key keeps a ready one out of its lane; `key` is the key as it was read with the job.
    """

    stand: Stand
    turn: int
    branch: Branch
    aside: bool
    key: KeyState | None


@dataclass(slots=True)
class Job:
    """A job as a step sees it: of its record the fields of HOT, and what only this store knows of it.

    It is true until the step writes the job; then it is read again. `gated` jobs take part in admission; `pool` is
    where one stood last; `aside` the limit and key that keep a ready one out of its lane; `since_ms` when it came
    into its state.
    """

    record: JobRecord
    n: int
    gated: int
    pool: str
    aside: list[str] | None
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
    since_ms: int
    keyed: KeyedRow | None = None
    last_error: JobError | None = None
    """That was written down in this step."""


def job_from_row(row: list[Any]) -> Job:
    """Read a row of `hot`."""
    size = len(HOT)
    *known, keyed = row[size:]
    job = Job(_hot.make(row[:size]), *known)
    if keyed is not None:
        per_key, while_parked, stand, turn, root, depth, aside, key = keyed
        overwrite(job.record, {"per_key": per_key, "while_parked": while_parked})
        known_key = None if key is None else key_state(*key)
        job.keyed = KeyedRow(Stand(stand), turn, Branch(root, depth), bool(aside), known_key)
    return job


def key_state(per_key: int, places: int, holders: int, line: int, paused: int) -> KeyState:
    """A key, of its columns."""
    return KeyState(per_key, places, holders, line, paused=bool(paused))


def whole_records(connection: Reader, ns: Sequence[int]) -> list[JobRecord]:
    """Read jobs with everything that belongs to their record, in the order of `ns`."""
    if not ns:
        return []
    rows = read_table(connection, SQL["whole"], {"ns": numbers(ns)})
    errors = errors_of(connection, [n for n, count, *_ in rows if count])
    records = {n: _whole.make([*fields, errors.get(n, ())]) for n, _, _, *fields in rows}
    for n, _, keyed, *_ in rows:
        if keyed is not None:
            overwrite(records[n], {"per_key": keyed[0], "while_parked": keyed[1]})
    return [records[n] for n in ns]


def ids(names: Iterable[str]) -> str:
    """Ids as the one parameter of a statement that looks at many. Any text may be asked for, so it is escaped.

    One with a NUL is nobody's, and is left out: SQLite would look for the text before it, and PostgreSQL takes none.
    """
    return json.dumps([name for name in names if "\0" not in name])


def numbers(ns: Iterable[int]) -> str:
    """Numbers as the one parameter of a statement that looks at many."""
    return json.dumps(list(ns))


def errors_of(connection: Reader, ns: Sequence[int]) -> dict[int, tuple[JobError, ...]]:
    """Read the errors of jobs, by their numbers, the oldest first."""
    if not ns:
        return {}
    found: dict[int, list[JobError]] = {n: [] for n in ns}
    for n, _, kind, message, traceback, cause, *told in sorted(
        read_table(connection, SQL["errors"], {"ns": numbers(ns)}), key=itemgetter(0, 1)
    ):
        at_ms, fence, attempt, fingerprint, code, place, pattern = told
        error = JobError(
            type=kind,
            message=message,
            traceback=traceback,
            cause=Cause(cause),
            at_ms=at_ms,
            fence=fence,
            attempt=attempt,
            fingerprint=fingerprint,
            code=code,
            place=place,
            pattern=pattern,
        )
        found[n].append(error)
    return {n: tuple(errors) for n, errors in found.items()}
