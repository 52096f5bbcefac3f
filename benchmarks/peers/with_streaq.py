"""streaq, as it comes."""

from collections.abc import Callable, Sequence
from typing import Any

from streaq import Worker

from benchmarks.peers.lap import main


class Streaq:
    """See `benchmarks.peers.lap.BulkPeer`."""

    async def open(self, url: str, concurrency: int, done: Callable[[], None]) -> None:
        """Connect."""
        self._url, self._concurrency, self._done = url, concurrency, done
        self._worker, self._noop = self._made()
        await self._worker.__aenter__()

    async def put(self, number: int) -> None:
        """One job."""
        await self._noop.enqueue(number)

    async def put_many(self, numbers: Sequence[int]) -> None:
        """All in one call."""
        await self._worker.enqueue_many([self._noop.enqueue(number) for number in numbers])

    async def work(self) -> None:
        """Do jobs."""
        worker, _ = self._made()
        await worker.run_async()

    async def left(self) -> int:
        """Those that are not done."""
        return int(await self._worker.queue_size())

    def _made(self) -> tuple[Any, Any]:
        worker = Worker(redis_url=self._url, concurrency=self._concurrency, handle_signals=False)

        @worker.task(name="noop")
        async def noop(number: int) -> int:
            self._done()
            return number

        return worker, noop


if __name__ == "__main__":
    main(Streaq())
