"""What a Redis server tells of its scripts, as the benchmark asks for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from aiq.backends.redis.address import parse
from aiq.backends.redis.client import Client
from aiq.backends.redis.storage import RedisStorage, open_redis
from benchmarks.redis_scripts import SlowLog
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


async def test_each_script_is_noted_with_its_time_and_what_others_do_is_not(url: str) -> None:
    async with opened(url) as (storage, client), opened(f"{url}2") as (other, _):
        await storage.count()
        async with SlowLog(client).noting() as noted:
            for one in (storage, other, storage):
                await one.count()
                await client.ask("PING")

        assert len(noted) == 2
        assert all(0 < ms < 10_000 for ms in noted)


async def test_the_settings_of_the_server_are_put_back(url: str) -> None:
    async with opened(url) as (_, client):
        before = await client.ask("CONFIG", "GET", "slowlog-*")
        async with SlowLog(client).noting():
            assert await client.ask("CONFIG", "GET", "slowlog-*") != before

        assert await client.ask("CONFIG", "GET", "slowlog-*") == before
