"""Wake-ups across processes: a look at the file, soon after somebody has written to it, while somebody waits.

`PRAGMA data_version` tells in microseconds whether another connection has committed, so the look is made on the
loop's own thread, by a connection of its own. What has changed is then read by number, so that a thousand
waiters are not woken for a job that is none of theirs.

Where the system tells that the log is written to, that says when to look. It is heard before the commit has ended, by
as long as the disk takes to store it, so several looks follow, each after twice the time, and until one has found it
no pause is longer than LOOK_S. Else the same follows a look that has found something, and between them one is made
every LOOK_S.
"""

import asyncio
import os
import sqlite3
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from aiq.backends.relational.news import MANY, Found, News
from aiq.backends.sqlite.ear import Ear
from aiq.backends.sqlite.sql import TEXTS

LOOK_S: Final = 0.035
"""A look costs little, but waking a loop that is at rest does: more often, and an idle worker uses 1 % of a core."""
HEARING_LOOK_S: Final = 0.25
"""As LOOK_S, where we hear that somebody writes: a change that was not heard is found all the same."""
HEARD_LOOK_S: Final = 0.001
"""When the first look is made after something was heard. Most commits have ended by then."""
HEARD_S: Final = 1.0
"""How long what was heard, and not found yet, keeps the pauses at LOOK_S: longer than nearly any commit takes."""
MANY_MISSES: Final = 3
"""After how many changes in a row that were not heard there is no use in listening."""
BUSY_LOOK_S: Final = 0.005
MAX_BUSY_LOOK_S: Final = 0.02
"""When the next look is made after somebody has written, and how much later while that goes on: whoever is woken for
each of a thousand writes claims jobs one by one, and keeps others from writing."""
_NOT_TOLD: Final = (OSError, NotImplementedError, AttributeError)
"""What listening comes to where the loop, the library or the system has no way to do it."""


class Watch:
    """Waits in one loop at a time. It looks now and then while somebody waits, and costs nothing otherwise."""

    def __init__(self, path: str, news: News) -> None:
        self._path, self._news = path, news
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._waiting = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pause_s = 0.0
        """How long before it the last look was planned."""
        self._busy = False
        """Whether it was planned because somebody wrote."""
        self._ear: Ear | None = None
        self._deaf = False
        """Whether there is no use in listening."""
        self._found = False
        """Whether any look has found something since this was last reckoned with."""
        self._heard_s: float | None = None
        """When something was heard that no look has found yet."""
        self._misses = 0

    async def wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        """As `aiq.storage.Wakeups.wait`. The look that comes first finds what was changed since the mark was taken."""
        self._look()
        if after is not None:
            self._news.check_here()
        self._waiting += 1
        self._move(asyncio.get_running_loop())
        if self._timer is None:
            self._begin()
        try:
            mark = await self._news.wakeups.wait(topics, after=after, timeout_ms=timeout_ms)
        finally:
            self._waiting -= 1
        if after is not None:
            self._news.check_here()
        return mark

    def close(self) -> None:
        """Stop looking."""
        self._rest()
        self._deaf = True
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _move(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look in this loop. The one before it has most likely ended, and calls nobody any more."""
        if loop is not self._loop:
            self._rest()
            self._loop = loop

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._close_ear()

    def _begin(self) -> None:
        if self._ear is None and not self._deaf:
            with suppress(*_NOT_TOLD):
                # Where the file is a link, its log stands beside what it leads to.
                self._ear = Ear.open(f"{os.path.realpath(self._path)}-wal", self._heard)
            self._deaf = self._ear is None
        heard = self._ear is not None and self._ear.forget()
        self._reckon(heard=heard, first=True)
        self._go_on(heard=heard)

    def _tick(self) -> None:
        self._timer = None
        if not self._waiting:
            if self._ear is not None:
                self._ear.rest()
            return
        # In this order: whatever can be read by now was heard before.
        found = self._look()
        heard = found if self._ear is None else self._ear.forget()
        if found and not heard and self._heard_s is None and self._pause_s == HEARING_LOOK_S:
            self._miss()
        self._reckon(heard=heard, first=self._pause_s == HEARD_LOOK_S)
        self._go_on(heard=heard)

    def _miss(self) -> None:
        """Note that somebody has written, and it was not to be heard."""
        self._misses += 1
        if self._misses == MANY_MISSES:
            self._stop_listening()

    def _reckon(self, *, heard: bool, first: bool) -> None:
        """Note whether what was heard is still to be found.

        If the first look after it finds something, that is it. Later, it may be the next write that was heard.
        """
        found, self._found = self._found, False
        if found:
            if heard or self._heard_s is not None:
                self._misses = 0
            self._heard_s = None
        if heard and not (found and first):
            self._heard_s = asyncio.get_running_loop().time()

    def _go_on(self, *, heard: bool) -> None:
        """Plan the next look: soon if somebody has written, and else after twice the time."""
        if heard:
            self._turn(min(2 * self._pause_s, MAX_BUSY_LOOK_S) if self._busy else BUSY_LOOK_S, busy=True)
            return
        self._listen()
        self._turn(min(max(2 * self._pause_s, BUSY_LOOK_S), self._longest_s()))

    def _longest_s(self) -> float:
        awaited = self._heard_s is not None and asyncio.get_running_loop().time() < self._heard_s + HEARD_S
        return LOOK_S if awaited or self._ear is None else HEARING_LOOK_S

    def _listen(self) -> None:
        try:
            if self._ear is not None:
                self._ear.listen()
        except _NOT_TOLD:
            self._stop_listening()

    def _heard(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._turn(HEARD_LOOK_S)

    def _turn(self, pause_s: float, *, busy: bool = False) -> None:
        self._pause_s, self._busy = pause_s, busy
        self._timer = asyncio.get_running_loop().call_later(pause_s, self._tick)

    def _stop_listening(self) -> None:
        self._deaf = True
        self._close_ear()

    def _close_ear(self) -> None:
        if self._ear is not None:
            self._ear.close()
            self._ear = None

    def _look(self) -> bool:
        """Whether anybody has committed since the last look; whom it concerns is woken."""
        try:
            connection = self._connection = self._connection or _connect(self._path)
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            if version == self._version:
                return False
            self._news.look(lambda seen: changes(connection, seen))
            self._version, self._found = version, True
        except sqlite3.Error:
            # A hint that cannot be had is none; whatever is wrong, the next operation will tell.
            return False
        return True


def changes(connection: sqlite3.Connection, seen: int) -> Found:
    """What was committed after the change `seen`."""
    last, moved_to, left = connection.execute(TEXTS["watch.last"]).fetchone()
    span, many = {"seen": seen, "last": last}, last - seen
    rows = connection.execute(TEXTS["watch.jobs"], span).fetchall() if many <= MANY else []
    return Found(seen, last, moved_to, rows, bool(left))


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    connection.execute("PRAGMA query_only = ON")
    return connection
