"""Rows as they travel: what Python has as dataclasses and structs, and Lua as tables."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Final, TypeVar

import msgspec
from msgspec import inspect, structs

from aiq.backends.redis.door import Answer
from aiq.backends.redis.fields import FIELDS
from aiq.backends.redis.head import is_plain, split
from aiq.model import Band, Estimate, JobError, JobRecord, Lane, State
from aiq.model.making import maker

_Row = TypeVar("_Row")
_told: Final = {field.name for field in fields(JobRecord)}
_names: Final = {number: name for name, number in FIELDS.items() if name in _told}
"""The fields of a stored record that a reader is told, by their numbers; where these are 1, 2, 3 … it is a list."""
_record = maker(JobRecord)
_decode = msgspec.msgpack.Decoder().decode
_errors = msgspec.msgpack.Decoder(list[JobError]).decode


def said(row: Any) -> Any:  # Any: a dataclass, a struct, or what stands in one
    """A row as a map, without what is as by default and without bytes, which go apart."""
    kind: Any = type(row)
    if kind in _PLAIN:
        return row
    if isinstance(row, Mapping):
        return {name: said(value) for name, value in row.items()}
    if isinstance(row, list | tuple):
        return [said(value) for value in row]
    defaults = _defaults(kind)
    if defaults is None:
        return row
    told = {}
    for name, default in defaults:
        value = getattr(row, name)
        if value is not default and value is not None and value != default and not isinstance(value, bytes):
            told[name] = said(value)
    if not told and kind is Estimate:
        # An empty table is no row: an estimate of nothing is one all the same.
        return {"model": ""}
    return told


_PLAIN: Final = frozenset({str, int, bool, float, type(None)})


@cache
def _defaults(kind: type[Any]) -> list[tuple[str, Any]] | None:
    """What the fields of a class are by default; None of what is no row."""
    if is_dataclass(kind):
        return [(field.name, field.default) for field in fields(kind)]
    return [(one.name, one.default) for one in structs.fields(kind)] if issubclass(kind, msgspec.Struct) else None


def heard(kind: type[_Row], row: Any, **more: Any) -> _Row:  # Any: as the script says it
    """A row of a class from a map: an empty list stands for an empty map too, since Lua has one table for both."""
    whole = {**(row or {}), **more}
    try:
        return msgspec.convert(whole, kind, strict=False)
    except msgspec.ValidationError:
        # Few rows have an empty map in them, so nobody looks for one before.
        shaped: Any = kind
        return msgspec.convert(_with_maps(whole, _shape(shaped)), kind, strict=False)


def record(answer: Answer, place: int) -> JobRecord:
    """A record from its six pieces. See `jobs.tell` in lua/_jobs.lua."""
    text, payload, result, progress, errors, name = answer.blobs[place - 1 : place + 5]
    assert text is not None
    assert name is not None
    found, rest, small_payload, small_result = split(text)
    found |= {_names[number]: value for number, value in _numbered(_decode(rest)) if number in _names}
    found["id"], found["payload"] = name.decode(), payload or small_payload or b""
    if found["state"] == State.SUCCEEDED:
        found["result"] = result or small_result
    found["progress"], found["errors"] = progress, tuple(_errors(errors)) if errors else ()
    if is_plain(text):
        # Nothing in it has a shape that must be checked, and making it so takes half of the time.
        found["state"], found["band"], found["lane"] = State(found["state"]), Band(found["band"]), Lane(found["lane"])
        return _record(**found)
    return heard(JobRecord, found)


def _numbered(found: Any) -> Iterable[tuple[Any, Any]]:  # Any: a map, or from 1, 2, 3 … on a list
    return enumerate(found, 1) if isinstance(found, list) else found.items()


@cache
def _shape(kind: type[Any]) -> inspect.Type:
    return inspect.type_info(kind)


def _with_maps(value: Any, shape: inspect.Type) -> Any:
    """The same with an empty map for each empty list that stands in the place of one."""
    match shape:
        case inspect.UnionType(types=types):
            rows = [one for one in types if not isinstance(one, inspect.NoneType)]
            return _with_maps(value, rows[0]) if value is not None and len(rows) == 1 else value
        case inspect.DictType(value_type=of):
            return {name: _with_maps(one, of) for name, one in (value or {}).items()}
        case inspect.DataclassType(fields=fields_) | inspect.StructType(fields=fields_):
            found = {field.encode_name: field.type for field in fields_}
            return {name: _with_maps(one, found[name]) for name, one in (value or {}).items()}
        case inspect.ListType(item_type=of) | inspect.VarTupleType(item_type=of):
            return [_with_maps(one, of) for one in value]
        case _:
            return value
