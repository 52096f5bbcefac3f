"""arq, tuned as its users do: it looks every 10 ms, and for a thousand jobs at once."""

from collections.abc import Callable
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func

from benchmarks.peers.lap import main


class Arq:
    """See `benchmarks.peers.lap.Peer`."""

    async def open(self, url: str, concurrency: int, done: Callable[[], None]) -> None:
        """Connect."""
        self._settings, self._concurrency = RedisSettings.from_dsn(url), concurrency
        self._pool = await create_pool(self._settings)

        async def noop(_: Any, number: int) -> int:
            done()
            return number

        self._noop = func(noop, name="noop")

    async def put(self, number: int) -> None:
        """One job."""
        await self._pool.enqueue_job("noop", number)

    async def work(self) -> None:
        """Do jobs."""
        worker = Worker(
            functions=[self._noop],
            redis_settings=self._settings,
            max_jobs=self._concurrency,
            poll_delay=0.01,
            queue_read_limit=1000,
            handle_signals=False,
        )
        await worker.async_run()

    async def left(self) -> int:
        """Those in the queue: a job leaves it when its result is stored."""
        return int(await self._pool.zcard("arq:queue"))


if __name__ == "__main__":
    main(Arq())
