"""Where the intake sleeps when there is nothing to settle and nothing to claim."""

import asyncio
import logging
from collections.abc import Sequence
from random import Random
from typing import Final

from aiq.engine.tasks import Tasks
from aiq.errors import OUTAGES, Moved
from aiq.storage import Wakeups

_log = logging.getLogger("aiq.worker")

POLL_MS: Final = (4_000, 5_000)
"""An idle worker looks at the storage after a time drawn from this range, whatever wake-ups it gets: a lost one costs
no more than that (LIVE-3)."""
MIN_PAUSE_MS: Final = 20
"""When the storage has something to do that this worker cannot claim, it is not asked more often than this."""
SOON_MS: Final = 5
"""Nor is it asked sooner than this about what is not due yet: a pool behind a limit may open that soon, its head may
be urgent."""
LISTEN_MS: Final = 60_000


class Rest:
    """A sleep that ends by what happens here, by a wake-up of the storage, by the next due time, or by a poll.

    `look` says that the storage may have a job for us. Listening goes on over many short sleeps, so that a busy
    worker pays nothing for it.
    """

    def __init__(self, storage: Wakeups, topics: Sequence[str], *, tasks: Tasks, rng: Random) -> None:
        self._storage, self._topics = storage, topics
        self._tasks, self._rng = tasks, rng
        self.look = True
        self._woken = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._listening = False
        self._mark: str | None = None

    def wake(self) -> None:
        """End the sleep, or the next one at once."""
        self._woken.set()

    async def sleep(self) -> None:
        """Sleep until something happens here: there is no room for another job."""
        await self._woken.wait()
        self._woken.clear()

    async def sleep_and_listen(self, due_ms: int | None) -> None:
        """As `sleep`, and wake up as well when a job may be there; `due_ms` as an exchange answered it."""
        if not self._listening:
            self._listening = True
            self._tasks.start(self._listen())
        if self._timer is None:
            self._look_in(self._rng.randint(*POLL_MS))
        if due_ms is not None:
            self._look_in(max(due_ms, SOON_MS) if due_ms else MIN_PAUSE_MS)
        await self.sleep()

    def close(self) -> None:
        """Let go of the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _look_in(self, ms: int) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time() + ms / 1000
        if self._timer is None or at < self._timer.when():
            self.close()
            self._timer = loop.call_at(at, self._time_to_look)

    def _time_to_look(self) -> None:
        self._timer = None
        self._look()

    def _look(self) -> None:
        self.look = True
        self.wake()

    async def _listen(self) -> None:
        # From the last mark on: what changed while nobody listened ends this at once, so nothing is missed.
        try:
            self._mark = await self._storage.wait(self._topics, after=self._mark, timeout_ms=LISTEN_MS)
            self._look()
        except Moved:
            # Whoever looks now is told so, and the worker ends by it.
            self._look()
        except OUTAGES as error:
            _log.debug("Not listening for wake-ups until the next poll: %s", error)
        finally:
            self._listening = False
