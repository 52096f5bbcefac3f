"""Wake-ups across processes: a look at the file, soon after somebody has written to it, while somebody waits.

`PRAGMA data_version` tells in microseconds whether another connection has committed, so the look is made on the
loop's own thread, by a connection of its own. What has changed is then read by number, so that a thousand
waiters are not woken for a job that is none of theirs.

Where the system tells that the log is written to, that says when to look. It is heard before the commit has ended, by
as long as the disk takes to store it, so several looks follow, each after twice the time. Else the same follows a look
that has found something, and between them one is made every LOOK_S.
"""

import asyncio
import sqlite3
from collections.abc import Collection
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
BUSY_LOOK_S: Final = 0.005
MAX_BUSY_LOOK_S: Final = 0.02
"""When the next look is made after somebody has written, and how much later while that goes on: whoever is woken for
each of a thousand writes claims jobs one by one, and keeps others from writing."""


class Watch:
    """Waits in one loop. It looks now and then while somebody waits, and costs nothing otherwise."""

    def __init__(self, path: str, news: News) -> None:
        self._path, self._news = path, news
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None
        self._pause_s = 0.0
        """How long before it the last look was planned."""
        self._busy = False
        """Whether it was planned because somebody wrote."""
        self._ear: Ear | None = None
        self._deaf = False
        """Whether there is no use in listening."""

    async def wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        """As `aiq.storage.Wakeups.wait`. The look that comes first finds what was changed since the mark was taken."""
        self._look()
        if after is not None:
            self._news.check_here()
        self._waiting += 1
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
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._stop_listening()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _begin(self) -> None:
        if self._ear is None and not self._deaf:
            self._ear = Ear.open(f"{self._path}-wal", self._heard)
            self._deaf = self._ear is None
        self._go_on(heard=self._ear is not None and self._ear.forget())

    def _tick(self) -> None:
        self._timer = None
        if not self._waiting:
            if self._ear is not None:
                self._ear.rest()
            return
        # In this order: whatever can be read by now was heard before.
        found = self._look()
        heard = found if self._ear is None else self._ear.forget()
        if found and not heard and self._pause_s == HEARING_LOOK_S:
            # Somebody has written, and it was not to be heard.
            self._stop_listening()
        self._go_on(heard=heard)

    def _go_on(self, *, heard: bool) -> None:
        """Plan the next look: soon if somebody has written, and else after twice the time."""
        if heard:
            self._turn(min(2 * self._pause_s, MAX_BUSY_LOOK_S) if self._busy else BUSY_LOOK_S, busy=True)
            return
        if self._ear is not None:
            self._ear.listen()
        self._turn(min(max(2 * self._pause_s, BUSY_LOOK_S), LOOK_S if self._ear is None else HEARING_LOOK_S))

    def _heard(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._turn(HEARD_LOOK_S)

    def _turn(self, pause_s: float, *, busy: bool = False) -> None:
        self._pause_s, self._busy = pause_s, busy
        self._timer = asyncio.get_running_loop().call_later(pause_s, self._tick)

    def _stop_listening(self) -> None:
        self._deaf = True
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
            self._version = version
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
