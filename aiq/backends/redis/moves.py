"""Records of a move on their way into Redis and out of it. Bytes go apart, and a script names them by their place."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, get_args

from msgspec import Struct, structs

from aiq.backends.redis import wire
from aiq.backends.redis.door import Answer, Blobs
from aiq.backends.redis.face.events import minute_row
from aiq.model import moving
from aiq.rules.events import event_of
from aiq.rules.limits import of_queue
from aiq.rules.metrics import COLUMNS

Told: TypeAlias = list[Any]
"""A record as scripts take it and tell it: the tag of its class, its fields, and the place of its first bytes."""
_Fields: TypeAlias = dict[str, Any]


_NOBODY: Final[_Fields] = {"id": "", "task": "", "state": "ready"}


def told(record: moving.Record, blobs: Blobs) -> Told:
    """A record as the script of `load` takes it."""
    fields = wire.said(record)
    tell = _TELL.get(type(record))
    place = tell(record, fields, blobs) if tell is not None else None
    return [_tag(type(record)), fields] if place is None else [_tag(type(record)), fields, place]


def heard(answer: Answer, found: Told, owner: str) -> moving.Record:
    """A record as the script of `dump` tells it. `owner` is the storage in whose log the cursors of events count."""
    kind, fields, place = found[0], found[1] or {}, found[2] if len(found) > 2 else 0
    if kind == "event":
        return moving.Event(event=event_of(owner, *fields["event"]))
    if kind == "minute":
        return moving.Minute(row=minute_row(fields["id"], fields["figures"]))
    if kind == "job":
        for name, row in (("grave", moving.Grave), ("rising", moving.Rising)):
            if name in fields:
                fields[name] = _whole(row, fields[name])
        # A record is heard on a way of its own, so another one stands in its place meanwhile.
        return structs.replace(wire.heard(moving.Job, fields, record=_NOBODY), record=wire.record(answer, place))
    if place:
        _put(fields, _BYTES[kind], answer.blob(place) or b"")
    return wire.heard(_KINDS[kind], _whole(_KINDS[kind], fields))


def _whole(kind: type[Struct], fields: _Fields) -> _Fields:
    """The same with what is nothing: Lua leaves it out."""
    return {**{one.name: None for one in structs.fields(kind) if one.required}, **fields}


def _tag(kind: type[moving.Record]) -> str:
    return str(kind.__struct_config__.tag)


def _put(fields: _Fields, path: tuple[str, ...], value: bytes) -> None:
    for name in path[:-1]:
        fields = fields[name]
    fields[path[-1]] = value


def _tell_job(one: moving.Job, fields: _Fields, blobs: Blobs) -> int:
    place, record = blobs.add(one.record.payload), one.record
    for name, piece in (("result", record.result), ("progress", record.progress)):
        if piece is not None:
            fields[name] = blobs.add(piece)
    fields["errors"] = fields["record"].pop("errors", [])
    return place


def _tell_schedule(one: moving.Schedule, fields: _Fields, blobs: Blobs) -> None:
    fields["status"]["spec"]["template"]["payload"] = blobs.add(one.status.spec.template.payload)


def _tell_queue(one: moving.Queue, fields: _Fields, _: Blobs) -> None:
    fields["limit"] = wire.said(of_queue(one.name, one.settings))


def _tell_minute(one: moving.Minute, fields: _Fields, _: Blobs) -> None:
    fields["row"]["figures"] = [getattr(one.row, name) for name in COLUMNS]


_KINDS: Final[Mapping[str, type[moving.Record]]] = {_tag(kind): kind for kind in get_args(moving.Record)}
_BYTES: Final[Mapping[str, tuple[str, ...]]] = {
    "step": ("step", "value"),
    "signal": ("payload",),
    "item": ("chunk", "data"),
    "schedule": ("status", "spec", "template", "payload"),
}
"""Where in the fields of a record its bytes stand."""
_TELL: Final[Mapping[type[moving.Record], Callable[[Any, _Fields, Blobs], int | None]]] = {
    moving.Job: _tell_job,
    moving.Step: lambda one, _, blobs: blobs.add(one.step.value),
    moving.Signal: lambda one, _, blobs: blobs.add(one.payload),
    moving.Item: lambda one, _, blobs: blobs.add(one.chunk.data),
    moving.Schedule: _tell_schedule,
    moving.Queue: _tell_queue,
    moving.Minute: _tell_minute,
}
"""What of a record goes another way than by its fields: its bytes, of which each answers the first place, and what
scripts do not work out."""
