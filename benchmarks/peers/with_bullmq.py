"""bullmq in Python, which keeps what is completed, as it does unless told otherwise."""

from collections.abc import Callable, Sequence
from typing import Any

from bullmq import Queue, Worker
from redis.asyncio import Redis

from benchmarks.peers.lap import main


class BullMQ:
    """See `benchmarks.peers.lap.BulkPeer`."""

    async def open(self, url: str, concurrency: int, done: Callable[[], None]) -> None:
        """Connect."""
        self._options: dict[str, Any] = {"connection": url}
        self._concurrency, self._done = concurrency, done
        self._queue, self._store = Queue("q", self._options), Redis.from_url(url)

    async def put(self, number: int) -> None:
        """One job."""
        await self._queue.add("noop", {"number": number}, {})

    async def put_many(self, numbers: Sequence[int]) -> None:
        """All in one call."""
        await self._queue.addBulk([{"name": "noop", "data": {"number": number}, "opts": {}} for number in numbers])

    async def work(self) -> None:
        """Do jobs."""
        options = {**self._options, "concurrency": self._concurrency, "autorun": False}
        await Worker("q", self._noop, options).run()

    async def _noop(self, job: Any, _token: str) -> int:
        self._done()
        return int(job.data["number"])

    async def left(self) -> int:
        """Those that wait or run."""
        return int(await self._store.llen("bull:q:wait")) + int(await self._store.llen("bull:q:active"))


if __name__ == "__main__":
    main(BullMQ())
