"""Wake-ups across processes: a notification says that something is new, and what, or a look finds that out.

Notifications are hints. They are sent after the commit, by a statement of its own (a notification within a transaction
makes all commits of a server wait for each other), and one that is lost, or never heard because a pooler stands in
between, costs one interval between looks.
"""

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import asyncpg
import msgspec

from aiq.backends.postgres.atomic import Home
from aiq.backends.postgres.beginning import opening
from aiq.backends.postgres.errors import DRIVERS, LOST
from aiq.backends.postgres.line import connect
from aiq.backends.postgres.notice import Heard, number, read
from aiq.backends.postgres.sql import TEXTS
from aiq.backends.relational.connection import Row
from aiq.backends.relational.news import MANY, Found
from aiq.errors import Misconfigured

_log = logging.getLogger("aiq.postgres")

LOOK_S: Final = 0.5
"""How often is looked while nothing can be heard."""
HEARING_LOOK_S: Final = 3.0
"""The same while notifications are heard: for those that were lost, and for jobs that were left without one."""
TEST_S: Final = 30.0
"""How often a listener sends itself a word, to find out that nothing can be heard any more: no error says so."""
TEST_PATIENCE_S: Final = 5.0
REST_S: Final = 0.005
"""A pause after each look, so that a storm of notifications is heard in gusts."""
GAP_S: Final = 0.03
"""How long a change is awaited of which a later one was heard before it is looked for: lines tell of theirs up to 10 ms
late."""
ATTENDED_S: Final = 0.25
"""How long is looked while nobody waits any more: who waits now and then finds nothing old when he comes."""
FIRST_MS: Final = 1_000
"""How long a first mark waits for the first look at most: a mark without one is told of anything that comes later."""
IDLE_S: Final = 30.0
"""How long the connection is kept while nobody waits."""
_TEST: Final = "test "
"""What that word begins with: all who listen hear it, and it says nothing to the others."""
_AGAIN_S: Final = (0.05, 2.0)
"""The first and the longest pause before a broken connection is made again."""

_rows: Final = msgspec.json.Decoder(list[Row]).decode

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Watches:
    """What one storage hears, in whatever loops somebody waits. A connection of the driver belongs to one loop."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._watches: dict[asyncio.AbstractEventLoop, Watch] = {}
        self._lock = threading.Lock()

    @property
    def hears(self) -> bool:
        """Whether notifications come through in any of them, as far as is known."""
        return any(watch.hears for watch in self._open().values())

    async def wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        """As `aiq.storage.Wakeups.wait`. What was committed before a first mark was given is known to it."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if loop not in self._watches:
                # Those of loops that have been closed have ended with them.
                self._watches = {**self._open(), loop: Watch(self._home)}
            watch = self._watches[loop]
        return await watch.wait(topics, after=after, timeout_ms=timeout_ms)

    async def close(self) -> None:
        """Stop looking."""
        for loop, watch in self._open().items():
            if loop is asyncio.get_running_loop():
                await watch.close()
            else:
                with contextlib.suppress(RuntimeError):
                    # Unless it has been closed just now.
                    loop.call_soon_threadsafe(watch.end)

    def _open(self) -> "dict[asyncio.AbstractEventLoop, Watch]":
        return {loop: watch for loop, watch in self._watches.items() if not loop.is_closed()}


