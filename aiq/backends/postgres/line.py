"""A connection to the server and its thread, in which whole steps run.

A step decides between its statements, so somebody has to wait for each of them. Here that is a thread with a loop of
its own: no await lies in between on the side of the caller, hence no cancellation finds a transaction open, and a loop
that a handler blocks does not keep one open either.
"""

import asyncio
import atexit
import logging
import queue
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import Any, Final, Self, TypeAlias, TypeVar

import asyncpg
from asyncpg.exceptions import ClientConfigurationError

from aiq.backends.postgres.address import Address
from aiq.backends.postgres.beginning import session
from aiq.backends.postgres.durable import flushing
from aiq.backends.postgres.errors import DRIVERS, LOST
from aiq.backends.postgres.notice import Notice
from aiq.backends.postgres.session import Session
from aiq.backends.relational.errand import Errand, outcome
from aiq.errors import Misconfigured, Unavailable

T = TypeVar("T")

_log = logging.getLogger("aiq.postgres")

Work: TypeAlias = Callable[["Line", Callable[[], bool]], T]
"""What is done in the thread. The second argument tells whether anybody still waits for it."""

NOTICE_S: Final = 0.01
"""How often a busy line tells others at most that there is something new: what happens meanwhile is told at once."""
QUIET_S: Final = 0.002
"""A line of which nothing is asked for so long is not busy."""
_EXIT_PATIENCE_S: Final = 2.0
_STATEMENTS: Final = 1_024
"""More than there are, so that each is prepared once for a connection."""


async def connect(address: Address, dsn: str, timeout_s: float) -> "asyncpg.Connection[asyncpg.Record]":
    """Open a connection, with all that belongs to it. Behind a pooler no statement may outlive its transaction.

    Raises:
        Misconfigured: the driver cannot read the address, or a pooler stands there and the address does not say which.
    """
    until = time.monotonic() + timeout_s
    settings: dict[str, str] = {} if address.pooled else {"application_name": "aiq"}
    try:
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
            dsn,
            timeout=timeout_s,
            statement_cache_size=0 if address.pooled else _STATEMENTS,
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=0,
            server_settings=settings or None,
        )
    except ssl.SSLError as error:
        raise Misconfigured(f"{address.url} cannot be trusted, or speaks no TLS ({error}). See sslmode.") from error
    except OSError:
        raise
    except ClientConfigurationError as error:
        raise Misconfigured(f"The driver cannot make sense of {address.url} ({error}).") from error
    except ValueError:
        # What it has taken for a port may be half of a password.
        raise Misconfigured(
            "The address of a Postgres storage has a port that is no number. In a password write / as %2F, ? as %3F, "
            "@ as %40."
        ) from None
    with ExitStack() as undo:
        undo.callback(connection.terminate)
        if address.pooled is None:
            await _check_direct(connection, address, _left(until))
        if not address.pooled:
            await connection.execute(session(address), timeout=_left(until))
        undo.pop_all()
    return connection


def _left(until: float) -> float:
    return max(0.001, until - time.monotonic())


async def _check_direct(connection: "asyncpg.Connection[asyncpg.Record]", address: Address, timeout_s: float) -> None:
    """Refuse a pooler that is not expected. It lets in with a number of its own, because many share a process.

    Prepared statements cannot be tried behind one: another client's may bear the same name.
    """
    query = f"SELECT 1 WHERE pg_backend_pid() = {connection.get_server_pid()}"
    if await connection.execute(query, timeout=timeout_s) != "SELECT 1":
        raise Misconfigured(
            f"A pooler stands before {address.url}. Add pooled=true to the address, or, if the pooler leaves each "
            "client the same connection for as long as it stays (session mode), pooled=false."
        )


