"""Jobs that are claimed before there is a place for them, where places come free faster than a storage answers.

A worker whose jobs are brief has nothing left to run while an exchange is under way, and while it runs what that has
brought, the storage has nothing to do. So it asks for as many jobs more as have come and gone since it last asked: by
the time of the answer so many places are free again, and both work at the same time.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Final, TypeAlias

from aiq.engine.run import Run
from aiq.model import Band

BRIEF_MS: Final = 100
"""A longer run says nothing of when its place will be free again: for such nothing is claimed ahead."""
WAIT_MS: Final = 100
"""Who has waited so long for a place is given back, uncounted, within as long again: others may have one."""

_Waiting: TypeAlias = list[tuple[Band, int, Run]]


class Ahead:
    """Who waits for a place, and how many may: of a queue no more than brief runs of it have ended since the last
    claim, and than it has places."""

    def __init__(self, places: Mapping[str, int], give_back: Callable[[Sequence[Run]], None]) -> None:
        self._places, self._give_back = places, give_back
        self._ended: Counter[str] = Counter()
        self._waiting: dict[str, _Waiting] = {queue: [] for queue in places}
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None

    def room(self, queue: str) -> int:
        """How many more may be claimed."""
        return min(self._ended[queue], self._places[queue]) - len(self._waiting[queue])

    def ask(self) -> None:
        """A claim goes out. What has ended before it says nothing of the next."""
        self._ended.clear()

    def ended(self, run: Run) -> None:
        """A run has given its place back. One that took limits says nothing: whatever waits keeps them from others."""
        brief = asyncio.get_running_loop().time() - run.since_s <= BRIEF_MS / 1000
        if brief and not run.record.taken_limits:
            self._ended[run.record.queue] += 1

    def put(self, run: Run) -> None:
        """Let a run wait for a place."""
        self._number += 1
        heappush(self._waiting[run.record.queue], (run.record.band, self._number, run))
        self._look_later()

    def take(self, queue: str) -> Run | None:
        """The first of the most urgent that wait."""
        waiting = self._waiting[queue]
        return heappop(waiting)[-1] if waiting else None

    def clear(self) -> None:
        """Give all back, and let go of the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._give_back_since(float("inf"))

    def _look_later(self) -> None:
        if self._timer is None and any(self._waiting.values()):
            self._timer = asyncio.get_running_loop().call_later(WAIT_MS / 1000, self._look)

    def _look(self) -> None:
        self._timer = None
        self._give_back_since(asyncio.get_running_loop().time() - WAIT_MS / 1000)
        self._look_later()

    def _give_back_since(self, at_s: float) -> None:
        for waiting in self._waiting.values():
            gone = [one for one in waiting if one[-1].since_s <= at_s]
            if gone:
                waiting[:] = [one for one in waiting if one[-1].since_s > at_s]
                heapify(waiting)
                self._give_back([run for *_, run in gone])
