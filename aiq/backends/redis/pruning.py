"""What of the shared pieces a script needs: the functions that it names, those that they name, and no others.

Each script is kept by the server for ever, as text and compiled; with all of every piece that it names, sixty of them
took 39 MB. A piece is taken apart where a statement begins at the start of a line.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

_STARTS: Final = re.compile(r"^(?=[A-Za-z_])(?!end\b)", re.MULTILINE)
_NAMED: Final = re.compile(r"(?<![\w.:'\"])([a-z_]+)[.]([A-Za-z_]\w*)")
_LOCAL: Final = re.compile(r"local (?:function )?([A-Za-z_][\w, ]*?)(?=\s*(?:=|\(|$))", re.MULTILINE)
_ASSIGNED: Final = re.compile(r"(?:function )?([A-Za-z_]\w*)(?=\s*[=(])")
_MEMBERS: Final = re.compile(r"(?<!\w)[a-z_]+\.([A-Za-z_]\w*)")
_WORD: Final = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """One statement of a piece: the members of its table and the local names that it gives, and those that it uses."""

    text: str
    members: frozenset[str]
    locals: frozenset[str]
    words: frozenset[str]

    @property
    def loose(self) -> bool:
        """Whether it gives nothing that could be asked for, so that it belongs to every use of its piece."""
        return not self.members and not self.locals


class Unknown(LookupError):
    """A script names a function of a piece that the piece does not have."""


def pruned(body: str, text_of: Callable[[str], str | None]) -> dict[str, str]:
    """The pieces that a body needs, each with what is needed of it. `text_of` is the text of a piece, None of no piece.

    Raises:
        Unknown: something is named that is not there.
    """
    kept: dict[str, dict[int, Statement]] = {}
    left = list(_named(body, text_of))
    while left:
        piece, member = left.pop()
        for place, statement in _wanted(piece, member, text_of(piece) or "", fresh=piece not in kept):
            if place not in kept.setdefault(piece, {}):
                kept[piece][place] = statement
                left += _named(statement.text, text_of)
    return {piece: "\n".join(found[place].text for place in sorted(found)) for piece, found in sorted(kept.items())}


def _named(text: str, text_of: Callable[[str], str | None]) -> Iterator[tuple[str, str]]:
    return ((piece, member) for piece, member in _NAMED.findall(text) if text_of(piece) is not None)


def _wanted(piece: str, member: str, text: str, *, fresh: bool) -> Iterator[tuple[int, Statement]]:
    """The statements that give a member of a piece, with those of the same piece that they need."""
    parts = statements(piece, text)
    wanted = {place for place, one in enumerate(parts) if member in one.members or (fresh and one.loose)}
    if not any(member in parts[place].members for place in wanted):
        raise Unknown(f"_{piece}.lua has no {piece}.{member}.")
    left = list(wanted)
    while left:
        words = parts[left.pop()].words
        more = {place for place, one in enumerate(parts) if one.locals & words} - wanted
        wanted |= more
        left += more
    return ((place, parts[place]) for place in wanted)


@cache
def statements(piece: str, text: str) -> list[Statement]:
    """The statements of a piece, in their order."""
    starts = [match.start() for match in _STARTS.finditer(text)]
    parts = [text[start:end].rstrip() for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    return [_statement(piece, part) for part in parts]


def _statement(piece: str, text: str) -> Statement:
    head = text.partition("\n")[0]
    members, names = frozenset[str](), frozenset[str]()
    if head.startswith("local "):
        found = _LOCAL.match(head)
        names = frozenset(_WORD.findall(found[1])) if found else names
    elif head.removeprefix("function ").startswith(f"{piece}."):
        members = frozenset(_MEMBERS.findall(re.split(r"[=(]", head)[0]))
    elif found := _ASSIGNED.match(head):
        names = frozenset({found[1]})
    return Statement(text, members, names, frozenset(_WORD.findall(text)))
