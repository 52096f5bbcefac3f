"""Jobs on their way into Redis, and what became of them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from struct import Struct
from typing import Any, Final

import msgspec
from msgspec import structs

from aiq.backends.redis import wire
from aiq.backends.redis.briefs import briefed
from aiq.backends.redis.door import Answer, Blobs
from aiq.backends.redis.fields import FIELDS
from aiq.model import Enqueued, JobSpec, Lease, State

_NAMED: Final = ("task", "queue", "band", "lease_ms", "timeout_ms", "max_attempts", "max_stalls", "max_deferral_ms")
_APART: Final = ("id", "digest", "payload")
_BINDS: Final = ("limits", "estimate", "budgets", "creates")
"""What keeps a job from being plain, and lets many be stored together all the same that agree in it."""
_MASK: Final = "\0" * 32
"""What stands in the place of a job's id in what is named once for many: see lua/_shapes.lua."""
_LONGEST_MS: Final = 2**32
"""A longer lease has no room in the head of a record."""
_DIGEST_BYTES: Final = 32
_MOST_KINDS: Final = 256
"""How many kinds of jobs a process remembers as they are written."""

_defaults: Final = {field.name: field.default for field in fields(JobSpec)}
_others: Final = tuple(name for name in _defaults if name not in _NAMED + _APART + _BINDS)
_usual: Final = tuple(_defaults[name] for name in _others)
_other = attrgetter(*_others)
_bound = attrgetter(*_BINDS)
_free: Final = tuple(_defaults[name] for name in _BINDS)
_named = attrgetter(*_NAMED)
_mapped: Final = tuple((FIELDS[name], _defaults[name]) for name in _NAMED[4:])
_encode: Final = msgspec.msgpack.Encoder().encode
_is_digest: Final = re.compile("[0-9a-f]{64}").fullmatch
_is_short: Final = re.compile("[0-9a-f]{32}").fullmatch
_head: Final = Struct(">BI")


def told(batch: Sequence[JobSpec], parent: Lease | None, blobs: Blobs) -> dict[str, Any]:  # Any: what msgpack can say
    """A batch as the script takes it. Plain jobs, as most are, are said in a few words; see lua/_plain.lua."""
    if parent is None and all(_is_simple(spec) for spec in batch):
        return {"simple": list(_simple(batch, blobs))}
    return {
        "batch": [{**wire.said(spec), "payload": blobs.add(spec.payload)} for spec in batch],
        "parent": wire.said(parent),
    }


def enqueued(answer: Answer, batch: Sequence[JobSpec]) -> list[Enqueued]:
    """What became of each."""
    if answer.value is True:
        return [Enqueued(spec.id, State.READY) for spec in batch]
    return [Enqueued(**{**row, "state": State(row["state"])}) for row in answer.value]


def _is_simple(spec: JobSpec) -> bool:
    """Whether nothing binds a job but its turn, and limits and budgets, of which it may bring one of its own."""
    found: tuple[Any, ...] = _other(spec)  # Any: the fields of a spec
    if found != _usual or spec.lease_ms >= _LONGEST_MS:
        return False
    if _bound(spec) == _free:
        return True
    return bool(_is_short(spec.id)) and all(one.id == _own(spec) for one in spec.creates)


def _own(spec: JobSpec) -> str:
    """The name of the budget that is a job's own."""
    return f"job:{spec.id}"


def _simple(batch: Sequence[JobSpec], blobs: Blobs) -> Iterator[tuple[Any, ...]]:  # Any: what msgpack can say
    """Jobs by those that are alike and stand together, as `plain.enqueue` takes them."""
    for (named, digest, binds), specs in groupby(batch, _likeness):
        ids = []
        place = blobs.add(_behind_head(named, digest) if binds is None else _behind(named, digest, binds))
        for spec in specs:
            blobs.add(spec.payload if digest is not None else bytes.fromhex(spec.digest) + spec.payload)
            ids.append(spec.id)
        task, queue, band = named[:3]
        digest_bytes = _DIGEST_BYTES if digest is None else 0
        yield queue, task, band, digest_bytes, place, ids, briefed(ids, blobs), binds is not None


def _likeness(spec: JobSpec) -> tuple[tuple[Any, ...], str | None, tuple[Any, ...] | None]:  # Any: as above
    """What of a job is named once for all that are alike; the digest too, where it is no 32 bytes."""
    return _named(spec), None if _is_digest(spec.digest) else spec.digest, _binding(spec)


def _binding(spec: JobSpec) -> tuple[Any, ...] | None:  # Any: as above
    """What binds a job besides its turn, without its id; None where nothing does."""
    binds: tuple[Any, ...] = _bound(spec)
    if binds == _free:
        return None
    limits, estimate, budgets, creates = binds
    own, masked = _own(spec), f"job:{_MASK}"
    budgets = tuple(masked if name == own else name for name in budgets)
    return limits, estimate, budgets, tuple(structs.replace(one, id=masked) for one in creates)


@lru_cache(maxsize=_MOST_KINDS)
def _behind_head(named: tuple[Any, ...], digest: str | None) -> bytes:  # Any: as above
    """What a record has between its head and its digest: as NAMED of lua/_records.lua, and the map."""
    return _behind(named, digest, ())


def _behind(named: tuple[Any, ...], digest: str | None, binds: Sequence[Any]) -> bytes:  # Any: as above
    """The same, of a job that is bound as well."""
    task, queue, band, lease_ms, *others = named
    rest = {number: value for (number, default), value in zip(_mapped, others, strict=True) if value != default}
    rest |= {FIELDS[name]: wire.said(value) for name, value in zip(_BINDS, binds, strict=False) if value}
    if digest:
        rest[FIELDS["digest"]] = digest
    texts = b"".join(bytes([len(text)]) + text.encode() for text in (task, queue))
    return _head.pack(band, lease_ms) + texts + _encode(rest)
