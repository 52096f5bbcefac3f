"""What a Redis server tells of its scripts, as the benchmark asks for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from aiq.backends.redis.address import parse
from aiq.backends.redis.client import Client
from aiq.backends.redis.storage import RedisStorage, open_redis
from aiq.testing.actions import job
from benchmarks.redis_scripts import Bench, SlowLog, points
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
        slow = SlowLog(client)
        async with slow.noting():
            for one in (storage, other, storage):
                await one.count()
                await client.ask("PING")
            noted = await slow.taken()

        assert len(noted) == 2
        assert all(0 < ms < 10_000 for ms in noted)


async def test_every_batch_of_a_hundred_is_noted_whatever_else_its_script_does(url: str) -> None:
    async with opened(url) as (storage, client):
        slow = SlowLog(client)
        bench = Bench(storage, slow)
        async with slow.noting():
            for number in range(100):
                jobs = [job(f"{number} {place}", tenant=f"t{place}") for place in range(100)]
                await bench.round(partial(storage.enqueue, jobs))


async def test_a_round_that_was_not_noted_ends_the_measurement(url: str) -> None:
    async with opened(url) as (storage, client):
        slow = SlowLog(client)

        async def call() -> None:
            await storage.count()
            await client.ask("SLOWLOG", "RESET")

        with pytest.raises(SystemExit, match="0 scripts of a call"):
            async with slow.noting():
                await Bench(storage, slow).round(call)


async def test_the_settings_of_the_server_are_put_back(url: str) -> None:
    async with opened(url) as (_, client):
        before = await client.ask("CONFIG", "GET", "slowlog-*")
        async with SlowLog(client).noting():
            assert await client.ask("CONFIG", "GET", "slowlog-*") != before

        assert await client.ask("CONFIG", "GET", "slowlog-*") == before


async def test_they_are_put_back_when_it_is_cancelled_between_the_two(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(url) as (_, client):
        before, ask = await client.ask("CONFIG", "GET", "slowlog-*"), client.ask
        asked: list[str] = []

        async def cancelled_once(*command: str) -> object:
            asked.append(command[1])
            if asked.count("SET") == 2:
                monkeypatch.setattr(client, "ask", ask)
                raise asyncio.CancelledError
            return await ask(*command)

        monkeypatch.setattr(client, "ask", cancelled_once)
        with pytest.raises(asyncio.CancelledError):
            async with SlowLog(client).noting():
                pass

        assert await client.ask("CONFIG", "GET", "slowlog-*") == before


def test_what_one_of_a_hundred_takes_longer_than_is_never_more_than_any_took() -> None:
    assert points([1.0, 2.0, 30.0])[1] <= 30.0
