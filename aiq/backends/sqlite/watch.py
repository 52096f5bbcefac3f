"""Wake-ups across processes: a look at the file, many times a second, while somebody waits.

`PRAGMA data_version` tells in microseconds whether another connection has committed, so the look is made on the
loop's own thread, by a connection of its own. What has changed is then read by number, so that a thousand
waiters are not woken for a job that is none of theirs.
"""

import asyncio
import sqlite3
from collections.abc import Collection
from typing import Final

from aiq.backends.relational.news import MANY, Found, News
from aiq.backends.sqlite.sql import TEXTS

LOOK_S: Final = 0.035
"""A look costs little, but waking a loop that is at rest does: more often, and an idle worker uses 1 % of a core."""


class Watch:
    """Waits in one loop. It looks every LOOK_S while somebody waits, and costs nothing otherwise."""

    def __init__(self, path: str, news: News) -> None:
        self._path, self._news = path, news
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        """As `aiq.storage.Wakeups.wait`. The look that comes first finds what was changed since the mark was taken."""
        self._look()
        if after is not None:
            self._news.check_here()
        self._waiting += 1
        if self._timer is None:
            self._turn()
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
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _turn(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._waiting:
            self._look()
            self._turn()

    def _look(self) -> None:
        try:
            connection = self._connection = self._connection or _connect(self._path)
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            if version != self._version:
                self._news.look(lambda seen: changes(connection, seen))
                self._version = version
        except sqlite3.Error:
            # A hint that cannot be had is none; whatever is wrong, the next operation will tell.
            return


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