class Line:
    """Runs functions in its own thread, one after the other, on a connection that is made when it is first needed."""

    def __init__(self, address: Address, notice: Notice) -> None:
        self.address = address
        self._notice = notice
        self._errands: queue.SimpleQueue[tuple[asyncio.Future[Any], Errand[Any]] | None] = queue.SimpleQueue()
        self._session: Session | None = None
        self._loop = asyncio.new_event_loop()
        self._told_at = 0.0
        self._owes_notice = False
        self._is_silent = False
        """Whether it could not notify, and has said so."""
        self._ending = False
        self._thread = threading.Thread(target=self._serve, name="aiq-postgres", daemon=True)
        self._thread.start()
        _ALIVE.add(self)

    @classmethod
    async def open(cls, address: Address, notice: Notice, prepare: Work[None]) -> Self:
        """Begin a thread, and let it do a first thing; where that fails, the thread has ended."""
        async with AsyncExitStack() as undo:
            line = cls(address, notice)
            undo.push_async_callback(line.close)
            await line.perform(prepare)
            undo.pop_all()
        return line

    async def perform(self, work: Work[T]) -> T:
        """Run `work` in the thread and answer what it returns or raises. How it is cancelled: see `errand.outcome`."""
        if self._ending or not self._thread.is_alive():
            raise Unavailable(f"This storage ({self.address.url}) is closed; open it again.")
        errand: Errand[T] = Errand(lambda unwanted: work(self, unwanted))
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._errands.put((future, errand))
        return await outcome(future, errand)

    async def close(self) -> None:
        """Let what was asked for be done, and end."""
        self._ending = True
        self._errands.put(None)
        await asyncio.to_thread(self._thread.join)

    def abandon(self) -> None:
        """Let the work that is under way fail at its next statement, if not in this one: nobody wants it any more."""
        self._loop.call_soon_threadsafe(self.drop)

    def drain(self, patience_s: float) -> None:
        """The same for a program that ends without closing."""
        self._ending = True
        self._errands.put(None)
        self._thread.join(patience_s)

    # -- In the thread

    def session(self, until: float) -> Session:
        """The connection, made where there is none. The step must be over by then."""
        if self._session is None or self._session.connection.is_closed():
            self._session = self._connect(until)
        self._session.until = until
        return self._session

    def _connect(self, until: float) -> Session:
        connection = self._loop.run_until_complete(connect(self.address, self.address.dsn, _left(until)))
        with ExitStack() as undo:
            undo.callback(connection.terminate)
            session = Session(self._loop, connection, pooled=bool(self.address.pooled))
            session.until = until
            session.release_early(flushing(self.address))
            undo.pop_all()
        return session

    def drop(self) -> None:
        """Let go of a connection on which nothing can be relied any more."""
        session, self._session = self._session, None
        if session is not None:
            session.connection.terminate()

    def owe_notice(self, topics: Collection[str], changes: range) -> None:
        """Something was committed that others wait for: they are told once its own caller knows."""
        self._notice.add(topics, changes)
        self._owes_notice = True

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            while (item := self._next()) is not None:
                _do(*item)
                # Nothing of a step is kept until the next one comes.
                del item
            self._end()
        finally:
            self._loop.close()

    def _next(self) -> "tuple[asyncio.Future[Any], Errand[Any]] | None":
        if self._owes_notice:
            rest_s = min(QUIET_S, self._told_at + NOTICE_S - time.monotonic())
            with suppress(queue.Empty):
                if rest_s > 0:
                    return self._errands.get(timeout=rest_s)
            self._tell()
        return self._errands.get()

    def _tell(self) -> None:
        """Notify whoever listens. It is a hint: where it is lost, they look a little later."""
        self._owes_notice, self._told_at = False, time.monotonic()
        told = {"channel": self._notice.channel, "notice": self._notice.take()}
        session = self._session
        if session is None or session.connection.is_closed():
            return
        session.until = self._told_at + self.address.timeout_ms / 1_000
        try:
            session.rows("watch.tell", told)
        except asyncpg.PostgresError as error:
            if isinstance(error, LOST):
                self.drop()
            else:
                self._tell_of_silence(error)
        except Exception:  # noqa: BLE001 - a hint that is lost must not end the thread
            self.drop()
        else:
            self._tell_of_speech()

    def _tell_of_silence(self, error: asyncpg.PostgresError) -> None:
        """The server will not notify, and the connection is as it was. Say it once: it is tried after each step."""
        if not self._is_silent:
            _log.warning(
                "%s notifies nobody (%s): other processes see what is new when they look.", self.address.url, error
            )
        self._is_silent = True

    def _tell_of_speech(self) -> None:
        if self._is_silent:
            self._is_silent = False
            _log.warning("%s notifies again.", self.address.url)

    def _end(self) -> None:
        if self._owes_notice:
            self._tell()
        session, self._session = self._session, None
        if session is not None:
            try:
                session.do(session.connection.close(timeout=1.0))
            except DRIVERS:
                session.connection.terminate()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())


def _do(future: "asyncio.Future[T]", errand: Errand[T]) -> None:
    loop = future.get_loop()
    try:
        answer = errand()
    except BaseException as error:  # noqa: BLE001 - it goes to whoever sent the errand
        _deliver(loop, future, None, error)
    else:
        _deliver(loop, future, answer, None)


def _deliver(
    loop: asyncio.AbstractEventLoop, future: "asyncio.Future[Any]", answer: Any, error: BaseException | None
) -> None:
    def put() -> None:
        if future.done():
            return
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(error)

    try:
        loop.call_soon_threadsafe(put)
    except RuntimeError:
        # The loop of the caller has been closed under him: nobody waits.
        return


_ALIVE: Final[weakref.WeakSet[Line]] = weakref.WeakSet()


@atexit.register
def _finish_at_exit() -> None:
    for line in list(_ALIVE):
        line.drain(_EXIT_PATIENCE_S)
