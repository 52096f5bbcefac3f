"""Ours."""

import contextlib
from collections.abc import Callable, Sequence

import aiq
from benchmarks.peers.lap import main


class Ours:
    """See `benchmarks.peers.lap.Peer`."""

    async def open(self, url: str, concurrency: int, done: Callable[[], None]) -> None:
        """Connect."""
        self._concurrency, self._stack = concurrency, contextlib.AsyncExitStack()
        self._queue = await self._stack.enter_async_context(aiq.Queue(url))

        @aiq.task()
        async def noop(number: int) -> None:
            done()

        self._noop = noop

    async def put(self, number: int) -> None:
        """One job."""
        await self._queue.enqueue(self._noop.job(number))

    async def put_many(self, numbers: Sequence[int]) -> None:
        """All in one call."""
        await self._queue.enqueue_many([self._noop.job(number) for number in numbers])

    async def work(self) -> None:
        """Do jobs."""
        await aiq.Worker(self._queue, tasks=[self._noop], slots=self._concurrency).run_until_idle()

    async def left(self) -> int:
        """The worker ends when nothing is left."""
        return 1


if __name__ == "__main__":
    main(Ours())
