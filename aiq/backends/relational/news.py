"""What this process knows of the changes in a store that numbers them, and whom it wakes for those of others."""

import threading
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from aiq.backends.relational.connection import Row
from aiq.backends.wakeups import Wakeups
from aiq.errors import Moved
from aiq.storage import events_topic, job_topic, queue_topic, stream_topic

MANY: Final = 1_000
"""Changes between two looks from which on everybody is woken: to name them all would keep the loop too long."""
MANY_AHEAD: Final = 64
"""Of how many steps is remembered that they were told of before those that came first. From then on it is looked."""
_TOPICS: Final[tuple[Callable[[str], str], ...]] = (job_topic, stream_topic, str)
"""What a row of `watch.jobs` is about, by its kind."""


class Found(NamedTuple):
    """What a look has found: the changes after `seen` up to `last`, `rows` naming them unless they are too many."""

    seen: int
    last: int
    moved_to: str | None
    rows: Sequence[Row]
    left: bool = False
    """Whether jobs were left in a transaction of somebody's, of which nothing else tells."""


@dataclass(eq=False, slots=True)
class News:
    """Siblings share it. Any thread may call it."""

    key: Callable[[str], Hashable] = str
    """How a topic is known in `wakeups`."""
    wakeups: Wakeups = field(default_factory=Wakeups)
    seen: int = 0
    """The change up to which a look has found everything, or this process has made it."""
    heard: int = 0
    """The change up to which everything is seen, or was told of by others. Hints: the next look goes on from `seen`."""
    _ahead: dict[int, int] = field(default_factory=dict)
    """Changes behind those, first and beyond the last: who commits first is not always heard first."""
    newest: int = 0
    """The last change of which this process knows, whether or not it has seen all before it."""
    moved_to: str | None = None
    """Where the storage goes on, once a look has found that nothing will happen here any more. Spec: MOVE-8"""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def publish(self, topics: Collection[str], changes: range) -> None:
        """Tell of what this process has just committed, so that a look need not find it again."""
        self.wakeups.notify(map(self.key, topics))
        with self._lock:
            self.newest = max(self.newest, changes.stop - 1)
            if self.seen + 1 == changes.start:
                self.seen = changes.stop - 1
            self._follow(changes)

    def hear(self, topics: Collection[Hashable], changes: Iterable[range]) -> None:
        """Tell of what another process says it has committed. It need not be true, nor all: only the next look makes it
        certain."""
        with self._lock:
            new = [one for one in changes if one.stop > self.heard + 1]
            for one in new:
                self._follow(one)
        if new:
            self.wakeups.notify(topics)

    @property
    def lacks(self) -> int | None:
        """The first change of which nothing is known, where something is of later ones."""
        with self._lock:
            return self.heard + 1 if self._ahead else None

    def _follow(self, changes: range) -> None:
        ahead = self._ahead
        if len(ahead) < MANY_AHEAD:
            ahead[changes.start] = max(changes.stop, ahead.get(changes.start, 0))
        while ahead and (first := min(ahead)) <= self.heard + 1:
            self.heard = max(self.heard, ahead.pop(first) - 1)

    def check_here(self) -> None:
        """Refuse to wait where nothing will happen any more.

        Raises:
            Moved: the storage goes on elsewhere.
        """
        if self.moved_to is not None:
            raise Moved(self.moved_to)

    def look(self, read: Callable[[int], Found]) -> None:
        """Tell of what others have committed since the last look. Where it fails, that is left to the next one."""
        with self._lock:
            found = read(self.seen)
            named = self._take(found)
        self._tell(found, named)

    def take(self, found: Found) -> None:
        """The same, of what was read before."""
        with self._lock:
            named = self._take(found)
        self._tell(found, named)

    def _take(self, found: Found) -> bool:
        """Note how far others have got; False where they cannot be named, and everybody has to look."""
        if found.last < found.seen:
            # What has gone back is another history.
            self.seen = self.newest = found.last
        self.seen, self.newest = max(self.seen, found.last), max(self.newest, found.last)
        # What was heard and is not there was not true, or is told of again.
        self.heard = self.seen
        self._ahead.clear()
        retired, self.moved_to = found.moved_to != self.moved_to, found.moved_to
        return len(found.rows) == found.last - found.seen and not retired and not found.left

    def _tell(self, found: Found, named: bool) -> None:
        if not named:
            # Too many to name, or something without a row, such as a queue that was resumed, or the end of it all.
            self.wakeups.notify_all()
            return
        queues = {queue_topic(queue) for _, queue, _ in found.rows if queue is not None}
        events = {events_topic()} if any(kind == 0 for _, _, kind in found.rows) else set()
        topics = queues.union(events, (_TOPICS[kind](name) for name, _, kind in found.rows))
        self.wakeups.notify(map(self.key, topics))
