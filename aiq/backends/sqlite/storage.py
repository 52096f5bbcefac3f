"""The async face of a SQLite file: each operation is checked here, and made one step in the writer's thread."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Concatenate, ParamSpec, Self, TypeVar

from aiq.backends.clock import Clock, host_clock
from aiq.backends.sqlite import atomic
from aiq.backends.sqlite.address import parse
from aiq.backends.sqlite.append import append
from aiq.backends.sqlite.atomic import Home
from aiq.backends.sqlite.audit import audit
from aiq.backends.sqlite.cancel import cancel
from aiq.backends.sqlite.connection import WorkConnection
from aiq.backends.sqlite.count import count
from aiq.backends.sqlite.enqueue import enqueue
from aiq.backends.sqlite.exchange import exchange, nothing_to_exchange
from aiq.backends.sqlite.get import get
from aiq.backends.sqlite.get_steps import get_steps
from aiq.backends.sqlite.list import list_jobs
from aiq.backends.sqlite.opening import open_connections
from aiq.backends.sqlite.pause import pause, resume
from aiq.backends.sqlite.read import read
from aiq.backends.sqlite.renew import renew
from aiq.backends.sqlite.save_step import save_step
from aiq.backends.sqlite.send import send
from aiq.backends.sqlite.transaction import Transaction
from aiq.backends.sqlite.upkeep import nothing_to_keep_up, upkeep
from aiq.backends.sqlite.watch import Watch
from aiq.bounds import MAX_BATCH, MAX_INSTANT_MS, MAX_LEASE_MS, MAX_PAGE, MAX_SWEEP, MIN_LEASE_MS
from aiq.errors import LeaseLost, Unavailable
from aiq.model import (
    Appended,
    CancelAnswer,
    Capability,
    ClaimRequest,
    Counts,
    Enqueued,
    Exchanged,
    JobFilter,
    JobRecord,
    JobSpec,
    Lease,
    NewChunk,
    Page,
    Renewed,
    Saved,
    Sent,
    Settlement,
    Step,
    StreamPage,
    Upkept,
    Violation,
)
from aiq.rules.validation import (
    check_batch,
    check_chunks,
    check_claim,
    check_count,
    check_limit,
    check_name,
    check_range,
    check_settlements,
    check_signal,
    check_step,
)
from aiq.storage import Storage

_P = ParamSpec("_P")
_A = TypeVar("_A")


class SQLiteStorage:
    """A storage in one SQLite file, which processes on the same machine share.

    An operation is one function in the writer's thread, transaction and all; reads have a thread of their own.
    Cancelled, an operation has happened wholly or not at all by the time the cancellation goes on.
    """

    def __init__(self, home: Home, writer: WorkConnection, reader: WorkConnection) -> None:
        self._home = home
        self._writer = writer
        self._reader = reader
        self._watch = Watch(home.path, home.news)
        self._open = True

    @property
    def url(self) -> str:
        """The address it was opened with."""
        return self._home.address.url

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What is acknowledged outlives the process. Changes of other processes are found by looking."""
        return frozenset({Capability.DURABLE})

    async def enqueue(self, batch: Sequence[JobSpec], parent: Lease | None = None) -> list[Enqueued]:
        """See `aiq.storage.Jobs`."""
        check_batch(batch, parent)
        return await self._write(enqueue, batch, parent)

    async def exchange(self, settlements: Sequence[Settlement], claim: ClaimRequest | None = None) -> Exchanged:
        """See `aiq.storage.Jobs`."""
        check_settlements(settlements)
        if claim is not None:
            check_claim(claim)
        look = partial(nothing_to_exchange, settlements=settlements, request=claim)
        return await self._write_unless(look, exchange, settlements, claim)

    async def renew(
        self, leases: Sequence[Lease], *, lease_ms: int | None = None, shrink: bool = False
    ) -> list[Renewed | LeaseLost]:
        """See `aiq.storage.Jobs`."""
        check_count("list of leases", len(leases), MAX_BATCH)
        if lease_ms is not None:
            check_range("lease in ms", lease_ms, MIN_LEASE_MS, MAX_LEASE_MS)
        return await self._write(renew, leases, lease_ms, shrink=shrink)

    async def cancel(self, job_ids: Sequence[str], *, force: bool = False) -> list[CancelAnswer]:
        """See `aiq.storage.Jobs`."""
        check_count("list of jobs", len(job_ids), MAX_BATCH)
        return await self._write(cancel, job_ids, force=force)

    async def get(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        check_count("list of jobs", len(job_ids), MAX_PAGE)
        return await self._read(get, job_ids)

    async def count(self, queue: str | None = None) -> Counts:
        """See `aiq.storage.Jobs`."""
        return await self._read(count, queue)

    async def upkeep(self, limit: int = MAX_SWEEP) -> Upkept:
        """See `aiq.storage.Upkeep`."""
        check_limit(limit, MAX_SWEEP)
        return await self._write_unless(nothing_to_keep_up, upkeep, limit)

    async def pause(self, queue: str) -> None:
        """See `aiq.storage.Upkeep`."""
        check_name("queue", queue)
        await self._write(pause, queue)

    async def resume(self, queue: str) -> None:
        """See `aiq.storage.Upkeep`."""
        check_name("queue", queue)
        await self._write(resume, queue)

    async def audit(self, limit: int = MAX_PAGE) -> list[Violation]:
        """See `aiq.storage.Upkeep`."""
        check_limit(limit)
        return await self._read(audit, limit)

    async def save_step(self, lease: Lease, step: Step) -> Saved:
        """See `aiq.storage.Steps`."""
        check_step(step)
        return await self._write(save_step, lease, step)

    async def get_steps(self, job_id: str, *, after: str = "", limit: int = MAX_PAGE) -> list[Step]:
        """See `aiq.storage.Steps`."""
        check_limit(limit)
        return await self._read(get_steps, job_id, after, limit)

    async def send(self, job_id: str, name: str, signal_id: str, payload: bytes) -> Sent:
        """See `aiq.storage.Signals`."""
        check_signal(name, signal_id, payload)
        return await self._write(send, job_id, name, signal_id, payload)

    async def append(self, lease: Lease, chunks: Sequence[NewChunk]) -> Appended:
        """See `aiq.storage.Streams`."""
        check_chunks(chunks)
        return await self._write(append, lease, chunks)

    async def read(self, job_id: str, *, after: int = 0, limit: int = MAX_PAGE) -> StreamPage:
        """See `aiq.storage.Streams`."""
        check_limit(limit)
        check_range("number of an item", after, 0, MAX_INSTANT_MS)
        return await self._read(read, job_id, after, limit)

    async def wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        """See `aiq.storage.Wakeups`. A change by another process is seen within 35 ms."""
        self._check_usable()
        check_count("list of topics", len(topics), MAX_BATCH)
        return await self._watch.wait(topics, after=after, timeout_ms=timeout_ms)

    async def list(self, query: JobFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> Page:
        """See `aiq.storage.Jobs`."""
        check_limit(limit)
        return await self._read(list_jobs, query, cursor, limit)

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

    async def _write(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        self._check_usable()
        home = self._home
        return await self._writer.perform(
            lambda connection, unwanted: atomic.write(
                home, connection, unwanted, lambda tx: operation(tx, *args, **kwargs)
            )
        )

    async def _write_unless(
        self,
        look: Callable[[Transaction], _A | None],
        operation: Callable[Concatenate[Transaction, _P], _A],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _A:
        """As `_write`, unless a look finds that there is nothing to write, and what to answer."""
        self._check_usable()
        home = self._home
        return await self._writer.perform(
            lambda connection, unwanted: atomic.write(
                home, connection, unwanted, lambda tx: operation(tx, *args, **kwargs), look
            )
        )

    async def _read(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        self._check_usable()
        home = self._home
        return await self._reader.perform(
            lambda connection, unwanted: atomic.read(
                home, connection, unwanted, lambda tx: operation(tx, *args, **kwargs)
            )
        )

    def _check_usable(self) -> None:
        self._home.check_process()
        if not self._open:
            raise Unavailable(f"This storage ({self.url}) is closed; open it again.")


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
