"""pgqueuer, which logs that a job has ended, and keeps no result.

It does so many jobs at once as asked, and takes half as many at a time, the most that it allows then; or, with the
variant "100", it takes a hundred at a time and bounds nothing, which is how it is fastest.
"""

from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.queries import Queries

from benchmarks.peers.lap import main

CONNECTIONS = 20
"""No more than that at once. More of them are not faster on this store."""


class Pgqueuer:
    """See `benchmarks.peers.lap.BulkPeer`."""

    def __init__(self, batch: int | None = None) -> None:
        self._batch = batch

    async def open(self, url: str, concurrency: int, done: Callable[[], None]) -> None:
        """Connect, and make its tables."""
        self._concurrency, self._done = concurrency, done
        self._pool: Any = await asyncpg.create_pool(url, min_size=2, max_size=CONNECTIONS)
        async with self._pool.acquire() as connection:
            await Queries.from_asyncpg_connection(connection).install()
        self._queries = Queries.from_asyncpg_pool(self._pool)

    async def put(self, number: int) -> None:
        """One job."""
        await self._queries.enqueue("noop", b"%d" % number)

    async def put_many(self, numbers: Sequence[int]) -> None:
        """All in one call."""
        payloads = [b"%d" % number for number in numbers]
        await self._queries.enqueue(["noop"] * len(payloads), payloads, [0] * len(payloads))

    async def work(self) -> None:
        """Do jobs."""
        worker = PgQueuer.from_asyncpg_pool(self._pool)

        @worker.entrypoint("noop")
        async def noop(job: Any) -> None:
            self._done()

        if self._batch is not None:
            await worker.run(batch_size=self._batch)
        else:
            await worker.run(batch_size=max(self._concurrency // 2, 1), max_concurrent_tasks=self._concurrency)

    async def left(self) -> int:
        """Those in its table: what has ended is in another one."""
        return int(await self._pool.fetchval("SELECT count(*) FROM pgqueuer"))


if __name__ == "__main__":
    main(Pgqueuer(), **{"100": Pgqueuer(batch=100)})
