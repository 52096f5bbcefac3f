"""The calls of this worker that wait for a limit, and which of them ask again when something has changed on it.

The line that counts is the storage's: it spans all workers, and nobody passes who stands before others in it. So
when there is room, only the first calls of each worker can have got it. They ask; whoever stands behind asks when it
has come up to them, and now and then to keep its place. A settled call thus costs a few questions, not one for each
call that waits.
"""

import asyncio
import logging
from bisect import insort
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from random import Random
from typing import Final

from aiq.engine.tasks import Tasks
from aiq.engine.timing import MAX_BACKOFF_MS
from aiq.errors import OUTAGES, Moved
from aiq.model import Band, MustWait
from aiq.storage import Wakeups, limit_topic

_log = logging.getLogger("aiq.worker")

AT_ONCE: Final = 8
"""Calls of a line that ask when something has changed: what frees room may free it for several."""
POLL_MS: Final = (1_000, 5_000)
"""They ask after a time drawn from this range in any case: a lost wake-up costs no more (LIVE-3)."""
KEEP_MS: Final = (15_000, 25_000)
"""The others ask after so long: well within PLACE_KEPT_MS, twice."""
MIN_PAUSE_MS: Final = 5
"""A storage that names a shorter wait is not asked sooner."""
LISTEN_MS: Final = 60_000


class Place:
    """Where one call stands. It keeps its order in whatever line it comes to stand, as it does in the storage."""

    __slots__ = ("line", "near", "order", "woken")

    def __init__(self, order: tuple[Band, int]) -> None:
        self.order = order
        self.line: _Line | None = None
        self.near = False
        """Whether it is among the first of its line, or was."""
        self.woken = asyncio.Event()

    def wake(self) -> None:
        """Let the call ask again now."""
        self.woken.set()


class _Line:
    """The calls that one limit, or one part of it, keeps waiting."""

    __slots__ = ("heard", "key", "listener", "places")

    def __init__(self, key: tuple[str, str]) -> None:
        self.key = key
        self.places: list[Place] = []
        self.listener: asyncio.Task[None] | None = None
        self.heard = False
        """Whether a change from now on will not be missed."""

    def changed(self) -> None:
        """Something has: the first few ask."""
        self.heard = True
        for place in self.places[:AT_ONCE]:
            place.wake()

    def move_up(self) -> None:
        """Somebody has left: who has come up to the first few asks."""
        for place in self.places[:AT_ONCE]:
            if not place.near:
                place.near = True
                place.wake()


class Lines:
    """The lines of one worker. Each listens to its limit as long as somebody stands in it."""

    def __init__(self, storage: Wakeups, *, tasks: Tasks, rng: Random) -> None:
        self._storage, self._tasks, self._rng = storage, tasks, rng
        self._lines: dict[tuple[str, str], _Line] = {}
        self._numbers = count()

    @contextmanager
    def waiting(self, band: Band) -> Iterator[Place]:
        """A place behind those of this worker that were refused before, of no less urgent bands."""
        place = Place((band, next(self._numbers)))
        try:
            yield place
        finally:
            self._leave(place)

    async def until_turn(self, place: Place, answer: MustWait) -> None:
        """Wait until it makes sense to ask again, after this answer."""
        if self._stand(place, (answer.limit, answer.key)):
            return
        wait_ms = self._rng.randint(*(POLL_MS if place.near else KEEP_MS))
        if place.near and answer.wait_ms is not None:
            wait_ms = min(wait_ms, max(answer.wait_ms, MIN_PAUSE_MS))
        try:
            async with asyncio.timeout(wait_ms / 1000):
                await place.woken.wait()
        except TimeoutError:
            pass
        place.woken.clear()

    def _stand(self, place: Place, key: tuple[str, str]) -> bool:
        """Stand in the line for a limit. Whether to ask again at once: the change that makes room may have been heard
        between the storage's answer and now."""
        if place.line is not None and place.line.key == key:
            return False
        self._leave(place)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(key)
            line.listener = self._tasks.start(self._listen(line))
        insort(line.places, place, key=lambda one: one.order)
        place.line, place.near = line, place in line.places[:AT_ONCE]
        return line.heard and place.near

    def _leave(self, place: Place) -> None:
        line, place.line = place.line, None
        if line is None:
            return
        line.places.remove(place)
        line.move_up()
        if not line.places:
            del self._lines[line.key]
            if line.listener is not None:
                line.listener.cancel()

    async def _listen(self, line: _Line) -> None:
        mark: str | None = None
        while True:
            try:
                mark = await self._storage.wait([limit_topic(line.key[0])], after=mark, timeout_ms=LISTEN_MS)
            except Moved:
                # Whoever asks now is told so.
                line.changed()
                return
            except OUTAGES as error:
                _log.debug("Not listening to a limit for a while: %s", error)
                await asyncio.sleep(self._rng.randint(MAX_BACKOFF_MS // 2, MAX_BACKOFF_MS) / 1000)
            line.changed()
