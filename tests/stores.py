"""The stores of this repository, as the conformance suite opens them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory

from aiq.backends import open_storage
from aiq.storage import Storage
from aiq.testing.clock import Clock


@asynccontextmanager
async def opened(url: str, clock: Clock) -> AsyncIterator[Storage]:
    storage = await open_storage(url, clock=clock)
    try:
        yield storage
    finally:
        await storage.close()


@asynccontextmanager
async def memory(clock: Clock) -> AsyncIterator[Storage]:
    async with opened("memory://", clock) as storage:
        yield storage


@asynccontextmanager
async def sqlite(clock: Clock) -> AsyncIterator[Storage]:
    # A file of its own for each test.
    with TemporaryDirectory() as folder:
        async with opened(f"sqlite:///{folder}/jobs.db?synchronous=normal", clock) as storage:
            yield storage
