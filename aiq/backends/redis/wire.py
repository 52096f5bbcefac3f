"""Rows as they travel: what Python has as dataclasses and structs, and Lua as tables."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final, TypeVar

import msgspec

from aiq.backends.redis.door import Answer
from aiq.model import JobError, JobRecord

_Row = TypeVar("_Row")
_OURS: Final = frozenset({"n", "since_ms", "go_ms", "history"})
"""Fields of a stored record that no reader is told."""
_fields: Final = {field.name for field in fields(JobRecord)}
_decode = msgspec.msgpack.Decoder().decode
_errors = msgspec.msgpack.Decoder(list[JobError]).decode


def said(row: Any) -> Any:  # Any: a dataclass, a struct, or what stands in one
    """A row as a map, without what is as by default and without bytes: those go apart. Lists and maps go as they are."""
    if is_dataclass(row):
        pairs = ((field.name, getattr(row, field.name), field.default) for field in fields(row))
    elif isinstance(row, msgspec.Struct):
        pairs = ((one.name, getattr(row, one.name), one.default) for one in msgspec.structs.fields(row))
    elif isinstance(row, Mapping):
        return {name: said(value) for name, value in row.items()}
    elif isinstance(row, list | tuple):
        return [said(value) for value in row]
    else:
        return row
    return {name: said(value) for name, value, default in pairs if value is not None and value != default
            and not isinstance(value, bytes)}  # fmt: skip


def heard(kind: type[_Row], row: Any, **more: Any) -> _Row:  # Any: as the script says it
    """A row of a class from a map, in which what is empty is as if it were not there: Lua has one table for an empty
    list and an empty map, and a field that may be empty is so by default."""
    return msgspec.convert({**_filled(row), **more}, kind, strict=False)


def _filled(value: Any) -> Any:  # Any: what msgpack can say
    if isinstance(value, dict):
        return {name: _filled(one) for name, one in value.items() if one != []}
    return [_filled(one) for one in value] if isinstance(value, list) else value


def record(answer: Answer, place: int) -> JobRecord:
    """A record from its five pieces. See `jobs.tell` in lua/_jobs.lua."""
    row, payload, result, progress, errors = answer.blobs[place - 1 : place + 4]
    assert row is not None
    found = _decode(row)
    kept = {name: value for name, value in found.items() if name in _fields}
    return heard(
        JobRecord,
        kept,
        payload=payload or b"",
        result=result,
        progress=progress,
        errors=_errors(errors) if errors else (),
    )
