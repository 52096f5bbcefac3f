"""Ours."""

import contextlib
from collections.abc import Callable, Sequence

import aiq
from aiq.backends import migrate_storage
from benchmarks.peers.lap import main


class Ours:
    """See `benchmarks.peers.lap.BulkPeer`."""

    async def open(self, url: str, concurrency: int, done: Callable[[], None]) -> None:
        """Connect."""
        await migrate_storage(url)
        self._concurrency, self._stack = concurrency, contextlib.AsyncExitStack()
        self._queue = await self._stack.enter_async_context(aiq.Queue(url))

        @aiq.task()
        async def noop(number: int) -> int:
            done()
            return number

        self._noop = noop

    async def put(self, number: int) -> None:
        """One job."""
        await self._queue.enqueue(self._noop.job(number))

    async def put_many(self, numbers: Sequence[int]) -> None:
        """All in one call."""
        await self._queue.enqueue_many([self._noop.job(number) for number in numbers])

    async def work(self) -> None:
        """Do jobs."""
        await aiq.Worker(self._queue, tasks=[self._noop], slots=self._concurrency).run()

    async def left(self) -> int:
        """Those that have not ended well."""
        counts = await self._queue.count()
        return sum(counts.values()) - counts[aiq.State.SUCCEEDED]


if __name__ == "__main__":
    main(Ours())
