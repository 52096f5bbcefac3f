"""From Python values to JSON bytes, and the places in them that other jobs will fill.

What msgspec knows (builtins, dataclasses, Structs, enums, datetimes, …) it writes itself. Pydantic models go
through themselves; pydantic is never imported from here, since a value can only be a model of it when
somebody has imported it already.
"""

import hashlib
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TypeAlias

import msgspec

from aiq.errors import FlowInvalid

Path: TypeAlias = tuple[int | str, ...]
"""Where a value stands inside a JSON document: keys and indices from the top."""


class Unfit(ValueError):
    """A value does not fit its type, or cannot be written as JSON. The text has the path and what was expected."""


class Output:
    """The place of a result that does not exist yet. To a type checker it is that result; only jobs accept it."""

    __slots__ = ("node",)

    def __init__(self, node: object) -> None:
        self.node = node

    def __repr__(self) -> str:
        return f"<the output of {self.node!r}>"

    def refuse(self, *_: object) -> NoReturn:
        """Say what this is, and where it can be used."""
        raise FlowInvalid(
            f"{self!r} is only a place: the result does not exist before the job has run. Pass it on as an "
            "argument of another task's job(...) in the same flow, and work with the value there."
        )

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self.refuse()

    __bool__ = __len__ = __iter__ = __contains__ = __getitem__ = __call__ = __str__ = __format__ = refuse
    __lt__ = __le__ = __gt__ = __ge__ = __int__ = __float__ = __index__ = __add__ = __radd__ = refuse
    __eq__ = __hash__ = refuse


@dataclass(frozen=True, slots=True)
class Written:
    """A value as JSON. Where it held outputs there is null, and `places` says which output belongs where."""

    data: bytes
    places: tuple[tuple[Path, Output], ...] = ()


def write(value: object) -> Written:
    """Write any value as JSON, outputs of nodes as null.

    Raises:
        Unfit: a part of it has no form in JSON: an unknown class, NaN, a key that is no text or number.
    """
    try:
        data = _json(value, _dump_model)
        places: tuple[tuple[Path, Output], ...] = ()
    except _Stranger:
        data = _json(value, _dump_model_or_null)
        places = tuple(_places(value, data))
    # msgspec writes NaN as null without a word. Values with neither null nor NaN, and what returns nothing, which are
    # nearly all, pay nothing for this.
    if value is not None and b"null" in data:
        _refuse_nan(value)
    return Written(data, places)


def canonical(value: object) -> bytes:
    """The one way of writing a value that does not depend on the order of keys, fields or sets; for digests.

    Raises:
        Unfit: as for `write`.
    """
    return _json(value, _dump_model_or_null, order="sorted")


def digest(value: object) -> str:
    """SHA-256 of the canonical form, in hex. Outputs count as null."""
    return hashlib.sha256(canonical(value)).hexdigest()


class _Stranger(Exception):
    """msgspec met an object that neither it nor we can write."""


_Hook: TypeAlias = Callable[[object], object]


def _json(value: object, hook: _Hook, order: Literal["sorted"] | None = None) -> bytes:
    try:
        return msgspec.json.encode(value, enc_hook=hook, order=order)
    except RecursionError as error:
        raise Unfit("Expected a value that does not hold itself, and texts or numbers as keys") from error
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise Unfit(str(error)) from error


def _dump_model(obj: object) -> object:
    if is_model(type(obj)):
        model: Any = obj  # pydantic is not imported here, so its types cannot be named
        return model.model_dump(mode="json", by_alias=True, round_trip=True)
    raise _Stranger


def _dump_model_or_null(obj: object) -> object:
    return _dump_model(obj) if is_model(type(obj)) else None


def is_model(kind: object) -> bool:
    """Whether a class is a model of pydantic."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)


def _places(value: object, blank: bytes) -> Iterator[tuple[Path, Output]]:
    """Find where in the JSON the outputs stand, by writing a mark there that is nowhere else in it."""
    mark = "output"
    while mark.encode() in blank:
        mark += "_"
    strangers: list[object] = []

    def marked(obj: object) -> object:
        if is_model(type(obj)):
            return _dump_model(obj)
        strangers.append(obj)
        return f"{mark}{len(strangers) - 1}"

    for path, leaf in _leaves(msgspec.json.decode(_json(value, marked))):
        if isinstance(leaf, str) and leaf.startswith(mark):
            stranger = strangers[int(leaf.removeprefix(mark))]
            if not isinstance(stranger, Output):
                raise Unfit(_cannot_write(stranger, path))
            yield path, stranger


def _cannot_write(obj: object, path: Path) -> str:
    return (
        f"Expected a value with a form in JSON, got `{type(obj).__qualname__}` - at `{show(path)}`. "
        "Pass builtins, dataclasses, msgspec Structs or pydantic models"
    )


def _refuse_nan(value: object) -> None:
    for path, leaf in _leaves(msgspec.to_builtins(value, enc_hook=_dump_model_or_null)):
        if isinstance(leaf, float) and not math.isfinite(leaf):
            raise Unfit(f"Expected a finite number, got `{leaf}` - at `{show(path)}`")


def _leaves(tree: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, (*path, key))
    elif isinstance(tree, list | tuple):
        for index, value in enumerate(tree):
            yield from _leaves(value, (*path, index))
    else:
        yield path, tree


def show(path: Path) -> str:
    """A path as msgspec writes it: $.pages[0]."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
