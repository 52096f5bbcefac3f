"""The storage's housekeeping, done by any worker: promote, revoke, time out, apply the outbox.

Every worker does a little of it when the storage says that something is due; no leader, and nothing that only one
worker knows.
"""

import asyncio
import logging
from random import Random
from typing import Final

from aiq.bounds import MAX_SWEEP
from aiq.engine.timing import Backoff
from aiq.errors import StorageFull, Unavailable
from aiq.model import Upkept
from aiq.storage import Upkeep as Storage

_log = logging.getLogger("aiq.upkeep")

IDLE_MS: Final = 5_000
"""A worker that hears nothing looks by itself this often, less up to half of it, at random."""
SPREAD_MS: Final = 50
"""Workers that hear of one due time do not all come at once."""
FRUITLESS_MS: Final = 100
"""After a call that found nothing to do, the next one comes no sooner, whatever the storage says is due."""


class Upkeep:
    """Calls `storage.upkeep` when something is due."""

    def __init__(self, storage: Storage, *, rng: Random) -> None:
        self._storage, self._rng = storage, rng
        self._sooner = asyncio.Event()
        self._due_at = 0.0
        self._not_before = 0.0

    def due_in(self, ms: int | None) -> None:
        """The storage has just said when it has something to do next: 0 for now, None for never."""
        if ms is None:
            ms = self._rng.randint(IDLE_MS // 2, IDLE_MS)
        elif ms > 0:
            ms = min(ms, IDLE_MS) + self._rng.randint(0, SPREAD_MS)
        due_at = max(asyncio.get_running_loop().time() + ms / 1000, self._not_before)
        sooner, self._due_at = due_at < self._due_at, due_at
        if sooner:
            self._sooner.set()

    async def run(self) -> None:
        """For ever: wait until something is due, and do it. Ends only by cancellation, or a storage beyond repair."""
        backoff = Backoff(self._rng)
        self.due_in(None)
        while True:
            await self._until_due()
            try:
                done = await self.once()
            except (Unavailable, StorageFull) as error:
                _log.debug("Upkeep will be tried again: %s", error)
                self.due_in(backoff.next_ms())
            else:
                backoff.reset()
                self._plan(done)

    async def once(self) -> Upkept:
        """One bounded round of housekeeping."""
        done = await self._storage.upkeep(MAX_SWEEP)
        if done.total:
            _log.debug("Upkeep: %s", done)
        return done

    def _plan(self, done: Upkept) -> None:
        if not done.total:
            self._not_before = asyncio.get_running_loop().time() + FRUITLESS_MS / 1000
        self.due_in(done.next_due_ms)

    async def _until_due(self) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < self._due_at:
            self._sooner.clear()
            try:
                async with asyncio.timeout_at(self._due_at):
                    await self._sooner.wait()
            except TimeoutError:
                pass
