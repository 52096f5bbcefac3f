"""Rows of one table as they stand in a step: each is read at most once, and written once, when the step ends."""

from collections.abc import Hashable, Iterable, Iterator
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from aiq.backends.relational.connection import Parameters, Question
from aiq.backends.relational.terms import plain

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Step(Protocol):
    """What a shelf needs of the step that it belongs to."""

    def peek(self, sql: str, parameters: Parameters, decoder: "msgspec.json.Decoder[Any]") -> Any:
        """Read what no gathered row can change, as one JSON text of whatever the decoder makes, hence Any."""
        ...

    def later(self, sql: str, row: tuple[object, ...], *, key: object = None) -> None:
        """Write a row with its like, before the next read or the commit."""
        ...

    def later_text(self, sql: str, row: tuple[object, ...], text: bytes, names: list[Any]) -> None:
        """The same of a row that has a text, for all of some names."""
        ...


class Shelf(Generic[K, V]):
    """Rows by key, a column or a tuple of some. `read` is given keys in :keys and answers pairs of key and value,
    `write` puts such pairs.

    Nothing else in the step may write the table, or read it by a statement, while rows of it stand changed here.
    """

    def __init__(self, step: Step, read: str, write: str, row: Any) -> None:
        # `row` is the type of a pair, which a TypeVar cannot name: tuple[str, LimitSpec], say.
        self._step = step
        self._read = read
        self._write = write
        self._row = row
        self._rows: dict[K, V | None] = {}
        self._changed: dict[K, None] = {}

    def fetch(self, keys: Iterable[K]) -> None:
        """Read rows that will be asked for, all at once."""
        unknown = self.unknown(keys)
        for sql, parameters in self.questions(unknown):
            self._rows.update(dict.fromkeys(unknown))
            self._rows.update(self._step.peek(sql, parameters, decoder_of(self._row)))

    def questions(self, keys: Iterable[K]) -> list[Question]:
        """What `fetch` will ask, for `foresee`."""
        unknown = self.unknown(keys)
        return [(self._read, {"keys": msgspec.json.encode(unknown).decode()})] if unknown else []

    def unknown(self, keys: Iterable[K]) -> list[K]:
        """Those of some keys of which nobody has asked yet, in their order, and each once."""
        return [key for key in dict.fromkeys(keys) if key not in self._rows]

    def learn(self, key: K, value: V | None) -> None:
        """Take in a row that was read another way, or that there is none, unless it is known."""
        self._rows.setdefault(key, value)

    def get(self, key: K) -> V | None:
        """A row, with what this step has done to it."""
        try:
            return self._rows[key]
        except KeyError:
            self.fetch([key])
            return self._rows[key]

    def put(self, key: K, value: V) -> None:
        """Change a row, or make it."""
        self._rows[key] = value
        self._changed[key] = None

    def known(self) -> Iterator[V]:
        """The rows that were read or made so far."""
        return (value for value in self._rows.values() if value is not None)

    def write(self) -> None:
        """Write what was changed, as one value."""
        for key in self._changed:
            self._step.later(self._write, (key, self._rows[key]))
        self._changed.clear()


class TextShelf(Shelf[K, V]):
    """Rows of which there may be one for each job: their values are put down as texts that no statement reads, each
    once for all that have it. A key begins with what tells them apart."""

    def write(self) -> None:
        """Write what was changed, as one value."""
        alike: dict[tuple[Any, bytes], list[object]] = {}
        for key in self._changed:
            name, rest = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
            alike.setdefault((rest, _encoder.encode(self._rows[key])), []).append(name)
        for (rest, text), names in alike.items():
            self._step.later_text(self._write, rest, text, names)
        self._changed.clear()


_encoder: Final = msgspec.json.Encoder(enc_hook=plain)
_DECODERS: dict[Any, "msgspec.json.Decoder[Any]"] = {}


def decoder_of(row: Any) -> "msgspec.json.Decoder[Any]":
    """What reads a JSON list of such rows; made once, since making one takes as long as a hundred rows."""
    decoder = _DECODERS.get(row)
    if decoder is None:
        decoder = _DECODERS[row] = msgspec.json.Decoder(list[row])
    return decoder
