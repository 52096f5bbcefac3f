"""taskiq on Redis Streams, with its result backend."""

from collections.abc import Callable

from redis.asyncio import Redis
from taskiq.api import run_receiver_task
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.peers.lap import main

RESULTS_KEPT_SECONDS = 3600


class Taskiq:
    """See `benchmarks.peers.lap.Peer`."""

    async def open(self, url: str, concurrency: int, done: Callable[[], None]) -> None:
        """Connect."""
        results: RedisAsyncResultBackend[int] = RedisAsyncResultBackend(url, result_ex_time=RESULTS_KEPT_SECONDS)
        self._broker = RedisStreamBroker(url=url, consumer_id="0").with_result_backend(results)
        self._concurrency, self._store = concurrency, Redis.from_url(url)

        @self._broker.task(task_name="noop")
        async def noop(number: int) -> int:
            done()
            return number

        self._noop = noop
        await self._broker.startup()

    async def put(self, number: int) -> None:
        """One job."""
        await self._noop.kiq(number)

    async def work(self) -> None:
        """Do jobs."""
        self._broker.is_worker_process = True
        await run_receiver_task(self._broker, max_async_tasks=self._concurrency, max_prefetch=0)

    async def left(self) -> int:
        """Those that nobody has read, or acknowledged."""
        group = (await self._store.xinfo_groups("taskiq"))[0]
        return int(group["pending"]) + int(group["lag"] or 0)


if __name__ == "__main__":
    main(Taskiq())
