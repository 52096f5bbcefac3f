"""The way to the server: a bounded pool of connections, one deadline for each operation, and nothing done twice.

A command is sent once. It is sent again only where the server has said that it did nothing: it did not know the script,
or does not hold the slot. Whoever repeats a call after `Unavailable` does it with the same ids.
"""

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import MovedError, NoScriptError, ReadOnlyError, ResponseError

from aiq.backends.redis.address import Address, Kind, Place
from aiq.backends.redis.connecting import connected, exchange, fresh, let_go
from aiq.backends.redis.errors import CUT_OFF, ELSEWHERE, FAILURES, NOT_YET, ours
from aiq.backends.redis.places import Places, places, share_s
from aiq.backends.redis.scripts import composed
from aiq.errors import Misconfigured, Unavailable

_T = TypeVar("_T")
_Work: TypeAlias = Callable[[AbstractConnection], Awaitable[_T]]

GRACE_S: Final = 2.0
"""How long a cancelled operation may take to end in order. After that its connection is closed under it."""
_AGAIN_S: Final = 0.05
"""How long to wait before servers are asked again that do not agree, or hold a slot only in part."""

_MARK: Final = "#!lua flags=allow-oom\nredis.call('HSET', KEYS[1], 'asked', 1)"


@dataclass(slots=True)
class _Progress:
    """How far an operation has come, for whoever must tell that it failed."""

    place: Place | None = None
    sent: bool = False
    turned_away: str = ""


