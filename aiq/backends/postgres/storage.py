"""A storage in PostgreSQL: its faces, one for each noun of the contract, and its own life."""

from aiq.backends.clock import Clock
from aiq.backends.postgres import atomic
from aiq.backends.postgres.address import parse
from aiq.backends.postgres.atomic import Home
from aiq.backends.postgres.door import ServerDoor
from aiq.backends.postgres.facts import wakeups_fact
from aiq.backends.postgres.line import Line
from aiq.backends.relational.faces import Faces
from aiq.model import Capability, Fact
from aiq.storage import Storage, Transactional


class PostgresStorage(ServerDoor, Faces):
    """A storage in one schema of a PostgreSQL database.

    An operation is one transaction, made in a thread of its own; reads have another. Cancelled, an operation has
    happened wholly or not at all by the time the cancellation goes on.
    """

    @property
    def url(self) -> str:
        """The address it was opened with, without the password."""
        return self._home.address.url

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What is acknowledged outlives the process and the server; others are told of what is new."""
        return frozenset({Capability.DURABLE, Capability.PUSH_WAKEUPS, Capability.TRANSACTIONAL_ENQUEUE})

    async def sibling(self) -> "PostgresStorage":
        """Open the same schema again, with connections and threads of its own; wake-ups are shared."""
        self._check_usable()
        return PostgresStorage(self._home, *await open_lines(self._home))

    async def facts(self) -> list[Fact]:
        """See `aiq.storage.Upkeep`. Whether notifications come through is found out by listening for a moment."""
        found = await super().facts()
        await self._wait(["facts"], after=None, timeout_ms=0)
        return [*found, wakeups_fact(self._home.address, hears=self._watch.hears)]

    async def close(self) -> None:
        """Let go of the connections once what was asked for is done. Closing twice is fine."""
        if self._open:
            self._open = False
            try:
                await self._watch.close()
            finally:
                try:
                    await self._reader.close()
                finally:
                    await self._writer.close()


async def open_postgres(url: str, clock: Clock | None = None) -> PostgresStorage:
    """Open a schema that `aiq migrate` has made.

    `?schema=` names it (aiq), `?timeout=` how many seconds one step may take (10), `?pooled=true` says that pgbouncer
    stands in between, `?listen=` where notifications are heard then, `?synchronous_commit=off` gives up the last
    commits when the power fails, for speed. What else stands there is the driver's.

    Raises:
        Misconfigured: the address or the user is refused, or an unknown setting.
        StorageMismatch: the schema is not there, or older than this version needs.
        Unavailable: the server cannot be reached.
    Spec: STORE-12
    """
    home = Home(parse(url), clock)
    return PostgresStorage(home, *await open_lines(home))


async def open_lines(home: Home) -> tuple[Line, Line]:
    """A writer's line that has found its schema, and a reader's that is to connect when it is needed."""
    writer = await Line.open(home.address, home.notice, lambda line, _: atomic.prepare(home, line))
    return writer, Line(home.address, home.notice)


def _conforms(storage: PostgresStorage) -> Storage:
    return storage


def _is_transactional(storage: PostgresStorage) -> Transactional:
    return storage
