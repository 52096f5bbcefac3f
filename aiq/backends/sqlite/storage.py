"""A storage in a SQLite file: its faces, one for each noun of the contract, and its own life."""

from typing import Self

from aiq.backends.clock import Clock, host_clock
from aiq.backends.relational.faces import Faces
from aiq.backends.sqlite.address import parse
from aiq.backends.sqlite.atomic import Home
from aiq.backends.sqlite.door import FileDoor
from aiq.backends.sqlite.opening import open_connections
from aiq.model import Capability
from aiq.storage import Storage, Transactional


class SQLiteStorage(FileDoor, Faces):
    """A storage in one SQLite file, which processes on the same machine share.

    An operation is one function in the writer's thread, transaction and all; reads have a thread of their own.
    Cancelled, an operation has happened wholly or not at all by the time the cancellation goes on.
    """

    @property
    def url(self) -> str:
        """The address it was opened with."""
        return self._home.address.url

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What is acknowledged outlives the process. Changes of other processes are found by looking."""
        return frozenset({Capability.DURABLE, Capability.TRANSACTIONAL_ENQUEUE})

    async def sibling(self) -> Self:
        """Open the same file again, with connections and threads of its own; wake-ups are shared."""
        self._check_usable()
        return type(self)(self._home, *await open_connections(self._home))

    async def close(self) -> None:
        """Let go of the file once what was asked for is done. Closing twice is fine."""
        if self._open:
            self._open = False
            self._watch.close()
            try:
                await self._reader.close()
            finally:
                await self._writer.close()


async def open_sqlite(url: str, clock: Clock | None = None) -> SQLiteStorage:
    """Open a file, make it if it is not there, and bring its schema up to date.

    `sqlite:///jobs.db` is relative, `sqlite:////var/jobs.db` absolute. `?synchronous=normal` gives up the last
    commits when the power fails, for speed; the default is `full`.

    Raises:
        Misconfigured: the address names no file that could be opened, or an unknown setting.
        StorageMismatch: a later version of aiq has made the file.
        Corrupt: the file is damaged, or no database.
        ReadOnly: the file cannot be written.
    Spec: STORE-12
    """
    home = Home(parse(url), clock or host_clock)
    return SQLiteStorage(home, *await open_connections(home))


def _conforms(storage: SQLiteStorage) -> Storage:
    return storage


def _is_transactional(storage: SQLiteStorage) -> Transactional:
    return storage
