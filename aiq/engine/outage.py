"""How a worker that waits for its storage says so: often enough to be noticed, too seldom to fill a disk."""

import logging
from typing import Final

from aiq.engine.timing import BootClock

REPEAT_MS: Final = 60_000
"""A warning is repeated no sooner than this."""


class Outage:
    """Tells of a series of failures: the first one, then how long it lasts once in REPEAT_MS, and its end."""

    def __init__(self, log: logging.Logger, what: str, end: str, *, clock: BootClock) -> None:
        self._log, self._what, self._end, self._clock = log, what, end, clock
        self._since_ms: int | None = None
        self._told_ms = 0

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
