"""Wake-ups within one process: what changed, told to whoever waits for it, in whatever thread or loop.

Stores that live on this host share this hub. It holds hints only; a store's truth is in the store.
"""

import asyncio
import secrets
import threading
from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Final

KEPT_TOPICS: Final = 4_096
"""Topics whose last change is remembered. A mark older than what was forgotten ends its wait at once."""


@dataclass(eq=False, slots=True)
class _Waiter:
    """Somebody who waits, and the loop in which he does."""

    loop: asyncio.AbstractEventLoop
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        try:
            self.loop.call_soon_threadsafe(self.woken.set)
        except RuntimeError:
            # His loop has been closed under him: nobody is there to be woken.
            return


class Wakeups:
    """A hub of topics. Every method may be called from any thread; memory is bounded by `kept` topics.

    A change is a rising number. The last number of each topic is kept, so that whoever took a mark, looked
    at the store and waits only now still sees what changed in between. Spec: STORE-6, LIVE-3
    """

    def __init__(self, kept: int = KEPT_TOPICS) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._name = secrets.token_hex(4)
        self._number = 0
        self._forgotten = 0
        self._changes: OrderedDict[Hashable, int] = OrderedDict()
        self._waiters: dict[Hashable, set[_Waiter]] = {}

    def notify(self, topics: Iterable[Hashable]) -> None:
        """Say that these topics changed. Call it once the change can be read, not before."""
        woken: set[_Waiter] = set()
        with self._lock:
            for topic in topics:
                self._number += 1
                self._changes[topic] = self._number
                self._changes.move_to_end(topic)
                woken |= self._waiters.get(topic, set())
            while len(self._changes) > self._kept:
                _, self._forgotten = self._changes.popitem(last=False)
        for waiter in woken:
            waiter.wake()

    def notify_all(self) -> None:
        """Say that anything may have changed: for a store that sees only that somebody else wrote."""
        with self._lock:
            self._number += 1
            self._forgotten = self._number
            self._changes.clear()
            woken = {waiter for waiters in self._waiters.values() for waiter in waiters}
        for waiter in woken:
            waiter.wake()

    async def wait(self, topics: Collection[Hashable], *, after: str | None, timeout_ms: int) -> str:
        """Wait for a change on one of `topics` since the mark `after`, at most `timeout_ms`; answer a new mark.

        None, or a mark of another hub, answers at once.
        """
        waiter, wanted = _Waiter(asyncio.get_running_loop()), frozenset(topics)
        with self._lock:
            if self._changed(wanted, after):
                return self._mark()
            for topic in wanted:
                self._waiters.setdefault(topic, set()).add(waiter)
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                await waiter.woken.wait()
        except TimeoutError:
            pass
        finally:
            mark = self._leave(waiter, wanted)
        return mark

    def _changed(self, topics: Collection[Hashable], after: str | None) -> bool:
        name, _, number = (after or "").partition(".")
        if name != self._name or not number.isdecimal():
            return True
        seen = int(number)
        return seen < self._forgotten or any(self._changes.get(topic, 0) > seen for topic in topics)

    def _mark(self) -> str:
        return f"{self._name}.{self._number}"

    def _leave(self, waiter: _Waiter, topics: Collection[Hashable]) -> str:
        with self._lock:
            for topic in topics:
                waiters = self._waiters[topic]
                waiters.discard(waiter)
                if not waiters:
                    del self._waiters[topic]
            return self._mark()
