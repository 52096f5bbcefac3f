"""What a Redis server tells of its scripts, as the benchmark asks for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from aiq.backends.redis.address import parse
from aiq.backends.redis.client import Client
from aiq.backends.redis.storage import RedisStorage, open_redis
from benchmarks.redis_scripts import Bench, points, scripts_run
from tests.servers import Server


@pytest.fixture
async def url() -> AsyncIterator[str]:
    server = Server("--appendonly", "no").start()
    yield f"redis://127.0.0.1:{server.port}/0?namespace=bench"
    server.end()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[RedisStorage, Client]]:
    storage, client = await open_redis(url), Client(parse(url))
    try:
        yield storage, client
    finally:
        await storage.close()
        await client.close()


async def test_a_round_tells_how_long_the_server_was_busy_with_the_script_and_how_long_its_caller_waited(
    url: str,
) -> None:
    async with opened(url) as (storage, client):
        await storage.count()

        busy_ms, took_ms = await Bench(storage, client).round(storage.count)

        assert 0 < busy_ms < took_ms


async def test_a_script_of_somebody_else_in_a_round_ends_the_measurement(url: str) -> None:
    async with opened(url) as (storage, client), opened(f"{url}2") as (other, _):

        async def both() -> None:
            await storage.count()
            await other.count()

        await both()
        with pytest.raises(SystemExit, match="2 scripts ran in one call"):
            await Bench(storage, client).round(both)


async def test_commands_that_are_no_scripts_count_for_nothing(url: str) -> None:
    async with opened(url) as (storage, client):
        await storage.count()
        before = await scripts_run(client)

        await client.ask("PING")

        assert await scripts_run(client) == before


def test_what_one_of_a_hundred_takes_longer_than_is_never_more_than_any_took() -> None:
    assert points([1.0, 2.0, 30.0])[1] <= 30.0
