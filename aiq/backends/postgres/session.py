"""A connection of the driver as a step sees it: it waits where a step may wait, in the loop of its own thread."""

import asyncio
import select
import time
from collections.abc import Awaitable, Iterable, Sequence
from typing import Final, TypeAlias, TypeVar

import asyncpg
from asyncpg import exceptions as theirs
from asyncpg.prepared_stmt import PreparedStatement

from aiq.backends.postgres.durable import ALLOW, OWING, RELEASE, RELEASED
from aiq.backends.postgres.script import execution
from aiq.backends.postgres.sql import TEXTS, Statement, together
from aiq.backends.relational.connection import Parameters, Question, Row

T = TypeVar("T")
PLANS_S: Final = 5.0
"""How long a connection keeps the plan of a statement. The server would keep it until it looks at the statistics again,
and one that was made of a table with nothing in it reads all that has come since."""
FEW_CHANGES: Final = 5_000
"""How many changes leave the tables as they were, as far as a plan is concerned: to read as many rows takes hardly
longer than to plan anew."""
QUIET_PLANS_S: Final = 60.0
"""How long plans are kept while no more changes are known of: to plan an exchange takes longer than to make one, and
where jobs are few, the one that comes after would wait for that."""

WRITES_AT_ONCE: Final = 64
"""How many statements are gathered into one script at most."""
QUESTIONS_AT_ONCE: Final = 32
"""How many questions are one statement at most."""
COMBINATIONS: Final = 64
"""How many such statements a connection has at most: each is prepared once, and the server keeps its plan. Steps of
many queues or limits would make ever new ones; what comes beyond is asked question by question."""

_TURNS: Final = 3
_NOT_HERE: Final = (
    theirs.FeatureNotSupportedError,
    theirs.ObjectNotInPrerequisiteStateError,
    theirs.InsufficientPrivilegeError,
    theirs.UndefinedFunctionError,
)
"""What servers say that do not tell how far their log is written. Aurora is one, unless its wal_level is logical."""

Prepared: TypeAlias = "PreparedStatement[asyncpg.Record]"