class Watch:
    """What is heard in one loop. It looks while somebody waits, and for a while afterwards."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._waiting = 0
        self._last_waited = 0.0
        self._came = asyncio.Event()
        self._rests = False
        """Whether nobody waits, and so nothing is taken note of."""
        self._begun = asyncio.Event()
        self._heard = asyncio.Event()
        self._gap: asyncio.TimerHandle | None = None
        self._word = ""
        self._answered = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._pause_s = _AGAIN_S[0]
        self._is_lost = False
        """Whether it could not look, and has said so."""
        self._is_deaf = False
        """Whether the server would not have it listen, and it has said so."""
        self.hears = False
        """Whether notifications come through, as far as is known."""

    async def wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        """See `Watches.wait`."""
        if self._task is None or self._task.done():
            self._begun.clear()
            self._task = asyncio.create_task(self._listen(), name="aiq-postgres-watch")
        if after is not None:
            self._home.news.check_here()
        self._waiting += 1
        self._came.set()
        try:
            if not self._begun.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(self._home.address.timeout_ms, timeout_ms or FIRST_MS) / 1_000):
                        await self._begun.wait()
            keys = [*map(number, topics)]
            mark = await self._home.news.wakeups.wait(keys, after=after, timeout_ms=timeout_ms)
        finally:
            self._waiting -= 1
            self._last_waited = asyncio.get_running_loop().time()
        if after is not None:
            self._home.news.check_here()
        return mark

    async def close(self) -> None:
        """Stop looking."""
        self.end()
        if self._task is not None:
            await asyncio.wait([self._task])

    def end(self) -> None:
        """The same for whoever cannot wait for it."""
        if self._task is not None:
            self._task.cancel()

    async def _listen(self) -> None:
        while True:
            try:
                async with _connected(self._home) as connection:
                    await self._follow(connection)
                # Whoever came while it ended is looked after; from here to the end of the task nothing is awaited.
                if not self._waiting:
                    return
                continue
            except (*DRIVERS, Misconfigured) as error:
                self._tell_of_loss(error)
            finally:
                self.hears = False
            # What was changed meanwhile is found by the first look; until then everybody may look for himself.
            self._begun.set()
            self._home.news.wakeups.notify_all()
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(self._pause_s * 2, _AGAIN_S[1])

    def _tell_of_loss(self, error: BaseException) -> None:
        """Say it once: a server may be away for a day, and every worker tries again every two seconds."""
        level = logging.DEBUG if self._is_lost else logging.WARNING
        url = self._home.address.url
        _log.log(level, "%s cannot be watched (%s): it is looked at anew until it can be again.", url, error)
        self._is_lost = True

    def _tell_of_recovery(self) -> None:
        self._pause_s = _AGAIN_S[0]
        if self._is_lost:
            self._is_lost = False
            _log.warning("%s is watched again.", self._home.address.url)

    async def _follow(self, connection: Connection) -> None:
        """Look whenever something is heard, and now and then, until nobody has waited for a while."""
        loop = asyncio.get_running_loop()
        can_listen = not self._home.address.pooled or self._home.address.listen
        if can_listen:
            await self._tune_in(connection)
        last_tested = loop.time()
        while True:
            await self._look(connection)
            self._tell_of_recovery()
            self._begun.set()
            await asyncio.sleep(REST_S)
            if not await self._is_attended():
                return
            if can_listen and loop.time() - last_tested > TEST_S:
                last_tested = loop.time()
                await (self._test(connection) if self.hears else self._tune_in(connection))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARING_LOOK_S if self.hears else LOOK_S):
                    await self._heard.wait()

    async def _is_attended(self) -> bool:
        """Whether somebody waits, or has just now. Else rest until somebody comes; False if nobody does for long."""
        loop = asyncio.get_running_loop()
        if self._waiting or loop.time() - self._last_waited < ATTENDED_S:
            return True
        self._came.clear()
        self._rests = True
        try:
            async with asyncio.timeout(IDLE_S):
                await self._came.wait()
        except TimeoutError:
            return False
        finally:
            self._rests = False
        # What has happened meanwhile is looked for at once.
        self._heard.set()
        return True

    async def _tune_in(self, connection: Connection) -> None:
        """Listen. Where not even our own word comes back, as behind a pooler that nobody told of, looks come often."""
        try:
            async with asyncio.timeout(TEST_PATIENCE_S):
                await connection.add_listener(self._home.channel, self._hear)
            connection.add_termination_listener(self._end_hearing)
            await self._send_word(connection)
        except asyncpg.PostgresError as error:
            if isinstance(error, LOST):
                raise
            self._tell_of_deafness(error)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self._answered.wait()

    def _end_hearing(self, _connection: Any) -> None:
        self._heard.set()

    def _tell_of_deafness(self, error: asyncpg.PostgresError) -> None:
        """A server may refuse notifications, as a standby does, and can be looked at all the same. Say it once."""
        if not self._is_deaf:
            url = self._home.address.url
            _log.warning("Notifications of %s cannot be heard (%s): it is looked at every %s s.", url, error, LOOK_S)
        self._is_deaf = True

    async def _look(self, connection: Connection) -> None:
        self._heard.clear()
        news, timeout_s = self._home.news, self._home.address.timeout_ms / 1_000
        async with asyncio.timeout(min(timeout_s, TEST_S)):
            if self._home.address.pooled and not self._home.address.listen:
                await connection.execute(opening(self._home.address, "READ COMMITTED, READ ONLY"))
            seen = news.seen
            found = await connection.fetchrow(TEXTS["watch.news"].text, seen, MANY)
            last, moved_to, left, rows = found or (0, None, False, None)
            if connection.is_in_transaction():
                await connection.execute("COMMIT")
        if last != seen or moved_to != news.moved_to or left:
            named = [] if rows is None else _rows(rows)
            news.take(Found(seen, last, moved_to, named, left))

    async def _test(self, connection: Connection) -> None:
        """Send a word to ourselves. Where it does not come back, the connection is made anew."""
        async with asyncio.timeout(TEST_PATIENCE_S):
            await self._send_word(connection)
            await self._answered.wait()

    async def _send_word(self, connection: Connection) -> None:
        self._word = _TEST + secrets.token_hex(8)
        self._answered.clear()
        async with asyncio.timeout(TEST_PATIENCE_S):
            await connection.execute("SELECT pg_notify($1, $2)", self._home.channel, self._word)

    def _hear(self, _connection: Any, _pid: int, _channel: str, said: object) -> None:
        if said == self._word:
            if self._is_deaf:
                self._is_deaf = False
                _log.warning("Notifications of %s are heard again.", self._home.address.url)
            self.hears = True
            self._answered.set()
        elif not str(said).startswith(_TEST):
            notice = read(str(said))
            if notice.word != self._home.word and not self._rests:
                self._take(notice)

    def _take(self, notice: Heard) -> None:
        """Note what others have done. Where it is not said, it is looked for at once, and after a while where something
        is missing."""
        if not notice.changes:
            self._heard.set()
            return
        self._home.news.hear(notice.topics, notice.changes)
        self._await_missing()

    def _await_missing(self) -> None:
        lacks = self._home.news.lacks
        if lacks is not None and self._gap is None:
            self._gap = asyncio.get_running_loop().call_later(GAP_S, self._miss, lacks)

    def _miss(self, lacked: int) -> None:
        self._gap = None
        if self._home.news.lacks == lacked:
            self._heard.set()
        else:
            self._await_missing()


@asynccontextmanager
async def _connected(home: Home) -> AsyncIterator[Connection]:
    """A connection of the loop's own, on which can be listened. The schema is the session's, unless it is pooled."""
    address = home.address
    async with asyncio.timeout(address.timeout_ms / 1_000):
        connection = await connect(address, address.listen or address.dsn, address.timeout_ms / 1_000)
    try:
        if not address.pooled or address.listen:
            settings = "SET enable_seqscan TO off; SET jit TO off"
            await connection.execute(f'SET search_path TO "{address.schema}"; {settings}', timeout=TEST_PATIENCE_S)
        yield connection
    finally:
        # Whatever ends it, a cancellation too, must not be hidden by a server that says no good-bye.
        connection.terminate()
