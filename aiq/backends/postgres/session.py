"""A connection of the driver as a step sees it: it waits where a step may wait, in the loop of its own thread."""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import asyncpg

from aiq.backends.postgres.sql import TEXTS, Statement
from aiq.backends.relational.connection import Parameters, Row

T = TypeVar("T")


class Session:
    """A connection within a transaction. `until` is when the step has taken too long, by time.monotonic()."""

    __slots__ = ("_loop", "connection", "until")

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._loop = loop
        self.connection = connection
        self.until = float("inf")

    def rows(self, name: str, parameters: Parameters) -> Sequence[Row]:
        """See `aiq.backends.relational.connection`."""
        statement = TEXTS[name]
        rows = self.do(self.connection.fetch(statement.text, *_given(statement, parameters), timeout=self.left()))
        return [tuple(row) for row in rows]

    def run(self, name: str, parameters: Parameters) -> int:
        """See `aiq.backends.relational.connection`."""
        statement = TEXTS[name]
        # What the driver answers is such as `UPDATE 3`.
        told = self.do(self.connection.execute(statement.text, *_given(statement, parameters), timeout=self.left()))
        count = told.rpartition(" ")[2]
        return int(count) if count.isdecimal() else 0

    def script(self, text: str) -> None:
        """Run statements without parameters, in one round trip."""
        self.do(self.connection.execute(text, timeout=self.left()))

    def do(self, awaited: Awaitable[T]) -> T:
        """Wait for it."""
        return self._loop.run_until_complete(awaited)

    def left(self) -> float:
        """How many seconds there are left for the step."""
        return max(0.001, self.until - time.monotonic())


def _given(statement: Statement, parameters: Parameters) -> list[object]:
    return [parameters[name] for name in statement.parameters]
