"""A function on its way to a thread, and what becomes of it when its caller is cancelled."""

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from aiq.storage.finishing import finished

T = TypeVar("T")


class Errand(Generic[T]):
    """A function on its way to the thread, which can be called back until it has begun."""

    def __init__(self, work: Callable[[Callable[[], bool]], T]) -> None:
        self._work = work
        self._begins = threading.Lock()
        self._unwanted = False

    def __call__(self) -> T | None:
        """Do it, unless it was called back. Within the thread."""
        if not self._begins.acquire(blocking=False):
            return None
        return self._work(lambda: self._unwanted)

    def withdraw(self) -> bool:
        """Call it back; False when it has begun, and then it is told that nobody waits."""
        self._unwanted = True
        return self._begins.acquire(blocking=False)


async def outcome(future: "asyncio.Future[T]", errand: Errand[T]) -> T:
    """Wait for an errand that was sent to a thread.

    Cancelled before the thread has begun, it never happens. Cancelled later, it is finished first, its answer is
    dropped, and the cancellation goes on: either way nothing happens after this has returned.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if errand.withdraw():
            future.cancel()
        else:
            await finished(future)
        raise
