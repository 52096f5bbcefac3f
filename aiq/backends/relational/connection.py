"""What a step needs of a connection, whatever store it leads to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

Parameters: TypeAlias = Mapping[str, object]
Question: TypeAlias = tuple[str, Parameters]
"""A statement by name, and what it is asked with."""
Row: TypeAlias = Sequence[Any]
"""What a driver gives; each use names the columns beside it, and mypy cannot know more."""


class Reader(Protocol):
    """What answers statements that write nothing. They are said by name, see `statements`."""

    def rows(self, statement: str, parameters: Parameters, /) -> Sequence[Row]:
        """Run a statement that has few rows, and take them all."""
        ...


class Connection(Reader, Protocol):
    """A connection within a transaction."""

    def run(self, statement: str, parameters: Parameters, /) -> int:
        """Run a statement that has none, and say how many rows it has changed."""
        ...

    def write(self, statement: str, parameters: Parameters, /) -> None:
        """Run a statement that has none, in its turn, at the latest before the commit."""
        ...

    def foresee(self, questions: Iterable[Question], /) -> None:
        """Say what `rows` is about to be asked. Where each question is a round trip, these go together; nothing depends
        on whether they are asked in the end, and an answer is forgotten as soon as anything is written."""
        ...
