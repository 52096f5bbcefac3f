"""The least that it takes to be heard by another process through a server: what no queue on it can fall below.

Redis: a push onto a list, for which the other waits (BLPOP). PostgreSQL: a row that is committed, and a notice of it,
for which the other listens. What is sent is when that began; who hears it tells how long it took.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from benchmarks.private import store_of
from benchmarks.processes import line_of, process
from benchmarks.stores import connect_postgres

NAME: Final = "benchmark_floor"
"""The list, or the table and the channel. They are gone afterwards."""
Knock: TypeAlias = Callable[[], Awaitable[float]]
"""Be heard once: the milliseconds that it took."""
_Send: TypeAlias = Callable[[str], Awaitable[object]]


@asynccontextmanager
async def floor(url: str) -> AsyncIterator[Knock | None]:
    """What is heard by a process of its own; None of a store that has no server."""
    ways = _WAYS.get(store_of(url))
    if ways is None:
        yield None
        return
    async with ways[0](url) as send, process("benchmarks.floors", "--url", url) as other:

        async def knock() -> float:
            await send(str(time.monotonic_ns()))
            return int(await line_of(other)) / 1e6

        yield knock


def _heard(sent_ns: bytes | str) -> None:
    print(time.monotonic_ns() - int(sent_ns), flush=True)


def _server(url: str) -> str:
    return urlunsplit(urlsplit(url)._replace(query=""))


@asynccontextmanager
async def _redis(url: str) -> AsyncIterator[_Send]:
    from redis.asyncio import Redis

    async with Redis.from_url(_server(url)) as server:
        yield lambda told: server.rpush(NAME, told)


async def _hear_redis(url: str) -> None:
    from redis.asyncio import Redis

    async with Redis.from_url(_server(url)) as server:
        print("up", flush=True)
        while True:
            heard = await server.blpop([NAME], timeout=1)
            if heard:
                _heard(heard[1])


@asynccontextmanager
async def _postgres(url: str) -> AsyncIterator[_Send]:
    connection, _ = await connect_postgres(url)
    # A run that was killed has left it.
    await connection.execute(f"DROP TABLE IF EXISTS {NAME}; CREATE TABLE {NAME} (told text)")
    try:
        # Both in one transaction, which is committed as one.
        yield lambda told: connection.execute(f"INSERT INTO {NAME} VALUES ('{told}'); NOTIFY {NAME}, '{told}'")
    finally:
        await connection.execute(f"DROP TABLE {NAME}")
        await connection.close()


async def _hear_postgres(url: str) -> None:
    connection, _ = await connect_postgres(url)
    await connection.add_listener(NAME, lambda _connection, _process, _channel, told: _heard(told))
    print("up", flush=True)
    await asyncio.Event().wait()


_WAYS: Final[
    Mapping[str, tuple[Callable[[str], AbstractAsyncContextManager[_Send]], Callable[[str], Awaitable[None]]]]
] = {"redis": (_redis, _hear_redis), "postgres": (_postgres, _hear_postgres)}


async def _until_left(url: str) -> None:
    """Hear until the parent lets go."""
    hearing = asyncio.ensure_future(_WAYS[store_of(url)][1](url))
    left = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait((hearing, left), return_when=asyncio.FIRST_COMPLETED)
    hearing.cancel()


def main() -> None:
    """The process that hears."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", required=True)
    asyncio.run(_until_left(parser.parse_args().url))


if __name__ == "__main__":
    main()
