"""What Python has said already, said again in Lua: bounds, the table of states, the defaults of rows."""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final

import msgspec

from aiq import bounds as named_bounds
from aiq import model
from aiq.backends.redis.fields import FIELDS, LAYOUT, STATES
from aiq.rules import books, keys, limits
from aiq.rules.fingerprints import OF_CAUSE
from aiq.rules.metrics import COLUMNS, MINUTE_MS
from aiq.rules.states import TRANSITIONS

_BOUND: Final = re.compile(r"\bbounds\.([A-Z][A-Z_]*)")
_PACES: Final = re.compile(r"\bpaces\.([A-Z][A-Z_]*)")
_DEFAULTS: Final = re.compile(r"\bdefaults\.([A-Z]\w*)")
_TOP: Final = 2**53
"""Beyond it a number of Lua is not exact."""


def bounds(text: str) -> str:
    """The bounds that a script names."""
    names = sorted(set(_BOUND.findall(text)))
    return "\n".join(f"bounds.{name} = {literal(getattr(named_bounds, name))}" for name in names)


def paces(text: str) -> str:
    """What the rules of a limit say of its beginning, its pace and its pauses, as far as a script names it."""
    names = sorted(set(_PACES.findall(text)))
    return "\n".join(f"paces.{name} = {literal(getattr(limits, name))}" for name in names)


def defaults(text: str) -> str:
    """What the fields of rows are where nothing is stored of them, as metatables."""
    names = sorted(set(_DEFAULTS.findall(text)))
    return _asked_for("defaults", {name: f"{{__index = {literal(of(kind(name)))}}}" for name in names})


def states(_: str) -> str:
    """The table of states."""
    rows = {
        row.number: f"{{name = {literal(row.name)}, sources = {_set(row.sources)}, targets = {_set(row.targets)}}}"
        for row in TRANSITIONS.values()
    }
    return f"states.ROWS = {{}}\n{_asked_for('states.ROWS', rows)}\nstates.TERMINAL = {_set(model.TERMINAL)}"


def _asked_for(table: str, values: Mapping[str, str]) -> str:
    """A table each of whose values is made when it is first asked for: a script needs few of them in one call."""
    made = ", ".join(f"{name} = function() return {value} end" for name, value in values.items())
    return (
        f"do\nlocal make = {{{made}}}\n"
        f"setmetatable({table}, {{__index = function(made, name)\n"
        "made[name] = make[name]()\nreturn made[name]\nend})\nend"
    )


def _set(found: Iterable[str]) -> str:
    return literal(dict.fromkeys(sorted(map(str, found)), True))


def fingerprints(_: str) -> str:
    """What an error has in common with others that brings no fingerprint, by its cause."""
    return f"fingerprints.OF_CAUSE = {literal(dict(OF_CAUSE))}"


def fields(_: str) -> str:
    """The numbers under which the fields of a record are stored, and the names of these; the same of the states; and
    the number of the layout."""
    values = {
        "NUMBERS": FIELDS,
        "NAMES": {number: name for name, number in FIELDS.items()},
        "STATE_NUMBERS": {state: number for number, state in enumerate(STATES, 1)},
        "STATES": STATES,
        "LAYOUT": LAYOUT,
    }
    return _asked_for("fields", {name: literal(value) for name, value in values.items()})


def metrics(_: str) -> str:
    """How long a minute is, and where each of its figures stands, counted from 1."""
    places = {name: place for place, name in enumerate(COLUMNS, 1)}
    return f"metrics.MINUTE_MS = {MINUTE_MS}\nmetrics.PLACES = {literal(places)}"


def kind(name: str) -> type[Any]:
    """The class of rows of a name."""
    found: type[Any] = next(getattr(module, name) for module in (model, books, keys) if hasattr(module, name))
    return found


def of(row: type[Any]) -> dict[str, Any]:
    """The defaults of a class, without those that are nothing."""
    if dataclasses.is_dataclass(row):
        found = {one.name: _default(one.default, one.default_factory) for one in dataclasses.fields(row)}
    else:
        found = {one.name: _default(one.default, one.default_factory) for one in msgspec.structs.fields(row)}
    return {name: value for name, value in found.items() if value is not None and not isinstance(value, bytes)}


_NOTHING: Final = (dataclasses.MISSING, msgspec.NODEFAULT)


def _default(value: Any, factory: Any) -> Any:
    if value not in _NOTHING:
        return value
    return None if factory in _NOTHING else factory()


def literal(value: Any) -> str:
    """A value as Lua writes it."""
    if isinstance(value, Enum):
        return literal(value.value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return literal({one.name: getattr(value, one.name) for one in dataclasses.fields(value)})
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        if isinstance(value, int) and abs(value) > _TOP:
            raise ValueError(f"{value} is beyond what a number of Lua can say.")
        return repr(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(value, Mapping):
        there = {name: one for name, one in value.items() if one is not None}
        return "{" + ", ".join(f"[{literal(name)}] = {literal(one)}" for name, one in there.items()) + "}"
    if isinstance(value, Sequence):
        return "{" + ", ".join(literal(one) for one in value) + "}"
    raise TypeError(f"{value!r} has no literal in Lua.")
