"""Jobs on their way into Redis, and what became of them."""

from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final

import msgspec

from aiq.backends.redis import wire
from aiq.backends.redis.door import Answer, Blobs
from aiq.backends.redis.fields import FIELDS
from aiq.model import Enqueued, JobSpec, Lease, State

_HEADED: Final = ("id", "task", "queue", "band", "lease_ms", "payload")
_MAPPED: Final = ("digest", "timeout_ms", "max_attempts", "max_stalls", "max_deferral_ms")
_LONGEST_MS: Final = 2**32
"""A longer lease has no room in the head of a record."""

_defaults: Final = {field.name: field.default for field in fields(JobSpec)}
_others: Final = tuple(name for name in _defaults if name not in _HEADED + _MAPPED)
_usual: Final = tuple(_defaults[name] for name in _others)
_other = attrgetter(*_others)
_mapped = attrgetter(*_MAPPED)
_numbered: Final = tuple((FIELDS[name], _defaults[name]) for name in _MAPPED)
_encode: Final = msgspec.msgpack.Encoder().encode


def told(batch: Sequence[JobSpec], parent: Lease | None, blobs: Blobs) -> dict[str, Any]:  # Any: what msgpack can say
    """A batch as the script takes it. Plain jobs, as most are, are said in a few words; see lua/_plain.lua."""
    if parent is None and all(_is_plain(spec) for spec in batch):
        return {"simple": [_simple(spec, blobs) for spec in batch]}
    return {
        "batch": [{**wire.said(spec), "payload": blobs.add(spec.payload)} for spec in batch],
        "parent": wire.said(parent),
    }


def enqueued(answer: Answer, batch: Sequence[JobSpec]) -> list[Enqueued]:
    """What became of each."""
    if answer.value is True:
        return [Enqueued(spec.id, State.READY) for spec in batch]
    return [Enqueued(**{**row, "state": State(row["state"])}) for row in answer.value]


def _is_plain(spec: JobSpec) -> bool:
    found: tuple[Any, ...] = _other(spec)  # Any: the fields of a spec
    return found == _usual and spec.lease_ms < _LONGEST_MS


def _simple(spec: JobSpec, blobs: Blobs) -> tuple[Any, ...]:  # Any: what msgpack can say
    pairs = zip(_numbered, _mapped(spec), strict=True)
    rest = {number: value for (number, default), value in pairs if value != default}
    place = blobs.add(_encode(rest))
    blobs.add(spec.payload)
    return spec.id, spec.task, spec.queue, spec.band, spec.lease_ms, place
