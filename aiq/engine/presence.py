"""Tells the storage, every few seconds, that this worker is there: the beats of the register of workers.

They come from the keeper's thread, so that a worker whose loop is blocked is still seen, and seen to be blocked.
Nothing depends on them; one that fails is followed by the next.
"""

import asyncio
import logging
import os
import platform
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from random import Random
from typing import Final, TypeAlias

from aiq.bounds import MAX_LEVEL, MAX_NAME_CHARS
from aiq.engine.keeper import Post, Pulse
from aiq.engine.outage import Outage
from aiq.engine.timing import BootClock
from aiq.errors import StorageError
from aiq.model import Beat
from aiq.storage import Workers

_log = logging.getLogger("aiq.keeper")

Census: TypeAlias = Callable[[], Beat]
"""What there is to say of a worker, but for its age and its loop. Any thread may ask."""

BEAT_MS: Final = 10_000
"""Three of these fit into the silence after which a worker counts as gone."""
BLOCKED_MS: Final = 3_000
"""A loop that has not turned for so long is told to be blocked."""
PATIENCE_MS: Final = 5_000
LEAVE_S: Final = 2.0
"""How long the end of a worker may wait for its last word: a worker that was not heard is gone by its silence."""


@cache
def here() -> Beat:
    """What does not change while a process lives. The worker's name is still to be said."""
    try:
        ours = version("aiq")
    except PackageNotFoundError:
        # A checkout that is not installed has no number.
        ours = ""
    host = socket.gethostname()[:MAX_NAME_CHARS]
    return Beat(worker="", host=host, pid=os.getpid(), version=ours, python=platform.python_version())


class Presence:
    """Beats until it is cancelled. On the keeper's loop; `post` reaches the loop that runs jobs."""

    def __init__(self, storage: Workers, census: Census, post: Post, *, clock: BootClock, rng: Random) -> None:
        self._storage, self._census = storage, census
        self._clock, self._rng = clock, rng
        self._pulse = Pulse(post, clock)
        self._since_ms = clock()
        self._outage = Outage(_log, "This worker could not be told of", "This worker is told of again", clock=clock)

    async def run(self) -> None:
        """Beat for ever; then strike the worker off."""
        try:
            while True:
                await self.beat()
                # Not all in step, after a deploy that started a hundred workers at once.
                await asyncio.sleep((BEAT_MS * self._rng.uniform(0.8, 1.0) - BLOCKED_MS) / 1000)
                # Asked so long before the next beat that no answer by then means something.
                self._pulse.ask()
                await asyncio.sleep(BLOCKED_MS / 1000)
        finally:
            await self._leave()

    async def beat(self) -> None:
        """Tell once how this worker stands."""
        try:
            async with asyncio.timeout(PATIENCE_MS / 1000):
                await self._storage.beat(self._told())
            self._outage.over()
        except (StorageError, TimeoutError) as error:
            self._outage.failed(error)

    def _told(self) -> Beat:
        waiting_ms = min(self._pulse.blocked_ms(), MAX_LEVEL)
        return replace(
            self._census(),
            up_ms=self._clock() - self._since_ms,
            lag_ms=waiting_ms or self._pulse.lag_ms,
            blocked=waiting_ms >= BLOCKED_MS,
        )

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._storage.leave(self._census().worker)
        except (StorageError, TimeoutError) as error:
            _log.debug("The end of this worker could not be told: %s", error)
