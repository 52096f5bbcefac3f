"""How a worker waits for its storage, and says so: often enough to be noticed, too seldom to fill a disk."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Final, TypeVar

from aiq.engine.timing import Backoff, BootClock
from aiq.errors import OUTAGES

_T = TypeVar("_T")

REPEAT_MS: Final = 60_000
"""A warning is repeated no sooner than this."""


class Outage:
    """Tells of a series of failures: the first one, then how long it lasts once in REPEAT_MS, and its end."""

    def __init__(self, log: logging.Logger, what: str, end: str, *, clock: BootClock) -> None:
        self._log, self._what, self._end, self._clock = log, what, end, clock
        self._since_ms: int | None = None
        self._told_ms = 0
        self._waiting = 0

    def failed(self, error: Exception) -> None:
        """It has failed, once more or for the first time."""
        now_ms = self._clock()
        if self._since_ms is None:
            self._since_ms = self._told_ms = now_ms
            self._log.warning("%s (%s: %s); trying on.", self._what, type(error).__name__, error)
        elif now_ms - self._told_ms >= REPEAT_MS:
            self._told_ms = now_ms
            lasted_s = (now_ms - self._since_ms) // 1000
            self._log.warning("%s for %d s now (%s: %s); trying on.", self._what, lasted_s, type(error).__name__, error)

    def over(self) -> None:
        """It has worked; the end of an outage is told, if there was one."""
        if self._since_ms is not None:
            self._log.info("%s after %d s.", self._end, (self._clock() - self._since_ms) // 1000)
            self._since_ms = None

    @contextmanager
    def waited_for(self) -> Iterator[None]:
        """One of several waits for its end, which has come when none of them waits any more.

        A full storage may take what one of them says, and not what another does.
        """
        self._waiting += 1
        try:
            yield
        except asyncio.CancelledError:
            # It was given up; whether it is over nobody knows.
            if self._waiting == 1:
                self._since_ms = None
            raise
        finally:
            self._waiting -= 1
            if not self._waiting:
                self.over()


async def patiently(call: Callable[[], Awaitable[_T]], outage: Outage, *, rng: Random) -> _T:
    """Make a call that may be repeated, again and again while the storage has an outage.

    It has no end of its own: what bounds it is the run it serves, which is cancelled when it is told to stop, and by
    the keeper after a lease of silence.

    Spec: OUTAGE-2
    """
    try:
        return await call()
    except OUTAGES as error:
        outage.failed(error)
    backoff = Backoff(rng)
    with outage.waited_for():
        while True:
            await asyncio.sleep(backoff.next_ms() / 1000)
            try:
                return await call()
            except OUTAGES as error:
                outage.failed(error)
