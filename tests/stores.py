"""The stores of this repository, as the conformance suite opens them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from aiq.backends import open_storage
from aiq.storage import Storage
from aiq.testing.clock import Clock
from tests.keys import clean
from tests.lending import lent
from tests.postgres_servers import WORKER, pooler, postgres_server
from tests.schemas import schemas
from tests.servers import Server, cluster, server, watched


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
    async with _namespace(server().url, server(), clock) as storage:
        yield storage


@asynccontextmanager
async def redis_cluster(clock: Clock) -> AsyncIterator[Storage]:
    async with _namespace(cluster().url, None, clock) as storage:
        yield storage


@asynccontextmanager
async def redis_sentinel(clock: Clock) -> AsyncIterator[Storage]:
    async with _namespace(watched().url, watched().primary, clock) as storage:
        yield storage


@asynccontextmanager
async def _namespace(url: Callable[[str], str], holder: Server | None, clock: Clock) -> AsyncIterator[Storage]:
    """A namespace of its own, as the user with the least rights. In the end no key is left of which nobody knows."""
    name = f"t{next(_namespaces)}"
    async with opened(url(name), clock) as storage:
        yield storage
    leaks = clean(holder or cluster().owner(name), name)
    assert not leaks, f"Nobody knows what these keys are of: {leaks}"


_namespaces = count(1)


@asynccontextmanager
async def postgres(clock: Clock) -> AsyncIterator[Storage]:
    async with _schema(partial(postgres_server().url, user=WORKER), clock) as storage:
        yield storage


@asynccontextmanager
async def postgres_pooled(clock: Clock) -> AsyncIterator[Storage]:
    async with _schema(lambda name: pooler().url(name, "&pooled=true", WORKER), clock) as storage:
        yield storage


@asynccontextmanager
async def _schema(url: Callable[[str], str], clock: Clock) -> AsyncIterator[Storage]:
    """A schema of its own, as a worker. It is emptied for the next test."""
    name = await schemas().take()
    async with lent(url(name), clock) as storage:
        yield storage
    schemas().give_back(name)
