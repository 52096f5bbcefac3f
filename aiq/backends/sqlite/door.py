"""The way into a SQLite file: a step in the writer's thread, or a look in the reader's."""

from collections.abc import Callable, Collection, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from aiq.backends.relational.door import Door
from aiq.backends.relational.inbox import left
from aiq.backends.relational.plain.shortcuts import Shortcuts
from aiq.backends.relational.transaction import Transaction
from aiq.backends.sqlite import atomic
from aiq.backends.sqlite.atomic import Home
from aiq.backends.sqlite.connection import WorkConnection
from aiq.backends.sqlite.facts import facts
from aiq.backends.sqlite.plain.enqueue import enqueue
from aiq.backends.sqlite.plain.shortcuts import SHORTCUTS
from aiq.backends.sqlite.watch import Watch
from aiq.errors import Unavailable
from aiq.model import Fact, JobSpec
from aiq.storage import Left

_P = ParamSpec("_P")
_A = TypeVar("_A")


class FileDoor(Door):
    """The door of an open file: two connections, each with its thread."""

    def __init__(self, home: Home, writer: WorkConnection, reader: WorkConnection) -> None:
        self._home = home
        self._writer = writer
        self._reader = reader
        self._watch = Watch(home.path, home.news)
        self._shortcuts = Shortcuts(SHORTCUTS)
        self._open = True

    async def _step(
        self, operation: Callable[[Transaction], _A], look: Callable[[Transaction], _A | None] | None = None
    ) -> _A:
        home = self._home
        return await self._writer.perform(
            lambda connection, unwanted: atomic.write(home, connection, unwanted, operation, look)
        )

    def _store_plainly(self, tx: Transaction, batch: Sequence[JobSpec]) -> bool:
        return enqueue(tx, batch, None) is not None

    def _shorter(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> Callable[Concatenate[Transaction, _P], _A]:
        """The step, or what tries a shorter way first; where not all is plain, the step is made under the same lock."""
        found = self._shortcuts.find(operation, *args, **kwargs)
        if found is None:
            return operation
        make, habit = found

        def made(tx: Transaction, /, *args: _P.args, **kwargs: _P.kwargs) -> _A:
            answer: _A | None = make(tx, *args, **kwargs)
            habit.learn(made=answer is not None)
            return operation(tx, *args, **kwargs) if answer is None else answer

        return made

    async def _look(self, operation: Callable[[Transaction], _A]) -> _A:
        home = self._home
        return await self._reader.perform(
            lambda connection, unwanted: atomic.read(home, connection, unwanted, operation)
        )

    async def _wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        """A change by another process is seen within 35 ms of its commit.

        Where the system tells of writes it is sooner, mostly; but a commit that takes over a second, or a write of
        which nothing was told, may be seen 250 ms later.
        """
        return await self._watch.wait(topics, after=after, timeout_ms=timeout_ms)

    def left(self, batch: Sequence[JobSpec]) -> Left:
        """See `aiq.storage.Transactional`. The transaction must be one of a connection to the same file."""
        return Left("aiq_inbox", left(batch))

    def _facts(self, tx: Transaction) -> list[Fact]:
        return facts(tx, self._home)

    def _check_usable(self) -> None:
        self._home.check_process()
        if not self._open:
            raise Unavailable(f"This storage ({self._home.address.url}) is closed; open it again.")
