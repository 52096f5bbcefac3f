"""Everything the command writes passes here: plain columns for people, or one line of JSON for each fact.

What is stored was written by others. A name, an id or an error text may hold what a terminal takes for a command,
so whatever is not a visible character is shown as its code.
"""

import json
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from shutil import get_terminal_size
from typing import Final, TextIO, TypeAlias

Fact: TypeAlias = Mapping[str, object]
"""One thing that is so, as it is told to programs: names, and values with a form in JSON."""

GAP: Final = "  "
NARROWEST: Final = 8
"""A column is cut to fit the terminal, but not below this many cells."""
_JOINERS: Final = "\u200c\u200d"
"""Invisible, but part of how many scripts and most emoji are written."""
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Output:
    """Where answers go (`out`) and where remarks go (`err`). `width` is that of the terminal; None cuts nothing."""

    json: bool
    out: TextIO
    err: TextIO
    width: int | None = None

    def fact(self, fact: Fact, *lines: str) -> None:
        """One answer: a line of JSON, or else lines for people."""
        for line in [_json(fact)] if self.json else map(escaped, lines):
            self.out.write(f"{line}\n")

    def table(self, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows under a headline. For people only: a caller tells programs each row by `fact`."""
        shown = [[escaped(cell) for cell in row] for row in (names, *rows)]
        widths = _fitted([max(map(cells, column)) for column in zip(*shown, strict=True)], self.width)
        for row in shown:
            padded = [padded_to(width, cell) for width, cell in zip(widths, row, strict=True)]
            self.out.write(f"{GAP.join(padded).rstrip()}\n")

    def data(self, data: bytes) -> None:
        """Bytes as they are, for a file or a pipe."""
        self.out.flush()
        self.out.buffer.write(data)

    def note(self, text: str) -> None:
        """A remark that is not part of the answer."""
        self.err.write(f"{escaped(text)}\n")

    def progress(self, text: str) -> None:
        """How far a long act has come: one line that changes, for people at a terminal alone."""
        if not self.json and self.err.isatty():
            self.err.write(f"\r{escaped(text)}\x1b[K")
            self.err.flush()

    def end_progress(self) -> None:
        """Take that line away."""
        if not self.json and self.err.isatty():
            self.err.write("\r\x1b[K")

    def error(self, fact: Fact, text: str) -> None:
        """Why there is no answer, in one line."""
        self.err.write(f"{_json(fact) if self.json else escaped(f'aiq: {text}')}\n")

    def flush(self) -> None:
        """Let everything out now, so that a pipe that was closed is noticed here."""
        self.out.flush()
        self.err.flush()


def open_output(*, json: bool) -> Output:
    """The standard streams, made to show what they have no letters for as a code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    width = get_terminal_size().columns if sys.stdout.isatty() else None
    return Output(json, sys.stdout, sys.stderr, width)


def escaped(text: str, *, keep: str = "") -> str:
    """The text with every invisible character but those in `keep` shown as its code, such as \\x1b."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char in keep else _visible(char) for char in text)


def _visible(char: str) -> str:
    if char in _JOINERS or unicodedata.category(char) not in _INVISIBLE:
        return char
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def cells(text: str) -> int:
    """How many columns of a terminal a text takes: two for each wide character, none for one that combines."""
    if text.isascii():
        return len(text)
    return sum(_cells(char) for char in text)


def _cells(char: str) -> int:
    if unicodedata.combining(char) or char in _JOINERS:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def padded_to(width: int, text: str) -> str:
    """The text in exactly `width` cells, cut with an ellipsis where it is longer."""
    if cells(text) <= width:
        return text + " " * (width - cells(text))
    while cells(text) >= width:
        text = text[:-1]
    return f"{text}…" + " " * (width - 1 - cells(text))


def _fitted(widths: list[int], width: int | None) -> list[int]:
    """Take from the widest column until the row fits. The first one is what a next command needs: it stays whole."""
    if width is None or len(widths) == 1:
        return widths
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    for _ in range(excess):
        widest = max(range(1, len(widths)), key=widths.__getitem__)
        if widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
    return widths


def _json(fact: Fact) -> str:
    # In ASCII nothing can be taken for a command, and no encoding can fail.
    return json.dumps(fact, ensure_ascii=True)