class Session:
    """A connection within a transaction. `until` is when the step has taken too long, by time.monotonic().

    Behind a pooler no statement stays prepared in the server. What the server has said of one is kept all the same:
    then the text goes with its values, in one round trip instead of two.

    `began` is what the server said last as the transaction began. `committing` ends a step, and `looked` a look; both
    wait until all that was seen is on disk, as `flush` does; `leaving` ends a step and waits for nothing. What stands
    for `owing` beside the answer of a function says whether that is still to be waited for.
    """

    __slots__ = (
        "_combined",
        "_described",
        "_loop",
        "_named",
        "_planned_at",
        "_planned_for",
        "_seen",
        "_writes",
        "began",
        "committing",
        "connection",
        "flush",
        "leaving",
        "looked",
        "owing",
        "until",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connection: "asyncpg.Connection[asyncpg.Record]", *, pooled: bool = False
    ) -> None:
        self._described: dict[str, Prepared] | None = {} if pooled else None
        self._loop = loop
        self._named: dict[str, Prepared] = {}
        self._writes: list[tuple[str, str]] = []
        self._combined: set[tuple[str, ...]] = set()
        self._seen: dict[tuple[object, ...], Sequence[Row]] = {}
        """Answers to what was foreseen, as long as nothing is written."""
        self._planned_at, self._planned_for = time.monotonic(), 0
        self.connection = connection
        self.until = float("inf")
        self.began = ""
        # Here each commit waits for the disk itself; the first word fails in a transaction that was given up.
        self.committing = self.leaving = "SELECT 1; COMMIT"
        self.looked = "ROLLBACK"
        self.flush = ""
        self.owing = RELEASED

    def rows(self, name: str, parameters: Parameters) -> Sequence[Row]:
        """See `aiq.backends.relational.connection`."""
        self.send_writes()
        statement = TEXTS[name]
        given = _given(statement, parameters)
        seen = self._seen.get((name, *given)) if self._seen else None
        if seen is not None:
            return seen
        return [tuple(row) for row in self.do(self._fetch(statement.text, given))]

    def foresee(self, questions: Iterable[Question]) -> None:
        """See `aiq.backends.relational.connection`."""
        self.send_writes()
        asked = {(name, *_given(TEXTS[name], parameters)): None for name, parameters in questions}
        fresh = [key for key in asked if key not in self._seen][:QUESTIONS_AT_ONCE]
        if len(fresh) < 2:
            return
        names = tuple([str(name) for name, *_ in fresh])
        if names not in self._combined and len(self._combined) >= COMBINATIONS:
            return
        self._combined.add(names)
        given = [value for _, *values in fresh for value in values]
        (answers,) = self.do(self._fetch(together(names), given))
        for key, rows in zip(fresh, answers, strict=True):
            self._seen[key] = [tuple(row) for row in rows]

    def call(self, text: str, given: Sequence[object]) -> Row:
        """Run a statement of one row that is a transaction by itself."""
        self._seen.clear()
        (row,) = self.do(self._fetch(text, given))
        return tuple(row)

    def run(self, name: str, parameters: Parameters) -> int:
        """See `aiq.backends.relational.connection`."""
        self.send_writes()
        self._seen.clear()
        # What the driver answers is such as `UPDATE 3`.
        count = self.do(self._execute(TEXTS[name], parameters)).rpartition(" ")[2]
        return int(count) if count.isdecimal() else 0

    def write(self, name: str, parameters: Parameters) -> None:
        """See `aiq.backends.relational.connection`. Behind a pooler nothing is prepared that a script could name."""
        text = None if self._described is not None else execution(name, _given(TEXTS[name], parameters))
        if text is None:
            self.run(name, parameters)
            return
        self._seen.clear()
        self._writes.append((name, text))
        if len(self._writes) == WRITES_AT_ONCE:
            self.send_writes()

    def send_writes(self) -> None:
        """Run what is to be written, in its order.

        Statements are prepared here and not as they are gathered: until the driver sends what comes after that, the
        server waits for it, and would do so for as long as this process stands still.
        """
        if not self._writes:
            return
        writes, self._writes = self._writes, []
        for name in {name: None for name, _ in writes if name not in self._named}:
            self._named[name] = self.do(self.connection.prepare(TEXTS[name].text, name=name, timeout=self.left()))
        self.script("; ".join([text for _, text in writes]))

    def forget_writes(self) -> None:
        """The step is given up, and what it would have written with it."""
        self._writes.clear()

    async def _fetch(self, text: str, given: Sequence[object]) -> "list[asyncpg.Record]":
        if self._described is None:
            return await self.connection.fetch(text, *given, timeout=self.left())
        return await (await self._prepared(text, self._described)).fetch(*given, timeout=self.left())

    async def _execute(self, statement: Statement, parameters: Parameters) -> str:
        given = _given(statement, parameters)
        if self._described is None:
            return await self.connection.execute(statement.text, *given, timeout=self.left())
        prepared = await self._prepared(statement.text, self._described)
        await prepared.fetch(*given, timeout=self.left())
        return prepared.get_statusmsg() or ""

    async def _prepared(self, text: str, described: "dict[str, Prepared]") -> "Prepared":
        found = described.get(text)
        if found is None:
            # Without a name and without a cache, the driver sends the text again whenever it is run.
            found = await self.connection.prepare(text, name="", timeout=self.left())
            described[text] = found
        return found

    def is_alive(self) -> bool:
        """Whether the other side is still there, as far as it has said: that is heard only while the loop runs, and it
        need not run where nothing has come."""
        if self._has_come():
            self.do(_listen())
        return not self.connection.is_closed()

    def _has_come(self) -> bool:
        # The driver does not say it, and the stubs of the driver do not know where it could be asked.
        transport: asyncio.Transport = self.connection._transport  # type: ignore[attr-defined]  # noqa: SLF001
        number = transport.get_extra_info("socket").fileno()
        if number < 0:
            return True
        socket = select.poll()
        socket.register(number, select.POLLIN)
        return bool(socket.poll(0))

    def release_early(self, flush: str) -> None:
        """Let go of locks before the disk from now on, where this server can say how far its log is written."""
        try:
            self.script(flush)
        except _NOT_HERE:
            self.script("ROLLBACK")
            return
        if self._described is None:
            self.script(ALLOW)
        self.leaving = f"{RELEASE}; COMMIT"
        self.committing = f"{self.leaving}; {flush}"
        self.looked = f"ROLLBACK; {flush}"
        self.flush = flush
        self.owing = OWING

    def begin(self, how: str, newest: int) -> None:
        """Begin a transaction. `newest` is the last change of the storage that is known of."""
        self._seen.clear()
        self.plan_anew(newest)
        self.began = self.script(how)

    def plan_anew(self, newest: int) -> None:
        """Forget plans that are old; they are made again, of the tables as they are now."""
        kept_s = PLANS_S if newest - self._planned_for > FEW_CHANGES else QUIET_PLANS_S
        if self._described is None and time.monotonic() - self._planned_at > kept_s:
            self._planned_at, self._planned_for = time.monotonic(), newest
            self.script("DISCARD PLANS")

    def script(self, text: str) -> str:
        """Run statements without parameters, in one round trip. Answers what was done by the last."""
        return self.do(self.connection.execute(text, timeout=self.left()))

    def do(self, awaited: Awaitable[T]) -> T:
        """Wait for it."""
        return self._loop.run_until_complete(awaited)

    def left(self) -> float:
        """How many seconds there are left for the step."""
        return max(0.001, self.until - time.monotonic())


async def _listen() -> None:
    # The end of a connection is read in one turn of the loop, and told in the next.
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def _given(statement: Statement, parameters: Parameters) -> list[object]:
    return [parameters[name] for name in statement.parameters]
