"""The atomic work of a queue from a tight loop: no worker, no handlers, nobody else who asks."""

import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from aiq.bounds import MAX_BATCH
from benchmarks.peers.lap import CALLERS

PAYLOAD: Final = b'{"number":12345}'
RESULT: Final = b"12345"
SECONDS: Final = 1.5
"""Each kind of work is done for so long, or until there is nothing left to take."""


class Bare(Protocol):
    """A way to do it."""

    async def open(self, url: str) -> None:
        """Connect, and make what is needed in a store that is empty."""
        ...

    async def put(self, jobs: int) -> None:
        """Put jobs in, in one step."""
        ...

    async def turn(self, jobs: int) -> int:
        """End the jobs that were taken last, and take the next, at most so many, in one step. How many were taken."""
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...


async def measure(bare: Bare, url: str) -> dict[str, float]:
    """Jobs a second, by the names of the figures of ours that they bound."""
    await bare.open(url)
    try:
        return {
            "one_by_one": await rate(putting(bare, 1)),
            "concurrent": await rate(putting(bare, CALLERS)),
            "bulk": await rate(putting(bare, MAX_BATCH)),
            "drain c=10": await drain(bare, 10),
            "drain c=100": await drain(bare, 100),
        }
    finally:
        await bare.close()


async def drain(bare: Bare, jobs: int) -> float:
    """Jobs a second that are taken and ended, so many in each step. The drain before may have left nothing."""
    await rate(putting(bare, MAX_BATCH))
    return await rate(lambda: bare.turn(jobs))


def putting(bare: Bare, jobs: int) -> Callable[[], Awaitable[int]]:
    """Put so many in, and say how many they were."""

    async def put() -> int:
        await bare.put(jobs)
        return jobs

    return put


async def rate(step: Callable[[], Awaitable[int]]) -> float:
    """Jobs a second of a step that is done again and again."""
    jobs, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS and (some := await step()):
        jobs += some
    return jobs / (time.perf_counter() - start)
