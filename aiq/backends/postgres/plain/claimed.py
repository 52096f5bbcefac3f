"""Records of jobs that a function of the schema has claimed, see migrations/0004_plain/1_exchange.sql."""

from collections.abc import Sequence
from typing import Final

import msgspec

from aiq.backends.relational.connection import Parameters, Row
from aiq.backends.relational.records import ADMISSION, Maker, overwrite
from aiq.backends.relational.rows import errors_of
from aiq.model import ClaimRequest, JobRecord, State

_NUMBERS: Final = (
    *("band", "delay_ms", "at_ms", "lease_ms", "timeout_ms", "max_attempts", "max_stalls", "max_deferral_ms"),
    *("deadline_ms", "keep_ms", "generation", "fence", "failures", "stalls", "lane", "position", "due_ms"),
    *("expires_at_ms", "cancel_requested_at_ms", "remembers", "kept_signals", "chunks", "late", "events"),
    *("created_at_ms", "started_at_ms"),
)
"""What follows the number of a job and that of its errors."""
_TEXTS: Final = (
    *("id", "task", "queue", "digest", "flow", "on_upstream", "child_of", "on_parent", "tenant", "key", "unique"),
    *("cause", "wait_key", "parent_id", "origin"),
)
"""What follows what few jobs have: how they are ordered, their terms, and what they depend on."""
_make: Final = Maker(
    (*_NUMBERS, *_TEXTS, "payload", "progress", "errors", "state", "lease_id", "owner", ADMISSION, "depends_on")
).make


def claimed(request: ClaimRequest, ns: Sequence[int], told: Sequence[Sequence[object]]) -> tuple[JobRecord, ...]:
    """The records of what a claim was given, in the order of `ns`."""
    *columns, errors_text = told
    lease = (State.RUNNING.value, request.lease_id, request.worker)
    records: dict[int, JobRecord] = {}
    failed: dict[int, JobRecord] = {}
    for numbers, texts, payload, progress in zip(*columns, strict=True):
        n, errors, *rest = numbers
        keyed, admission, depends_on, *names = texts
        needs = () if depends_on is None else msgspec.json.decode(depends_on)
        admitted = None if admission is None else msgspec.json.decode(admission)
        record = _make([*rest, *names, payload, progress, (), *lease, admitted, needs])
        if keyed is not None:
            per_key, while_parked = msgspec.json.decode(keyed)
            overwrite(record, {"per_key": per_key, "while_parked": while_parked})
        records[n] = record
        if errors:
            failed[n] = record
    for n, found in errors_of(_Told(errors_text), list(failed)).items():
        overwrite(failed[n], {"errors": found})
    return tuple([records[n] for n in ns])


class _Told:
    """The errors that the function has read, for those who read them of a connection."""

    def __init__(self, errors: object) -> None:
        self._errors = errors

    def rows(self, _statement: str, _parameters: Parameters) -> Sequence[Row]:
        """See `aiq.backends.relational.connection`."""
        return [(self._errors,)]
