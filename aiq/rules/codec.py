"""Values typed by annotation, to and from the JSON that is stored, and checked both ways.

What is written is read back at once, so that nothing is stored that the other side could not read.
"""

from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from aiq.rules.coding import check_there, why_unreadable
from aiq.rules.writing import Unfit, canonical, is_model, write


class Codec:
    """Reads and writes the values of one annotation."""

    __slots__ = ("_decoder",)

    def __init__(self, annotation: object) -> None:
        """Raises `Unfit` for an annotation that JSON has no form for."""
        self._decoder = _decoder_of(annotation)

    def encode(self, value: object) -> bytes:
        """Write a value, having made sure that it can be read back as this type.

        Raises:
            Unfit: it does not fit, or cannot be written as JSON.
            FlowInvalid: it holds the output of a node.
        """
        written = write(value)
        if written.places:
            written.places[0][1].refuse()
        self.decode(written.data)
        return written.data

    def decode(self, data: bytes) -> object:
        """Read a value; it has this type.

        Raises:
            Unfit: the bytes are no JSON, or do not fit.
            Unavailable: they are kept elsewhere, and that does not answer; it may later.
        """
        try:
            return self._decoder.decode(data)
        except (msgspec.MsgspecError, RecursionError) as error:
            # Only bytes that are no JSON can be coded ones: nobody else pays for the question.
            check_there(data)
            raise Unfit(why_unreadable(data) or str(error)) from error


def _decoder_of(annotation: object) -> msgspec.json.Decoder[object]:
    # Any: what an annotation is has no type of its own yet.
    kind: Any = annotation
    try:
        return msgspec.json.Decoder(kind, dec_hook=_read)
    except TypeError as error:
        kind = _supported(annotation)
        if kind is annotation:
            raise Unfit(str(error)) from error
    try:
        return msgspec.json.Decoder(kind, dec_hook=_read)
    except TypeError as error:
        raise Unfit(str(error)) from error


# Any: msgspec declares its hook so.
def _read(kind: type, obj: Any) -> object:
    """Read what msgspec does not know; the ValueError raised here gets its path from msgspec."""
    if isinstance(kind, _Alternatives):
        return kind.choose(obj)
    if not is_model(kind):
        raise ValueError(f"Expected a type with a form in JSON, not `{kind.__qualname__}`")
    model: Any = kind
    try:
        return model.model_validate_json(msgspec.json.encode(obj))
    except ValueError as error:
        problems: Any = error
        raise ValueError("; ".join(_problem(p) for p in problems.errors(include_url=False))) from error


def _problem(details: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in details["loc"])
    return f"{place}: {details['msg']}" if place else str(details["msg"])


def _supported(annotation: object) -> object:
    """The annotation with each union that msgspec refuses (two dataclasses, a model and a text) made readable."""
    origin, members = get_origin(annotation), get_args(annotation)
    if not members or origin is Literal:
        return annotation
    if origin in (Union, UnionType):
        return _readable_union(annotation)
    rebuilt = tuple(_supported(member) for member in members)
    if all(new is old for new, old in zip(rebuilt, members, strict=True)):
        return annotation
    generic: Any = origin
    return generic[rebuilt]


def _readable_union(annotation: object) -> object:
    kind: Any = annotation
    try:
        msgspec.json.Decoder(kind, dec_hook=_read)
    except TypeError:
        return _Alternatives(str(annotation), (), {"codecs": tuple(Codec(m) for m in get_args(annotation))})
    return annotation


class _Alternatives(type):
    """A union that msgspec refuses, as a class of its own; msgspec hands it what it read and checks the answer."""

    codecs: tuple[Codec, ...]

    def __instancecheck__(cls, instance: object) -> bool:
        return True

    def choose(cls, obj: object) -> object:
        """The first member that keeps all of `obj`, else the first that accepts it."""
        data, accepted, problems = canonical(obj), [], []
        for codec in cls.codecs:
            try:
                value = codec.decode(data)
            except Unfit as error:
                problems.append(str(error))
                continue
            if canonical(value) == data:
                return value
            accepted.append(value)
        if accepted:
            return accepted[0]
        raise ValueError(f"Expected `{cls.__name__}`: {'; or '.join(problems)}")
