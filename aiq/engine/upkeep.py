"""The storage's housekeeping, done by any worker: promote, revoke, time out, apply the outbox, fire schedules.

Every worker does a little of it when the storage says that something is due; no leader, and nothing that only one
worker knows.
"""

import asyncio
import logging
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Final, Protocol

from aiq.bounds import MAX_SWEEP
from aiq.engine.calendar import Calendar
from aiq.engine.outage import Outage
from aiq.engine.timing import Backoff, BootClock
from aiq.errors import OUTAGES
from aiq.storage import Schedules
from aiq.storage import Upkeep as _Upkeep

_log = logging.getLogger("aiq.upkeep")

IDLE_MS: Final = 5_000
"""A worker looks by itself this often, less up to a fifth of it, at random, however busy it is."""
SPREAD_MS: Final = 50
"""Workers that hear of one due time do not all come at once."""
FRUITLESS_MS: Final = 100
"""After a call that found nothing to do, the next one comes no sooner, whatever the storage says is due."""


class Storage(_Upkeep, Schedules, Protocol):
    """What housekeeping needs of a storage."""


@dataclass(frozen=True, slots=True)
class Round:
    """Whether a round did anything, and how long until there is more to do; 0 for now, None for nobody knows."""

    did_something: bool
    next_due_ms: int | None


class Upkeep:
    """Calls `storage.upkeep` when something is due, and fires schedules."""

    def __init__(self, storage: Storage, *, clock: BootClock, rng: Random) -> None:
        self._storage, self._rng = storage, rng
        self._outage = Outage(_log, "The storage's housekeeping could not be done", "It is done again", clock=clock)
        self._calendar = Calendar(storage)
        self._sooner = asyncio.Event()
        self._due_at = 0.0
        self._latest = 0.0
        """When the next round comes, unless something is due sooner."""
        self._not_before = 0.0
        self._heard_at = inf
        """The earliest of what exchanges have said since the last round began, which may know nothing of it."""

    def due_in(self, ms: int | None) -> None:
        """An exchange has just said when the storage has something to do next: 0 for now, None for never.

        It knows nothing of what is over, so that a worker that is never idle would never remove any: the next round
        comes no later than the last one has asked for.
        """
        due_at = self._latest
        if ms is not None:
            said_at = self._instant(ms)
            self._heard_at, due_at = min(said_at, self._heard_at), min(said_at, due_at)
        self._set_due(due_at)

    def _next_round_in(self, ms: int | None) -> None:
        """A round has just said when the next one is due, None for when nothing is heard meanwhile."""
        if ms is None:
            idle_ms = self._rng.randint(IDLE_MS * 4 // 5, IDLE_MS)
            self._latest = asyncio.get_running_loop().time() + idle_ms / 1000
        else:
            self._latest = self._instant(ms)
        self._set_due(self._latest)

    def _instant(self, ms: int) -> float:
        wait_ms = min(ms, IDLE_MS) + self._rng.randint(0, SPREAD_MS) if ms > 0 else 0
        return max(asyncio.get_running_loop().time() + wait_ms / 1000, self._not_before)

    def _set_due(self, due_at: float) -> None:
        sooner, self._due_at = due_at < self._due_at, due_at
        if sooner:
            self._sooner.set()

    async def run(self) -> None:
        """For ever: wait until something is due, and do it. Ends only by cancellation, or a storage beyond repair."""
        backoff = Backoff(self._rng)
        self._next_round_in(None)
        while True:
            await self._until_due()
            self._heard_at = inf
            try:
                done = await self.once()
            except OUTAGES as error:
                self._outage.failed(error)
                self._next_round_in(backoff.next_ms())
            else:
                self._outage.over()
                backoff.reset()
                self._plan(done)

    async def once(self) -> "Round":
        """One bounded round of housekeeping, with the schedules that are due."""
        done = await self._storage.upkeep(MAX_SWEEP)
        if done.total:
            _log.debug("Upkeep: %s", done)
        if not done.schedules:
            return Round(done.total > 0, done.next_due_ms)
        if not await self._calendar.fire_due(done.schedules):
            # They are left to others, and due they stay: what else is due is found by looking.
            return Round(done.total > 0, None)
        return Round(did_something=True, next_due_ms=0)

    def _plan(self, done: "Round") -> None:
        if not done.did_something:
            self._not_before = asyncio.get_running_loop().time() + FRUITLESS_MS / 1000
        self._next_round_in(done.next_due_ms)
        self._set_due(min(self._due_at, max(self._heard_at, self._not_before)))

    async def _until_due(self) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < self._due_at:
            self._sooner.clear()
            try:
                async with asyncio.timeout_at(self._due_at):
                    await self._sooner.wait()
            except TimeoutError:
                pass
