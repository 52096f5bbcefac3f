"""Wake-ups across processes: a look at the file, many times a second, while somebody waits.

`PRAGMA data_version` tells in microseconds whether another connection has committed, so the look is made on the
loop's own thread, by a connection of its own. What has changed is then read by number, so that a thousand
waiters are not woken for a job that is none of theirs.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from aiq.backends.sqlite.sql import TEXTS
from aiq.backends.wakeups import Wakeups
from aiq.errors import Moved
from aiq.storage import events_topic, job_topic, queue_topic, stream_topic

LOOK_S: Final = 0.035
"""A look costs little, but waking a loop that is at rest does: more often, and an idle worker uses 1 % of a core."""
_MANY: Final = 1_000
"""Changes between two looks from which on everybody is woken: to name them all would keep the loop too long."""
_TOPICS: Final[tuple[Callable[[str], str], ...]] = (job_topic, stream_topic, str)
"""What a row of `jobs` is about, by its kind."""


@dataclass(eq=False, slots=True)
class News:
    """What this process knows of the changes in the file; siblings share it. Any thread may call it."""

    wakeups: Wakeups = field(default_factory=Wakeups)
    seen: int = 0
    moved_to: str | None = None
    """Where the storage goes on, once a look has found that nothing will happen here any more. Spec: MOVE-8"""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def publish(self, topics: Collection[str], changes: range) -> None:
        """Tell of what this process has just committed, so that a look need not find it again."""
        self.wakeups.notify(topics)
        with self.lock:
            if self.seen + 1 == changes.start:
                self.seen = changes.stop - 1

    def look(self, connection: sqlite3.Connection) -> None:
        """Tell of what others have committed since the last look."""
        with self.lock:
            last, moved_to = connection.execute(TEXTS["watch.last"]).fetchone()
            span, many = {"seen": self.seen, "last": last}, last - self.seen
            rows = connection.execute(TEXTS["watch.jobs"], span).fetchall() if many <= _MANY else []
            # Not before the rows are here: a look that fails leaves its changes to the next one.
            self.seen = last
            retired, self.moved_to = moved_to != self.moved_to, moved_to
        if len(rows) != many or retired:
            # Too many to name, or something without a row, such as a queue that was resumed, or the end of it all.
            self.wakeups.notify_all()
            return
        queues = {queue_topic(queue) for _, queue, _ in rows if queue is not None}
        events = {events_topic()} if any(kind == 0 for _, _, kind in rows) else set()
        self.wakeups.notify(queues.union(events, (_TOPICS[kind](name) for name, _, kind in rows)))


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
            self._check_here()
        self._waiting += 1
        if self._timer is None:
            self._turn()
        try:
            mark = await self._news.wakeups.wait(topics, after=after, timeout_ms=timeout_ms)
        finally:
            self._waiting -= 1
        if after is not None:
            self._check_here()
        return mark

    def close(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _check_here(self) -> None:
        moved_to = self._news.moved_to
        if moved_to is not None:
            raise Moved(moved_to)

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
                self._news.look(connection)
                self._version = version
        except sqlite3.Error:
            # A hint that cannot be had is none; whatever is wrong, the next operation will tell.
            return


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    connection.execute("PRAGMA query_only = ON")
    return connection
