"""From the files in `lua/` to scripts that Redis runs.

`NAME.lua` is the script of an operation, `_NAME.lua` a piece that scripts share: its functions stand in the table of
its name, as in `function limits.take(…)`. A script holds the functions that it names, and those that they name
(pruning.py). A piece costs next to nothing until it is first named while a script runs, and one of its functions until
it is first called: they are built then.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from threading import Thread
from typing import Final

from aiq.backends.redis import words
from aiq.backends.redis.pruning import pruned, statements

_PIECES: Final[Mapping[str, Callable[[str], str]]] = {
    "bounds": words.bounds,
    "defaults": words.defaults,
    "fields": words.fields,
    "fingerprints": words.fingerprints,
    "metrics": words.metrics,
    "paces": words.paces,
    "states": words.states,
}
"""Pieces that are written from the Python that says the same, so that nothing is said twice."""

_COMMENT: Final = re.compile(r"--(?!\[\[)[^\n]*")
_NAMED: Final = re.compile(r"(?<![\w.:'\"])([a-z_]+)[.]")
_LITERAL_OR_NAMED: Final = re.compile(rf"""'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|{_NAMED.pattern}""")
"""What a text says in quotes is for people, and stays as it is."""
_FLAGS: Final = re.compile(r"^-- flags: (.+)$", re.MULTILINE)
_LOOKS: Final = re.compile(r"^-- looks$", re.MULTILINE)
"""An operation that only reads, or that moves the storage, and so is for a storage too that has moved away."""

_HEAD: Final = """\
local call = redis.call
local prefix = KEYS[1] .. ':'
local function key(name, first, ...)
  if not first then return prefix .. name end
  return table.concat({KEYS[1], name, first, ...}, ':')
end
local none = {}
local function digits(told)
  local number = told + 0
  if number >= 0 and number < 2147483648 and number % 1 == 0 then return string.format('%d', number) end
  return string.format('%.0f', number)
end
local builders = {}
local OURS = setmetatable({}, {__index = function(built, name)
  local piece = {}
  built[name] = piece
  local make = builders[name](piece)
  if make then setmetatable(piece, {__index = function(_, wanted) return make(wanted) end}) end
  return piece
end})
"""


@dataclass(frozen=True, slots=True)
class Script:
    """What Redis is sent. `sha` names it on a server that has seen it: two versions may run side by side."""

    name: str
    text: str
    sha: str
    writes: bool
    """Whether it may: those that do not say so by a flag, and the server holds them to it."""


@cache
def script(name: str) -> Script:
    """The script of an operation."""
    return compose(name, source(name))


_composed: Final[dict[str, Future[Script]]] = {}
"""At most one for each operation, for all loops and threads."""


async def composed(name: str) -> Script:
    """The same, made in a thread: that takes up to a tenth of a second, in which the loop would stand still.

    Not in a thread of the loop's executor: there handlers run, which may all be waiting for this very call.
    """
    found = _composed.get(name) or _begun(name)
    return found.result() if found.done() else await asyncio.wrap_future(found)


def _begun(name: str) -> Future[Script]:
    mine: Future[Script] = Future()
    mine.set_running_or_notify_cancel()  # Whoever is cancelled while he waits leaves it to the others.
    found = _composed.setdefault(name, mine)
    if found is mine:
        try:
            Thread(target=_make, args=(name, mine), name=f"aiq-script-{name}", daemon=True).start()
        except RuntimeError:  # The machine gives no thread: then the loop stands still.
            _make(name, mine)
    return found


def _make(name: str, made: Future[Script]) -> None:
    try:
        made.set_result(script(name))
    except Exception as error:  # noqa: BLE001 - it is the answer to whoever waits
        # Whoever comes next tries again: no file could be opened, perhaps.
        _composed.pop(name, None)
        made.set_exception(error)


def compose(name: str, body: str) -> Script:
    """A script of a body and what it needs of the pieces."""
    run = f"step.{'look' if _LOOKS.search(body) else 'run'}"
    bare = _bare(body)
    pieces = needed(f"{run}()\n{bare}")
    flags = _FLAGS.search(body)
    built = (_builder(one, _ours(text, {*pieces} - {one})) for one, text in pieces.items())
    text = "\n".join(
        [
            f"#!lua flags={flags[1]}" if flags else "#!lua",
            _HEAD.rstrip(),
            *built,
            f"return OURS.{run}(function(args)\n{_ours(bare, {*pieces})}\nend)",
        ]
    )
    sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return Script(name, text, sha, writes="no-writes" not in (flags[1] if flags else ""))


def _builder(piece: str, text: str) -> str:
    """What makes a piece when it is first named, and each of its functions when that is first called.

    A step calls a third of the functions of the pieces that it names, and to make one takes as long as a short call.
    """
    parts = statements(piece, text)
    late = [one for one in parts if one.text.startswith(f"function {piece}.")]
    early = "\n".join(one.text for one in parts if one not in late)
    made = "\n".join(
        f"if wanted == '{name}' then\n{one.text}\nreturn {piece}.{name}\nend" for one in late for name in one.members
    )
    made = f"return function(wanted)\n{made}\nend\n" if late else ""
    return f"function builders.{piece}({piece})\n{early}\n{made}end"


def needed(body: str) -> dict[str, str]:
    """The pieces that a body needs, each with what it needs of it, in the order of their names."""
    found = pruned(body, _piece)
    whole = "\n".join([body, *found.values()])
    for name in set(_PIECES).intersection(_NAMED.findall(whole)):
        found[name] = _PIECES[name](whole)
    return dict(sorted(found.items()))


def _ours(text: str, pieces: AbstractSet[str]) -> str:
    """A text in which some pieces are found in the one table of them.

    As a local name each would be an upvalue of all functions that name it, and to make these, in each call of a script,
    takes longer than many an operation.
    """
    return _LITERAL_OR_NAMED.sub(lambda found: f"OURS.{found[0]}" if found[1] in pieces else found[0], text)


def names() -> list[str]:
    """The operations that have a script."""
    return sorted(name for name in _files() if not name.startswith("_"))


def source(name: str) -> str:
    """A file in `lua/` as it was written."""
    return _files()[name]


@cache
def _files() -> dict[str, str]:
    folder = files("aiq.backends.redis").joinpath("lua")
    found = [file for file in folder.iterdir() if file.name.endswith(".lua")]
    return {file.name.removesuffix(".lua"): file.read_text("utf-8") for file in found}


@cache
def _piece(name: str) -> str | None:
    return _bare(source(f"_{name}")) if f"_{name}" in _files() else None


def _bare(text: str) -> str:
    """Without comments and empty lines, which Redis need not hold."""
    return "\n".join(line.rstrip() for line in _COMMENT.sub("", text).splitlines() if line.strip())
