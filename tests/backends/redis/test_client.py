"""The client of the Redis storage: what it does when a connection, a server or its caller fails in the middle."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import ResponseError

from aiq.backends.redis import client as client_module
from aiq.backends.redis.address import parse
from aiq.backends.redis.client import Client
from aiq.backends.redis.errors import ours
from aiq.backends.redis.scripts import Script
from aiq.errors import Corrupt, Misconfigured, Unavailable
from tests.chaos.notes import until
from tests.chaos.proxy import Proxy, proxied
from tests.servers import Server, free_port, server

KEY = "counter"


@asynccontextmanager
async def to(port: int, more: str = "") -> AsyncIterator[Client]:
    """A client that is the owner of the server."""
    made = Client(parse(f"redis://127.0.0.1:{port}/0{more}"))
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    server().ask("DEL", KEY)
    async with proxied(server().port) as made:
        yield made


def counted() -> int:
    return int(server().ask("GET", KEY) or 0)


async def test_a_command_whose_answer_is_lost_is_not_sent_again(proxy: Proxy) -> None:
    async with to(proxy.port) as client:
        proxy.drop_reply(b"INCR")
        with pytest.raises(Unavailable) as told:
            await client.ask("INCR", KEY)

        assert told.value.outcome_unknown
        assert (proxy.lost, counted()) == ([b"INCR"], 1)
        assert await client.ask("INCR", KEY) == 2


async def test_a_server_that_does_not_answer_is_waited_for_until_the_deadline_and_its_late_answer_is_nobodys(
    proxy: Proxy,
) -> None:
    async with to(proxy.port, "?timeout=0.2") as client:
        await client.ask("ECHO", "a")
        proxy.go_dark()
        with pytest.raises(Unavailable, match=r"within 0\.2 s") as told:
            await client.ask("ECHO", "b")
        assert told.value.outcome_unknown
        proxy.light_up()

        assert await client.ask("ECHO", "c") == b"c"


async def test_making_a_script_counts_against_the_deadline_and_has_sent_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(_: str) -> Script:
        return await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(client_module, "composed", never)
    async with to(server().port, "?timeout=0.1") as client:
        with pytest.raises(Unavailable, match=r"within 0\.1 s") as told:
            async with asyncio.timeout(10):
                await client.run("count", "{aiq:none}", [])

        assert not told.value.outcome_unknown


async def test_nothing_was_sent_to_a_server_that_is_not_there() -> None:
    async with to(free_port()) as client:
        with pytest.raises(Unavailable) as told:
            await client.ask("INCR", KEY)

        assert not told.value.outcome_unknown


async def test_whoever_waits_for_a_connection_in_vain_has_sent_nothing(proxy: Proxy) -> None:
    async with to(proxy.port, "?timeout=0.2&connections=1") as client:
        await client.ask("ECHO", "a")
        proxy.go_dark()
        first, second = await asyncio.gather(
            client.ask("INCR", KEY), client.ask("INCR", KEY), return_exceptions=True
        )  # fmt: skip

        assert isinstance(first, Unavailable)
        assert isinstance(second, Unavailable)
        assert (first.outcome_unknown, second.outcome_unknown) == (True, False)


async def test_there_are_no_more_connections_than_the_address_allows(proxy: Proxy) -> None:
    async with to(proxy.port, "?connections=3") as client:
        assert await asyncio.gather(*(client.ask("ECHO", f"{n}") for n in range(50))) == [
            f"{n}".encode() for n in range(50)
        ]

        assert proxy.lines == 3


async def test_a_caller_that_is_cancelled_wherever_it_waits_leaves_every_answer_to_its_own_question() -> None:
    server().ask("DEL", KEY)
    async with to(server().port, "?connections=1") as client:
        begun = 0
        for ticks in range(40):
            asked = asyncio.create_task(client.ask("INCR", KEY))
            for _ in range(ticks % 20):
                await asyncio.sleep(0)
            asked.cancel()
            await asyncio.wait({asked})
            # A task that is cancelled before its first step has not begun.
            begun += ticks % 20 != 0

            assert await client.ask("ECHO", f"{ticks}") == f"{ticks}".encode()
            assert counted() == begun


async def test_a_step_that_is_cancelled_before_its_first_turn_leaves_nobody_waiting() -> None:
    async with to(server().port) as client:
        asked = asyncio.create_task(client.ask("INCR", KEY))
        await asyncio.sleep(0)
        (step,) = client._under_way
        step.cancel()
        await asyncio.wait({asked}, timeout=10)

        assert asked.cancelled()


async def test_a_cancellation_does_not_wait_for_ever(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "GRACE_S", 0.05)
    async with to(proxy.port) as client:
        await client.ask("ECHO", "a")
        proxy.go_dark()
        asked = asyncio.create_task(client.ask("ECHO", "b"))
        await asyncio.sleep(0)
        asked.cancel()
        async with asyncio.timeout(1):
            await asyncio.wait({asked})
        assert asked.cancelled()
        proxy.light_up()

        assert await client.ask("ECHO", "c") == b"c"


async def test_connections_that_were_cut_while_nobody_used_them_are_not_used_again(proxy: Proxy) -> None:
    async with to(proxy.port) as client:
        for n in range(5):
            assert await client.ask("ECHO", f"{n}") == f"{n}".encode()
            server().ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await until(lambda: proxy.lines == 0, "the connections are cut")
            # The end of the connection has come; the loop must still read it.
            for _ in range(10):
                await asyncio.sleep(0)


async def test_a_storage_that_is_closed_waits_for_what_was_asked(proxy: Proxy) -> None:
    async with to(proxy.port) as client:
        proxy.delay_s = 0.05
        asked = asyncio.create_task(client.ask("INCR", KEY))
        await asyncio.sleep(0)

    assert await asked == 1


async def test_a_server_that_restarts_is_found_again() -> None:
    one = Server("--appendonly", "no").start()
    try:
        async with to(one.port) as client:
            assert await client.ask("PING") == b"PONG"
            one.kill()
            with pytest.raises(Unavailable):
                await client.ask("PING")
            one.start()
            assert await client.ask("PING") == b"PONG"
    finally:
        one.end()


async def test_who_is_not_let_in_is_told_so_and_no_password_is_named() -> None:
    for user in ("aiq:hunter2", "nobody:hunter2"):
        client = Client(parse(f"redis://{user}@127.0.0.1:{server().port}"))
        with pytest.raises(Misconfigured, match="refuses this user or password") as told:
            await client.ask("PING")
        assert "hunter2" not in str(told.value)
        await client.close()


async def test_a_user_who_lacks_a_right_is_told_which_page_names_them() -> None:
    client = Client(parse(server().url()))
    with pytest.raises(Misconfigured, match=r"lacks a right.*docs/redis\.md"):
        await client.ask("FLUSHALL")
    await client.close()


async def test_a_database_that_is_not_there_is_told_so() -> None:
    client = Client(parse(f"redis://127.0.0.1:{server().port}/99"))
    with pytest.raises(Misconfigured, match="no such database"):
        await client.ask("PING")
    await client.close()


async def test_what_is_no_redis_is_told_so() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    web = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with web, to(web.sockets[0].getsockname()[1]) as client:
        with pytest.raises(Misconfigured, match="no Redis server"):
            await client.ask("PING")


async def test_a_key_of_another_kind_is_told_as_what_it_is() -> None:
    server().ask("SET", KEY, "a")
    async with to(server().port) as client:
        with pytest.raises(Corrupt, match="audit"):
            await client.ask("HGET", KEY, "field")


@pytest.mark.parametrize(
    ("said", "kind", "match"),
    [
        ("DENIED Redis is running in protected mode because …", Misconfigured, "passwords"),
        ("ERR unknown command 'EVALSHA', with args beginning with: ", Misconfigured, r"docs/redis\.md"),
        ("ERR Unknown Redis command called from script script: 1e7d, on @user_script:2.", Misconfigured, "7.0"),
        ("ERR Error compiling script (new function): user_script:1: unexpected symbol", Misconfigured, "7.0"),
        ("INPROG Failover already in progress", Unavailable, "Try again"),
        ("ERR what nobody has heard of", Unavailable, "Try again"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", Corrupt, "audit"),
        ("ERR user_script:2: attempt to index a nil value script: 1e7d, on @user_script:2.", Corrupt, "audit"),
    ],
)
def test_what_the_driver_has_no_class_for_is_told_as_what_it_is(said: str, kind: type[Exception], match: str) -> None:
    told = ours(ResponseError(said.removeprefix("ERR ")), "redis://a", sent=True)

    assert type(told) is kind
    assert re.search(match, str(told))
