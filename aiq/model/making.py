"""Making many frozen values of one class.

The `__init__` of a frozen dataclass looks up the name of each field and asks object.__setattr__ to set it: 9 µs for a
record, of which a worker reads one or two a job. Here a class that is not frozen, of the same slots, is filled by plain
assignments and becomes the other then: 1 µs.
"""

from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

T = TypeVar("T")


def maker(kind: type[T], first: Sequence[str] = ()) -> Callable[..., T]:
    """What makes values of a frozen dataclass with slots, which checks nothing, of the fields that are `first` by their
    places, and of any by name; others have their defaults, none of which may be made anew for each value."""
    # Any: a class may be a dataclass, and a field of any type.
    shape: Any = kind
    assert is_dataclass(shape)
    every = fields(shape)
    assert all(field.default_factory is MISSING for field in every)
    defaults = {field.name: field.default for field in every if field.default is not MISSING}
    names = dict.fromkeys([*first, *sorted((field.name for field in every), key=defaults.__contains__)])
    given = [name if name in first or name not in defaults else f"{name}=defaults[{name!r}]" for name in names]
    filled = [f"    made.{name} = {name}" for name in names]
    text = [
        f"def make({', '.join(given)}):",
        "    made = new(draft)",
        *filled,
        "    made.__class__ = kind",
        "    return made",
    ]
    room: dict[str, Any] = {"defaults": defaults, "new": object.__new__, "draft": _draft(kind), "kind": kind}
    # As dataclasses writes what it makes: all in it are names of fields, which are names of Python.
    exec("\n".join(text), room)  # noqa: S102
    made: Callable[..., T] = room["make"]
    return made


def _draft(kind: type[T]) -> type[Any]:
    """A class of the same slots that lets itself be written; Python allows one to become the other."""
    # Both are named: while one of them were that of a frozen base, each assignment would be a call of Python.
    writable = {"__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    return type(kind.__name__, kind.__bases__, {"__slots__": kind.__dict__["__slots__"], **writable})
