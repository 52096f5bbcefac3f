"""saq on Redis or Postgres, as it comes."""

from collections.abc import Callable
from typing import Any

from saq import Queue, Worker

from benchmarks.peers.lap import main


class Saq:
    """See `benchmarks.peers.lap.Peer`. Its only call for many jobs waits for their results."""

    async def open(self, url: str, concurrency: int, done: Callable[[], None]) -> None:
        """Connect."""
        self._queue, self._concurrency = Queue.from_url(url), concurrency
        await self._queue.connect()

        async def noop(_: Any, *, number: int) -> int:
            done()
            return number

        self._noop = noop

    async def put(self, number: int) -> None:
        """One job."""
        await self._queue.enqueue("noop", number=number)

    async def work(self) -> None:
        """Do jobs."""
        await Worker(self._queue, functions=[("noop", self._noop)], concurrency=self._concurrency).start()

    async def left(self) -> int:
        """Those that are not done."""
        return int(await self._queue.count("incomplete"))


if __name__ == "__main__":
    main(Saq())
