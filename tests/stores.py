"""The stores of this repository, as the conformance suite opens them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from aiq.backends import open_storage
from aiq.storage import Storage
from aiq.testing.clock import Clock
from tests.servers import redis_port


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
    with TemporaryDirectory() as folder:
        path = Path(folder, "jobs.db")
        path.write_bytes(await empty_file())  # noqa: ASYNC240 - a small file, and nobody else in this loop
        async with opened(f"sqlite:///{path}?synchronous=normal", clock) as storage:
            yield storage


_made: dict[str, bytes] = {}


async def empty_file() -> bytes:
    """A file with the schema and nothing else. It is made once, because a migration waits for the disk."""
    if "empty" not in _made:
        with TemporaryDirectory() as folder:
            path = Path(folder, "jobs.db")
            async with opened(f"sqlite:///{path}", Clock()):
                pass
            _made["empty"] = path.read_bytes()  # noqa: ASYNC240 - as above
    return _made["empty"]


@asynccontextmanager
async def redis(clock: Clock) -> AsyncIterator[Storage]:
    namespace = f"t{next(_namespaces)}"
    async with opened(f"redis://127.0.0.1:{redis_port()}/0?namespace={namespace}", clock) as storage:
        yield storage


_namespaces = count(1)
