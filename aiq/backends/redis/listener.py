"""Wake-ups from a Redis server: a stream that every step writes its topics to, and one reader for each storage.

The reader feeds the hub of this storage. It reads while somebody waits, and not otherwise: a busy worker does not wait,
and then pays nothing. What was written meanwhile is read first when it reads again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from typing import Any, Final

import msgspec
from redis.asyncio.connection import AbstractConnection

from aiq.backends.redis.client import Client
from aiq.backends.redis.connecting import exchange
from aiq.backends.wakeups import Wakeups
from aiq.errors import StorageError
from aiq.storage import job_topic

_log = logging.getLogger("aiq.redis")

KEPT: Final = 256
"""How many entries the stream keeps at least (lua/_wakeups.lua). Who reads as many at once may have missed some."""
EVERYTHING: Final = "*"
"""The topic of a step after which nothing is as it was."""
_BLOCK_MS: Final = 5_000
"""How long the server holds a read that finds nothing. It bounds how long a connection can be dead unnoticed."""
_REST_S: Final = 0.001
"""A pause after each read, so that a storm of steps is heard in gusts, and costs at most a thousand reads a second."""
_IDLE_S: Final = 30.0
"""How long the connection is kept while nobody waits."""
_AGAIN_S: Final = (0.05, 2.0)
"""The first and the longest pause before a broken connection is made again."""
_BRIEF_BYTES: Final = 17
"""How many bytes a short id takes, behind the first of which the digits stand (lua/_briefs.lua)."""
_SHAPE: Final = [b"topics", b"briefs"]
"""What an entry has."""
_topics: Final = msgspec.msgpack.Decoder(list[str]).decode

_Entry = tuple[bytes, Sequence[bytes]]


class Listener:
    """What one storage hears. `moved` looks where the namespace has moved to, if it has."""

    def __init__(self, client: Client, key: str, moved: Callable[[], Awaitable[str | None]]) -> None:
        self._client = client
        self._key = key
        self._look = moved
        self._hub = Wakeups()
        self._last: tuple[int, int] | None = None
        self._begun = False
        self._waiting = 0
        self._wanted = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self.moved_to: str | None = None

    async def wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        """See `aiq.storage.Wakeups`."""
        if after is None or not self._begun:
            await self.catch_up()
        if after is None:
            return await self._hub.wait(topics, after=None, timeout_ms=0)
        self._waiting += 1
        self._read_on()
        try:
            return await self._hub.wait(topics, after=after, timeout_ms=timeout_ms)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Stop reading, and end every wait."""
        self._hub.notify_all()
        if self._reading is not None and not self._reading.done():
            self._reading.cancel()
            await asyncio.wait({self._reading})

    async def catch_up(self) -> None:
        """Hear of all that has happened until now, so that a mark that is taken now stands behind it."""
        if self._last is None:
            await self._begin()
        else:
            await self._hear(await self._client.ask(*self._command()))

    async def _begin(self) -> None:
        """Find the end of the stream. What was written before is not told apart: anything may have changed."""
        newest = await self._client.ask("XREVRANGE", self._key, "+", "-", "COUNT", 1)
        last = _number(newest[0][0]) if newest else (0, 0)
        await self._anything()
        self._last, self._begun = last, True

    async def _anything(self) -> None:
        self.moved_to = await self._look()
        self._hub.notify_all()

    def _read_on(self) -> None:
        self._wanted.set()
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        """Read while somebody waits, through whatever happens to the connection."""
        pause_s = _AGAIN_S[0]
        while await self._is_wanted():
            try:
                async with self._client.own() as connection:
                    while await self._is_wanted():
                        await self._hear_next(connection)
                        pause_s = _AGAIN_S[0]
            except StorageError as error:
                _log.debug("Wake-ups are not heard just now, and jobs are found by polling: %s", error)
                self._last = None
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _AGAIN_S[1])

    async def _is_wanted(self) -> bool:
        """Whether somebody waits, or does soon: a busy worker waits now and then, and keeps its connection."""
        if self._waiting:
            return True
        self._wanted.clear()
        try:
            async with asyncio.timeout(_IDLE_S):
                await self._wanted.wait()
        except TimeoutError:
            # Whoever came in this turn of the loop has found the reader still at work.
            return self._waiting > 0
        return True

    async def _hear_next(self, connection: AbstractConnection) -> None:
        if self._last is None:
            await self._begin()
        async with asyncio.timeout((_BLOCK_MS + self._client.address.timeout_ms) / 1000):
            found = await exchange(connection, *self._command("BLOCK", _BLOCK_MS))
        await self._hear(found)
        await asyncio.sleep(_REST_S)

    def _command(self, *options: str | int) -> tuple[str | int, ...]:
        assert self._last is not None
        return ("XREAD", "COUNT", KEPT, *options, "STREAMS", self._key, "{}-{}".format(*self._last))

    async def _hear(self, found: Any) -> None:  # Any: [[key, entries]], or nothing
        """Tell the hub of the entries that it has not been told of."""
        entries: Sequence[_Entry] = found[0][1] if found else ()
        last = self._last or (0, 0)
        fresh = [(_number(name), words) for name, words in entries if _number(name) > last]
        if not fresh:
            return
        topics = {topic for _, words in fresh for topic in _woken(words)}
        if len(entries) >= KEPT or EVERYTHING in topics:
            # As many as the stream keeps: some before them may be gone already.
            await self._anything()
        else:
            self._hub.notify(topics)
        # Only now: whoever is interrupted before this hears it again, and nobody is left untold. None is left as it is,
        # for what was missed while the connection was broken.
        self._last = self._last and max(self._last, fresh[-1][0])


def _woken(words: Sequence[bytes]) -> Iterator[str]:
    """The topics of an entry. See lua/_wakeups.lua. Of one of another shape it is not known what it wakes."""
    if words[::2] != _SHAPE:
        yield EVERYTHING
        return
    topics, briefs = words[1::2]
    yield from _topics(topics)
    ends = range(_BRIEF_BYTES, len(briefs) + 1, _BRIEF_BYTES)
    yield from (job_topic(briefs[end - _BRIEF_BYTES + 1 : end].hex()) for end in ends)


def _number(name: bytes) -> tuple[int, int]:
    ms, _, sequence = name.partition(b"-")
    return int(ms), int(sequence)
