"""The thread in which the keeper lives, with a loop and a storage connection of its own."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from random import Random
from typing import Final, TypeAlias

from aiq.engine.keeper import Keeper
from aiq.engine.leases import Held, Leases
from aiq.engine.presence import Census, Presence
from aiq.engine.timing import BootClock
from aiq.storage import Storage

_log = logging.getLogger("aiq.keeper")

STOP_PATIENCE_S: Final = 5.0

_Word: TypeAlias = "asyncio.Future[BaseException | None]"
"""What the thread tells its starter: None, or the error that ended it."""


class KeeperThread:
    """Starts the keeper beside the loop of the caller, and ends it with it.

    A daemon, so that a process whose loop has crashed can exit.
    """

    def __init__(self, storage: Storage, leases: Leases, clock: BootClock, rng: Random, census: Census) -> None:
        self._storage, self._leases, self._census = storage, leases, census
        self._clock, self._rng = clock, rng
        self._loop: asyncio.AbstractEventLoop | None = None
        self._keeper: Keeper | None = None
        self._ended: _Word | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False

    async def start(self) -> None:
        """Start the thread, and return when it has its own connection.

        Raises:
            StorageError: it could not get one.
        """
        home = asyncio.get_running_loop()
        started: _Word = home.create_future()
        self._ended = home.create_future()
        where = threading.get_ident()
        self._thread = threading.Thread(target=lambda: self._live(home, where, started), name="aiq-keeper", daemon=True)
        self._thread.start()
        try:
            await asyncio.wait({started})
        except asyncio.CancelledError:
            await self.stop()
            raise
        error = started.result()
        if error is not None:
            raise error

    def hold(self, batch: Iterable[Held]) -> None:
        """Keep these leases from now on."""
        held = list(batch)
        self._leases.add(held)
        keeper = self._keeper
        if keeper is not None and held and keeper.needs_waking(min(one.lease_ms for one in held)):
            self._call(keeper.wake)

    async def ended(self) -> None:
        """Wait until the thread has ended, for whatever reason."""
        if self._ended is not None:
            await asyncio.wait({self._ended})

    async def stop(self) -> None:
        """End the thread; leases still held are not renewed any more. Calling it twice is fine."""
        if self._ended is None:
            return
        self._stopping = True
        if self._keeper is not None:
            self._call(self._keeper.stop)
        done, _ = await asyncio.wait({self._ended}, timeout=STOP_PATIENCE_S)
        if done and self._thread is not None:
            # Its last word is said; what is left of it takes microseconds.
            self._thread.join(STOP_PATIENCE_S)
        else:
            _log.warning("The keeper's thread did not end within %.0f s; it ends with the process.", STOP_PATIENCE_S)

    def _call(self, method: Callable[[], None]) -> None:
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(method)
        except RuntimeError:
            _log.debug("The keeper's loop has ended already.")

    def _live(self, home: asyncio.AbstractEventLoop, where: int, started: _Word) -> None:
        try:
            asyncio.run(self._main(home, where, started))
        except Exception as error:  # noqa: BLE001 - a thread has no caller: it is told below
            _log.critical("The keeper has ended; leases are not renewed any more.", exc_info=error)
            _tell(home, started, error)
        finally:
            if self._ended is not None:
                _tell(home, self._ended, None)

    async def _main(self, home: asyncio.AbstractEventLoop, where: int, started: _Word) -> None:
        # Opened here and not by the starter: drivers are bound to the loop that opened them.
        storage = await self._storage.sibling()
        try:
            self._loop, post = asyncio.get_running_loop(), home.call_soon_threadsafe
            self._keeper = Keeper(storage, self._leases, post, clock=self._clock, rng=self._rng, thread=where)
            _tell(home, started, None)
            # Whoever stopped us before there was a keeper could not tell it.
            if not self._stopping:
                await self._keep(self._keeper, Presence(storage, self._census, post, clock=self._clock, rng=self._rng))
        finally:
            await storage.close()

    async def _keep(self, keeper: Keeper, presence: Presence) -> None:
        """Renew leases until told to stop, and tell of the worker beside it. No renewal waits for that."""
        beats = asyncio.create_task(presence.run())
        try:
            await keeper.run()
        finally:
            beats.cancel()
            await asyncio.wait({beats})
            if not beats.cancelled() and (error := beats.exception()) is not None:
                _log.error("This worker was not told of any more.", exc_info=error)


def _tell(home: asyncio.AbstractEventLoop, word: _Word, error: BaseException | None) -> None:
    """Set a future of another loop, unless it is set or that loop is gone."""
    try:
        home.call_soon_threadsafe(lambda: None if word.done() else word.set_result(error))
    except RuntimeError:
        _log.debug("The loop that started the keeper is closed.")
