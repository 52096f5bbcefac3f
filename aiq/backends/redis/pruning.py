"""What of the shared pieces a script needs: the functions that it names, those that they name, and no others.

Each script is kept by the server for ever, as text and compiled; with all of every piece that it names, sixty of them
took 39 MB. A piece is taken apart where a statement begins at the start of a line.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

_STARTS: Final = re.compile(r"^(?=[A-Za-z_])(?!end\b)", re.MULTILINE)
_NAMED: Final = re.compile(r"(?<![\w.:'\"])([a-z_]+)[.]([A-Za-z_]\w*)")
_LOCAL: Final = re.compile(r"local (?:function )?([A-Za-z_][\w, ]*?)(?=\s*(?:=|\(|$))", re.MULTILINE)
_ASSIGNED: Final = re.compile(r"(?:function )?([A-Za-z_]\w*)(?=\s*[=(])")
_MEMBERS: Final = re.compile(r"(?<!\w)[a-z_]+\.([A-Za-z_]\w*)")
_WORD: Final = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, eq=False)
class Statement:
    """One statement of a piece, with the members of its table and the local names that it gives."""

    text: str
    members: frozenset[str]
    locals: frozenset[str]

    @cached_property
    def words(self) -> frozenset[str]:
        """The names in it, which may be local ones of its piece. Of most statements nobody asks."""
        return frozenset(_WORD.findall(self.text))

    @cached_property
    def named(self) -> tuple[tuple[str, str], ...]:
        """The members of tables that it names, be they pieces or not."""
        return _named(self.text)


class Unknown(LookupError):
    """A script names a function of a piece that the piece does not have."""


class Piece:
    """The statements of a piece in their order, and which of them need which others."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.statements = statements(name, text)
        self._giving: dict[str, set[int]] = {}
        self._local: dict[str, set[int]] = {}
        self._loose: set[int] = set()
        for place, one in enumerate(self.statements):
            for member in one.members:
                self._giving.setdefault(member, set()).add(place)
            for local in one.locals:
                self._local.setdefault(local, set()).add(place)
            if not one.members and not one.locals:
                # It gives nothing that could be asked for, so it belongs to every use of its piece.
                self._loose.add(place)

    def wanted(self, member: str) -> set[int]:
        """The places of the statements that give a member, with those of the same piece that they need.

        Raises:
            Unknown: no statement gives it.
        """
        giving = self._giving.get(member)
        if giving is None:
            raise Unknown(f"_{self.name}.lua has no {self.name}.{member}.")
        found = giving | self._loose
        left = list(found)
        while left:
            for word in self.statements[left.pop()].words & self._local.keys():
                left += self._local[word] - found
                found |= self._local[word]
        return found


def pruned(body: str, text_of: Callable[[str], str | None]) -> dict[str, str]:
    """The pieces that a body needs, each with what is needed of it. `text_of` is the text of a piece, None of no piece.

    Raises:
        Unknown: something is named that is not there.
    """
    kept: dict[str, set[int]] = {}
    left, seen = list(_named(body)), set[tuple[str, str]]()
    while left:
        name, member = asked = left.pop()
        text = text_of(name)
        if text is None or asked in seen:
            continue
        seen.add(asked)
        piece = _piece(name, text)
        more = piece.wanted(member) - kept.setdefault(name, set())
        kept[name] |= more
        for place in more:
            left += piece.statements[place].named
    return {name: _kept(_piece(name, text_of(name) or ""), places) for name, places in sorted(kept.items())}


def _kept(piece: Piece, places: set[int]) -> str:
    return "\n".join(piece.statements[place].text for place in sorted(places))


def _named(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(dict.fromkeys(_NAMED.findall(text)))


@cache
def _piece(name: str, text: str) -> Piece:
    return Piece(name, text)


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
    return Statement(text, members, names)
