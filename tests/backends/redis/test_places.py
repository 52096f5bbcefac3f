"""How the server of an address is found where one of several keeps silent, or lets nobody in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio.connection import AbstractConnection

from aiq.backends.redis.address import parse
from aiq.backends.redis.client import Client
from aiq.errors import Misconfigured
from tests.chaos.notes import until
from tests.servers import PASSWORD, USER, Server, free_port, server

PATIENCE_S = 4
"""Less than the deadline of the operations here, which is 20 s."""


@asynccontextmanager
async def listening(answer: bytes | bytearray | None) -> AsyncIterator[int]:
    """The port of somebody who gives one answer to whatever is said, or none ever."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answer is not None and await reader.read(4096):
            writer.write(answer)
        await ended.wait()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        ended.set()
        listener.close()


@asynccontextmanager
async def to(url: str) -> AsyncIterator[Client]:
    client = Client(parse(url))
    try:
        yield client
    finally:
        await client.close()


def naming(port: int) -> bytes:
    """What a sentinel answers whose primary listens at a port."""
    return f"*2\r\n$9\r\n127.0.0.1\r\n${len(str(port))}\r\n{port}\r\n".encode()


async def test_a_sentinel_that_never_answers_is_passed_over_and_asked_last_from_then_on() -> None:
    async with listening(None) as mute, listening(naming(server().port)) as sentinel:
        hosts = f"127.0.0.1:{mute},127.0.0.1:{sentinel}"
        async with to(f"redis+sentinel://{hosts}/jobs?timeout=1") as client:
            assert await client.ask("ECHO", "a") == b"a"
            client._places.lost(await client._places.find())
            async with asyncio.timeout(0.25):
                assert await client.ask("ECHO", "b") == b"b"


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://nobody:wrong@{0}?timeout=20",
        "redis+sentinel://{0}/jobs?timeout=20&sentinel_username=nobody&sentinel_password=wrong",
        "redis+sentinel://nobody:wrong@{1}/jobs?timeout=20",
    ],
)
async def test_a_wrong_password_is_told_at_once_wherever_it_is_asked_for(url: str) -> None:
    async with listening(naming(server().port)) as sentinel:
        hosts = [f"127.0.0.1:{port}" for port in (server().port, sentinel)]
        async with to(url.format(*hosts)) as client, asyncio.timeout(PATIENCE_S):
            with pytest.raises(Misconfigured, match="refuses this user or password"):
                await client.ask("PING")


async def test_a_sentinel_that_refuses_us_is_passed_over_while_another_lets_us_in() -> None:
    async with listening(b"-WRONGPASS no\r\n") as strict, listening(naming(server().port)) as sentinel:
        hosts = f"127.0.0.1:{strict},127.0.0.1:{free_port()},127.0.0.1:{sentinel}"
        async with to(f"redis+sentinel://{USER}:{PASSWORD}@{hosts}/jobs") as client:
            assert await client.ask("EXISTS", "{aiq:default}") == 0


async def test_a_node_that_never_answers_is_passed_over_and_not_asked_again_by_a_sibling() -> None:
    async with (
        listening(None) as mute,
        to(f"redis+cluster://127.0.0.1:{mute},127.0.0.1:{server().port}?timeout=1") as client,
    ):
        assert await client.ask("ECHO", "a") == b"a"
        sibling = client.sibling()
        async with asyncio.timeout(0.25):
            assert await sibling.ask("ECHO", "b") == b"b"
        await sibling.close()


async def test_after_a_connection_was_cut_while_it_lay_idle_the_sentinels_are_asked_again() -> None:
    other = Server("--appendonly", "no").start()
    named = bytearray(naming(server().port))
    try:
        async with listening(named) as sentinel, to(f"redis+sentinel://127.0.0.1:{sentinel}/jobs") as client:
            assert f"tcp_port:{server().port}\r" in (await client.ask("INFO", "server")).decode()

            # The old primary is there, and would answer.
            named[:] = naming(other.port)
            server().ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            ((_, idle),) = client._free
            await until(lambda: at_eof(idle), "the end of the connection has come")
            assert f"tcp_port:{other.port}\r" in (await client.ask("INFO", "server")).decode()
    finally:
        other.end()


def at_eof(connection: AbstractConnection) -> bool:
    return connection._reader is not None and connection._reader.at_eof()


@pytest.mark.parametrize("setting", ["ssl_ca_certs=/nonexistent", "ssl_certfile=/nonexistent"])
async def test_a_file_for_tls_that_is_not_there_is_no_outage(setting: str) -> None:
    async with to(f"rediss://127.0.0.1:{server().port}?{setting}") as client:
        with pytest.raises(Misconfigured, match="cannot be read"):
            await client.ask("PING")


async def test_a_server_that_is_no_sentinel_is_told_to_be_none() -> None:
    async with to(f"redis+sentinel://127.0.0.1:{server().port}/jobs?timeout=2") as client:
        with pytest.raises(Misconfigured, match="is no sentinel"):
            await client.ask("PING")