class Client:
    """The connections of one storage, in one event loop."""

    def __init__(self, address: Address, known: Places | None = None) -> None:
        self.address = address
        self._places = known or places(address)
        self._free: list[tuple[Place, AbstractConnection]] = []
        self._room = asyncio.Semaphore(address.connections)
        self._under_way: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """The address without its passwords."""
        return self.address.url

    def sibling(self) -> "Client":
        """A client for another event loop, which knows already where the servers are and which of them keep silent."""
        return Client(self.address, copy.deepcopy(self._places))

    async def run(self, name: str, prefix: str, arguments: Sequence[bytes]) -> Sequence[bytes]:
        """Run the script of an operation.

        Cancelled, it has happened wholly or not at all by the time the cancellation goes on, if the server answers
        within two seconds.

        Raises:
            StorageError: what kept Redis from answering.
        Spec: STORE-3, STORE-12
        """
        return await self._wholly(self._evaluated(name, prefix, arguments))

    async def _evaluated(self, name: str, prefix: str, arguments: Sequence[bytes]) -> Sequence[bytes]:
        async def evaluated(connection: AbstractConnection) -> Sequence[bytes]:
            wanted = await composed(name)  # It is there by now.
            found: Sequence[bytes]
            try:
                found = await exchange(connection, "EVALSHA", wanted.sha, 1, prefix, *arguments)
            except NoScriptError:
                # Not SCRIPT LOAD and EVALSHA: somebody may flush the scripts between the two.
                found = await exchange(connection, "EVAL", wanted.text, 1, prefix, *arguments)
            if self.address.replicas and wanted.writes:
                await self._spread(connection, prefix)
            return found

        return await self._asked(evaluated, script=name)

    async def _spread(self, connection: AbstractConnection, prefix: str) -> None:
        """Wait until as many replicas have what was written as the address asks for."""
        wanted, patience_ms = self.address.replicas, self.address.timeout_ms // 2
        try:
            # What a repeat finds written was perhaps written by another connection, and newer servers let each wait for
            # its own writes alone. As a script, since a full server takes no write but those.
            await exchange(connection, "EVAL", _MARK, 1, f"{prefix}:spread")
            reached: int = await exchange(connection, "WAIT", wanted, patience_ms)
        except ResponseError as error:
            told = f"{self.url} has what was written, and does not say who else ({error}). Try again."
            raise Unavailable(told, outcome_unknown=True) from error
        if reached < wanted:
            told = f"{reached} of {wanted} replicas of {self.url} have what was written. Try again."
            raise Unavailable(told, outcome_unknown=True)

    async def ask(self, *command: bytes | str | int) -> Any:  # Any: what Redis answers
        """Send one command of Redis itself."""

        async def answered(connection: AbstractConnection) -> Any:
            return await exchange(connection, *command)

        return await self._wholly(self._asked(answered))

    @asynccontextmanager
    async def own(self) -> AsyncIterator[AbstractConnection]:
        """A connection besides the pool, closed in the end.

        Raises:
            StorageError: what happened to it.
        """
        progress = _Progress()
        try:
            async with asyncio.timeout(self.address.timeout_ms / 1000):
                progress.place = await self._places.find()
                connection = await self._connected(progress.place)
            try:
                yield connection
            finally:
                await let_go(connection)
        except FAILURES as error:
            await self._learn(error, progress)
            raise ours(error, self.url, sent=False) from error

    async def close(self) -> None:
        """Let go of the connections once what was asked for is done."""
        if self._under_way:
            await asyncio.wait(tuple(self._under_way))
        await self._drop()

    async def _wholly(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do something to its end, even if the caller is cancelled meanwhile."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        step = asyncio.create_task(_telling(work, ended))
        self._under_way.add(step)

        def over(step: asyncio.Task[_T]) -> None:
            # One that was cancelled before its first turn has told nothing, nor begun its work.
            self._under_way.discard(step)
            work.close()
            _tell(ended)

        step.add_done_callback(over)
        try:
            await ended
        except asyncio.CancelledError:
            await _end(step)
            raise
        return step.result()

    async def _asked(self, work: _Work[_T], script: str = "") -> _T:
        """Do something with a connection before the deadline, once the script is there that it takes."""
        progress = _Progress()
        try:
            async with asyncio.timeout(self.address.timeout_ms / 1000):
                if script:
                    await composed(script)
                return await self._followed(work, progress)
        except TimeoutError as error:
            await self._learn(error, progress)
            why = f": {progress.turned_away}" if progress.turned_away else ""
            told = f"{self.url} did not answer within {self.address.timeout_ms / 1000:g} s{why}. Try again."
            raise Unavailable(told, outcome_unknown=progress.sent) from error
        except FAILURES as error:
            raise ours(error, self.url, sent=progress.sent) from error

    async def _followed(self, work: _Work[_T], progress: _Progress) -> _T:
        """Ask the server that holds the namespace, wherever the servers send us. What they turn away is not done."""
        while True:
            try:
                async with self._taken(progress) as connection:
                    progress.sent = True
                    return await work(connection)
            except Unavailable:
                # It has no replicas left that could take over, or another one has: the sentinels know.
                self._doubt(progress.place)
                raise
            except FAILURES as error:
                if not await self._learn(error, progress):
                    raise
                first, progress.turned_away, progress.sent = not progress.turned_away, str(error), False
                await asyncio.sleep(0 if first and isinstance(error, MovedError) else _AGAIN_S)

    @asynccontextmanager
    async def _taken(self, progress: _Progress) -> AsyncIterator[AbstractConnection]:
        """A connection of the pool. One that was interrupted is closed, and does not come back."""
        async with self._room:
            place = progress.place = await self._places.find()
            connection = await self._idle(place)
            if connection is None:
                # Those that were found closed may have told that it is another server by now.
                place = progress.place = await self._places.find()
                connection = await self._connected(place)
            try:
                yield connection
            finally:
                if connection.is_connected:
                    self._free.append((place, connection))

    async def _connected(self, place: Place) -> AbstractConnection:
        """Connect to a server. A node of a cluster must answer in its share of the time, and hold the namespace."""
        if self.address.kind is not Kind.CLUSTER:
            return await connected(self.address, place)
        async with asyncio.timeout(share_s(self.address)), AsyncExitStack() as failing:
            connection = await connected(self.address, place)
            failing.push_async_callback(let_go, connection)
            await exchange(connection, "EXISTS", self.address.prefix)
            failing.pop_all()
        return connection

    async def _idle(self, place: Place) -> AbstractConnection | None:
        while self._free:
            where, connection = self._free.pop()
            if where == place and await fresh(connection):
                return connection
            await let_go(connection)
            self._places.closed(where)
        return None

    async def _learn(self, error: Exception, progress: _Progress) -> bool:
        """Note what a failure tells of the servers, and whether another one, or the same one later, is to be asked."""
        place = progress.place
        if place is None:
            return False
        if isinstance(error, MovedError):  # which is an AskError, too
            self._places.moved(Place(error.host or place.host, error.port))
            return self.address.kind is Kind.CLUSTER
        if isinstance(error, NOT_YET):
            return self.address.kind is Kind.CLUSTER
        if isinstance(error, ResponseError) and not isinstance(error, ELSEWHERE):
            if str(error).startswith(CUT_OFF):
                self._doubt(place)
            return False
        self._places.lost(place)
        await self._drop()
        if isinstance(ours(error, self.url, sent=False), Misconfigured):
            return False  # It is the address that must change: a wrong password stays one until the deadline.
        return self.address.kind in _SEVERAL and (isinstance(error, ReadOnlyError) or not progress.sent)

    def _doubt(self, place: Place | None) -> None:
        """Ask the sentinels before the next operation whether this is the primary still."""
        if place is not None and self.address.kind is Kind.SENTINEL:
            self._places.lost(place)

    async def _drop(self) -> None:
        while self._free:
            await let_go(self._free.pop()[1])


_SEVERAL: Final = (Kind.SENTINEL, Kind.CLUSTER)


async def _telling(work: Coroutine[Any, Any, _T], ended: asyncio.Future[None]) -> _T:
    """Do something, and tell that it is over in the same turn of the loop; `asyncio.wait` would take one more."""
    try:
        return await work
    finally:
        _tell(ended)


def _tell(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


async def _end(step: asyncio.Task[Any]) -> None:
    """Wait until a step has ended, for a while by itself and then by force, however often the caller is cancelled."""
    loop = asyncio.get_running_loop()
    until = loop.time() + GRACE_S
    while not step.done():
        left_s = until - loop.time()
        if left_s <= 0:
            step.cancel()
        try:
            await asyncio.wait({step}, timeout=left_s if left_s > 0 else None)
        except asyncio.CancelledError:
            continue
    if not step.cancelled():
        step.exception()
