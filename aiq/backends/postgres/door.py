"""The way into a Postgres storage: a step on the writer's line, or a look on the reader's."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from aiq.backends.postgres import atomic
from aiq.backends.postgres.atomic import Home
from aiq.backends.postgres.facts import facts
from aiq.backends.postgres.line import Line
from aiq.backends.postgres.plain.enqueue import store
from aiq.backends.postgres.plain.shortcuts import SHORTCUTS
from aiq.backends.postgres.watch import Watches
from aiq.backends.relational.door import Door
from aiq.backends.relational.inbox import left
from aiq.backends.relational.plain.shortcuts import Shortcuts
from aiq.backends.relational.transaction import Transaction
from aiq.errors import InvalidInput, Unavailable
from aiq.model import Fact, JobSpec
from aiq.storage import Left

_P = ParamSpec("_P")
_A = TypeVar("_A")

SURVEY_MS: Final = 600_000
"""How long a look at everything may take, unless a step may take longer."""


class ServerDoor(Door):
    """The door of an open storage: two lines, each a connection and its thread."""

    def __init__(self, home: Home, writer: Line, reader: Line) -> None:
        self._home = home
        self._writer = writer
        self._reader = reader
        self._watch = Watches(home)
        self._shortcuts = Shortcuts(SHORTCUTS)
        self._open = True

    async def _step(
        self, operation: Callable[[Transaction], _A], look: Callable[[Transaction], _A | None] | None = None
    ) -> _A:
        home = self._home
        return await self._writer.perform(lambda line, unwanted: atomic.write(home, line, unwanted, operation, look))

    async def _look(self, operation: Callable[[Transaction], _A]) -> _A:
        home = self._home
        return await self._reader.perform(lambda line, unwanted: atomic.read(home, line, unwanted, operation))

    async def _glance(self, operation: Callable[[Transaction], _A]) -> _A:
        home = self._home
        return await self._reader.perform(
            lambda line, unwanted: atomic.read(home, line, unwanted, operation, sure=False)
        )

    async def _jot(self, operation: Callable[[Transaction], _A]) -> _A:
        home = self._home
        return await self._writer.perform(
            lambda line, unwanted: atomic.write(home, line, unwanted, operation, sure=False)
        )

    async def _survey(self, operation: Callable[[Transaction], _A]) -> _A:
        # On a connection of its own: nobody who looks at something else is to wait behind it.
        home = self._home
        patient = replace(home, address=replace(home.address, timeout_ms=max(home.address.timeout_ms, SURVEY_MS)))
        line = await Line.open(patient.address, home.notice, lambda line, _: atomic.prepare(home, line))
        reading = asyncio.create_task(
            line.perform(lambda line, unwanted: atomic.read(patient, line, unwanted, operation))
        )
        try:
            return await asyncio.shield(reading)
        finally:
            if not reading.done():
                line.abandon()
                reading.cancel()
                await asyncio.wait([reading])
            await line.close()

    def _store_plainly(self, tx: Transaction, batch: Sequence[JobSpec]) -> bool:
        return store(tx, batch)

    # Any: each operation has parameters and an answer of its own.
    async def _shortly(self, operation: Callable[..., object], *args: Any, **kwargs: Any) -> Any:
        """Make a step in one round trip, or answer nothing: there is no function for it, or not all of it is plain."""
        found = self._shortcuts.find(operation, *args, **kwargs)
        if found is None:
            return None
        make, habit = found
        answer = await self._plain(make, *args, **kwargs)
        habit.learn(made=answer is not None)
        return answer

    async def _plain(
        self, step: Callable[Concatenate[Home, Line, Callable[[], bool], _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A | None:
        self._check_usable()
        home = self._home
        try:
            return await self._writer.perform(lambda line, unwanted: step(home, line, unwanted, *args, **kwargs))
        except InvalidInput:
            # A value that no database takes, such as a fence beyond all: the step says what that means.
            return None

    async def _wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        return await self._watch.wait(topics, after=after, timeout_ms=timeout_ms)

    def left(self, batch: Sequence[JobSpec]) -> Left:
        """See `aiq.storage.Transactional`. The transaction must be one of a connection to the same database."""
        home = self._home
        return Left(f'"{home.address.schema}".aiq_inbox', left(batch), f"SELECT pg_notify('{home.channel}', '')")

    def _facts(self, tx: Transaction) -> list[Fact]:
        return facts(tx, self._home.address)

    def _check_usable(self) -> None:
        self._home.check_process()
        if not self._open:
            raise Unavailable(f"This storage ({self._home.address.url}) is closed; open it again.")
