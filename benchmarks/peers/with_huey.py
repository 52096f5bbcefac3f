"""huey on SQLite with fsync, with as many threads as jobs are to be done at once.

It forgets a job when it takes it. The result is stored; with the variant "bare" there is none, and nothing is stored.
Its calls are not asynchronous: callers on one loop come one after the other, which suits it better than threads.
"""

import asyncio
import threading
from collections.abc import Callable

from huey import SqliteHuey

from benchmarks.peers.lap import main


class Huey:
    """See `benchmarks.peers.lap.Peer`."""

    def __init__(self, *, results: bool = True) -> None:
        self._results = results

    async def open(self, url: str, concurrency: int, done: Callable[[], None]) -> None:
        """Make the file."""
        self._huey = SqliteHuey("peers", filename=url.removeprefix("sqlite:///"), fsync=True)
        self._concurrency, alone = concurrency, threading.Lock()

        def noop(number: int) -> int | None:
            with alone:
                done()
            return number if self._results else None

        self._noop = self._huey.task()(noop)

    async def put(self, number: int) -> None:
        """One job."""
        self._noop(number)

    async def work(self) -> None:
        """Do jobs, in threads that end with the process."""
        consumer = self._huey.create_consumer(
            workers=self._concurrency, periodic=False, initial_delay=0.01, max_delay=0.01, check_worker_health=False
        )
        consumer.start()
        await asyncio.Event().wait()

    async def left(self) -> int:
        """Those that no thread has taken yet."""
        return int(self._huey.pending_count())


if __name__ == "__main__":
    main(Huey(), bare=Huey(results=False))
