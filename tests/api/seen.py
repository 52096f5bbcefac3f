"""A storage that remembers which of its operations were called."""

import asyncio
from typing import Any

from aiq.testing import Faulty


class Seen:
    """Stands in front of a storage, and lists the calls of the operations that it is told to watch."""

    def __init__(self, storage: Faulty, *watched: str) -> None:
        self._storage, self._watched = storage, watched
        self.calls: list[str] = []
        self._called = asyncio.Event()

    # Any: whatever the storage has.
    def __getattr__(self, name: str) -> Any:
        if name in self._watched:
            self.called(name)
        return getattr(self._storage, name)

    def called(self, name: str) -> None:
        self.calls.append(name)
        self._called.set()

    async def until(self, name: str, times: int) -> None:
        """Wait until an operation was called so often."""
        while self.calls.count(name) < times:
            self._called.clear()
            await self._called.wait()
