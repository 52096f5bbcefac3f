"""Rows of one table as they stand in a step: each is read at most once, and written once, when the step ends."""

from collections.abc import Iterable, Iterator
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

import msgspec

from aiq.backends.sqlite.terms import plain

V = TypeVar("V")

Key: TypeAlias = tuple[str | int, ...]


class Step(Protocol):
    """What a shelf needs of the step that it belongs to."""

    def peek(self, sql: str, parameters: dict[str, object], decoder: "msgspec.json.Decoder[Any]") -> Any:
        """Read what no gathered row can change, as one JSON text of whatever the decoder makes, hence Any."""
        ...

    def later(self, sql: str, row: tuple[object, ...], *, key: object = None) -> None:
        """Write a row with its like, before the next read or the commit."""
        ...

    def later_text(self, sql: str, row: tuple[object, ...], text: bytes) -> None:
        """The same of a row that ends with a text."""
        ...


class Shelf(Generic[V]):
    """Rows by key. `read` is given keys in :keys and answers rows that end with the value, `write` puts such rows.

    Nothing else in the step may write the table, or read it by a statement, while rows of it stand changed here.
    """

    def __init__(self, step: Step, read: str, write: str, row: Any) -> None:
        # `row` is the type of a row, which a TypeVar cannot name: (str, str, LimitState), say.
        self._step = step
        self._read = read
        self._write = write
        self._row = row
        self._rows: dict[Key, V | None] = {}
        self._changed: dict[Key, None] = {}

    def fetch(self, keys: Iterable[Key]) -> None:
        """Read rows that will be asked for, all at once."""
        unknown = [key for key in dict.fromkeys(keys) if key not in self._rows]
        if not unknown:
            return
        self._rows.update(dict.fromkeys(unknown))
        asked = msgspec.json.encode(unknown).decode()
        for *key, value in self._step.peek(self._read, {"keys": asked}, decoder_of(self._row)):
            self._rows[tuple(key)] = value

    def learn(self, value: V | None, *key: str | int) -> None:
        """Take in a row that was read another way, or that there is none, unless it is known."""
        self._rows.setdefault(key, value)

    def get(self, *key: str | int) -> V | None:
        """A row, with what this step has done to it."""
        if key not in self._rows:
            self.fetch([key])
        return self._rows[key]

    def put(self, value: V, *key: str | int) -> None:
        """Change a row, or make it."""
        self._rows[key] = value
        self._changed[key] = None

    def known(self) -> Iterator[V]:
        """The rows that were read or made so far."""
        return (value for value in self._rows.values() if value is not None)

    def write(self) -> None:
        """Write what was changed, as one value."""
        for key in self._changed:
            self._step.later(self._write, (*key, self._rows[key]))
        self._changed.clear()


class TextShelf(Shelf[V]):
    """Rows of which there may be one for each job: their values are put down as texts, which SQLite does not read."""

    def write(self) -> None:
        """Write what was changed, as one value."""
        for key in self._changed:
            self._step.later_text(self._write, key, _encoder.encode(self._rows[key]))
        self._changed.clear()


_encoder: Final = msgspec.json.Encoder(enc_hook=plain)
_DECODERS: dict[Any, "msgspec.json.Decoder[Any]"] = {}


def decoder_of(row: Any) -> "msgspec.json.Decoder[Any]":
    """What reads a JSON list of such rows; made once, since making one takes as long as a hundred rows."""
    decoder = _DECODERS.get(row)
    if decoder is None:
        decoder = _DECODERS[row] = msgspec.json.Decoder(list[row])
    return decoder
