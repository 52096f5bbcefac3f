"""Wake-ups over a Redis server. What another process writes there is heard by whoever waits here."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import msgspec
import pytest

from aiq.backends.redis import listener
from aiq.backends.redis.storage import RedisStorage, open_redis
from aiq.errors import Moved, Unavailable
from aiq.storage import events_topic
from aiq.testing.actions import enqueue_one
from aiq.testing.clock import Clock
from aiq.testing.moves import everything
from tests import stores
from tests.chaos.notes import until
from tests.chaos.proxy import proxied
from tests.servers import PASSWORD, USER, server

LONG_MS = 60_000
_names = count(1)


@asynccontextmanager
async def opened(name: str, port: int = 0, more: str = "") -> AsyncIterator[RedisStorage]:
    address = f"redis://{USER}:{PASSWORD}@127.0.0.1:{port or server().port}/0?namespace={name}{more}"
    storage = await open_redis(address)
    try:
        yield storage
    finally:
        await storage.close()


@pytest.fixture
def name() -> str:
    return f"wakeups{next(_names)}"


@pytest.fixture
async def here(name: str) -> AsyncIterator[RedisStorage]:
    async with opened(name) as storage:
        yield storage


async def mark_of(storage: RedisStorage, *topics: str) -> str:
    return await storage.wait(topics, after=None, timeout_ms=0)


def tell(name: str, *topics: str) -> None:
    """What a step of another process writes."""
    key, words = f"{{aiq:{name}}}:wakeups", ("topics", msgspec.msgpack.encode(list(topics)), "briefs", "")
    server().ask("XADD", key, "MAXLEN", "~", listener.KEPT, "*", *words)


async def hears(storage: RedisStorage, mark: str, *topics: str) -> str:
    async with asyncio.timeout(10):
        return await storage.wait(topics, after=mark, timeout_ms=LONG_MS)


async def test_a_change_elsewhere_ends_a_wait(name: str, here: RedisStorage) -> None:
    mark = await mark_of(here, "queue:a")
    waiting = asyncio.create_task(hears(here, mark, "queue:a"))
    await asyncio.sleep(0)
    tell(name, "queue:a")

    assert await waiting != mark


async def test_a_change_after_the_mark_and_before_the_wait_is_not_missed(name: str, here: RedisStorage) -> None:
    mark = await mark_of(here, "queue:a")
    tell(name, "queue:a")

    await hears(here, mark, "queue:a")


@pytest.mark.parametrize(
    "words", [("topics", msgspec.msgpack.encode(["queue:b"])), ("topics", "", "jobs", ""), ("a", "b", "c", "d")]
)
async def test_an_entry_of_another_shape_may_say_anything(
    name: str, here: RedisStorage, words: tuple[str | bytes, ...]
) -> None:
    mark = await mark_of(here, "queue:a")
    server().ask("XADD", f"{{aiq:{name}}}:wakeups", "*", *words)

    await hears(here, mark, "queue:a")


async def test_a_change_before_the_mark_ends_no_wait(name: str, here: RedisStorage) -> None:
    await mark_of(here, "queue:a")
    tell(name, "queue:a")
    mark = await mark_of(here, "queue:a")

    assert await here.wait(["queue:a"], after=mark, timeout_ms=50) == mark


async def test_nobody_is_woken_for_what_he_does_not_wait_for(name: str, here: RedisStorage) -> None:
    mark = await mark_of(here, "queue:a", "queue:b")
    waiting = asyncio.create_task(hears(here, mark, "queue:a"))
    other = asyncio.create_task(hears(here, mark, "queue:b"))
    await asyncio.sleep(0)
    tell(name, "queue:b")
    await other

    assert not waiting.done()
    tell(name, "queue:a")
    await waiting


async def test_who_was_away_while_more_was_written_than_is_kept_looks_at_everything(
    name: str, here: RedisStorage
) -> None:
    mark = await mark_of(here, "queue:a")
    tell(name, "queue:a")
    for _ in range(2 * listener.KEPT):
        tell(name, "queue:b")

    await hears(here, mark, "queue:a")


async def test_a_line_that_is_cut_costs_a_look_and_is_made_again(name: str) -> None:
    async with proxied(server().port) as proxy, opened(name, proxy.port) as storage:
        mark = await mark_of(storage, "queue:a")
        waiting = asyncio.create_task(hears(storage, mark, "queue:a"))
        await until_it_reads(name)
        proxy.cut()
        mark = await waiting

        waiting = asyncio.create_task(hears(storage, mark, "queue:a"))
        await until_it_reads(name)
        tell(name, "queue:a")
        assert await waiting != mark


async def test_a_dead_line_of_which_nobody_tells_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_BLOCK_MS", 50)
    async with proxied(server().port) as proxy, opened(name, proxy.port, "&timeout=0.1") as storage:
        mark = await mark_of(storage, "queue:a")
        waiting = asyncio.create_task(hears(storage, mark, "queue:a"))
        await until_it_reads(name)
        proxy.go_dark()
        # Its connections stay dark, and new ones get through.
        await until(lambda: storage._listener._last is None, "it is noticed")
        proxy.light_up()

        await waiting


async def test_a_mark_cannot_be_taken_while_the_server_is_away(name: str) -> None:
    async with proxied(server().port) as proxy, opened(name, proxy.port, "&timeout=0.1") as storage:
        proxy.go_dark()
        with pytest.raises(Unavailable):
            await mark_of(storage, "queue:a")


async def test_events_that_are_taken_in_from_another_storage_wake_whoever_reads_the_log(
    name: str, here: RedisStorage
) -> None:
    async with stores.memory(Clock()) as source, opened(name) as there:
        await enqueue_one(source, "a")
        await here.load("move", [])
        mark = await mark_of(there, events_topic())
        await here.load("move", await everything(source))

        assert await hears(there, mark, events_topic()) != mark


async def test_who_waits_in_vain_costs_less_than_a_command_a_second(name: str, here: RedisStorage) -> None:
    mark = await mark_of(here, "queue:a")
    before = reads()
    await here.wait(["queue:a"], after=mark, timeout_ms=1_500)

    # One read, which the server holds for five seconds.
    assert reads() - before <= 1


async def test_a_busy_storage_reads_nothing(name: str, here: RedisStorage) -> None:
    mark = await mark_of(here, "queue:a")
    tell(name, "queue:a")
    await hears(here, mark, "queue:a")
    await until_it_reads(name, held=False)
    before = reads()
    for _ in range(20):
        tell(name, "queue:a")

    assert reads() == before


async def test_a_wake_up_takes_milliseconds(name: str, here: RedisStorage) -> None:
    taken = []
    mark = await mark_of(here, "queue:a")
    for _ in range(50):
        waiting = asyncio.create_task(hears(here, mark, "queue:a"))
        await until_it_reads(name)
        began = time.perf_counter()
        tell(name, "queue:a")
        mark = await waiting
        taken.append(time.perf_counter() - began)

    assert sorted(taken)[25] < 0.05


async def test_a_closed_storage_has_stopped_reading(name: str) -> None:
    async with opened(name) as storage:
        mark = await mark_of(storage, "queue:a")
        waiting = asyncio.create_task(storage.wait(["queue:a"], after=mark, timeout_ms=LONG_MS))
        await until_it_reads(name)

    await waiting
    await until_it_reads(name, held=False)


async def until_it_reads(name: str, *, held: bool = True) -> None:
    """Wait until the server holds a read, or holds none."""

    def holds() -> bool:
        return any("flags=b " in line for line in str(server().ask("CLIENT", "LIST")).splitlines())

    await until(lambda: holds() == held, "the server holds a read" if held else "the server holds no read")


def reads() -> int:
    """How often the server was asked what is new."""
    return int(server().ask("INFO", "commandstats")["cmdstat_xread"]["calls"])


async def test_a_move_that_is_undone_while_nobody_reads_keeps_nobody_from_waiting(
    name: str, here: RedisStorage
) -> None:
    async with opened(name) as there:
        await here.retire("sqlite:///other.db")
        mark = await mark_of(there, "queue:a")
        with pytest.raises(Moved):
            await there.wait(["queue:a"], after=mark, timeout_ms=LONG_MS)
        await here.retire(None)

        await there.wait(["queue:a"], after=mark, timeout_ms=10)


async def test_whoever_is_interrupted_while_it_looks_where_the_storage_is_leaves_the_news_to_the_next(
    name: str, here: RedisStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = await mark_of(here, "queue:a")
    tell(name, listener.EVERYTHING)
    looking, look = asyncio.Event(), here._listener._look

    async def stands_still() -> str | None:
        looking.set()
        return await asyncio.Future()

    monkeypatch.setattr(here._listener, "_look", stands_still)
    interrupted = asyncio.create_task(here._listener.catch_up())
    await looking.wait()
    interrupted.cancel()
    await asyncio.wait({interrupted})
    monkeypatch.setattr(here._listener, "_look", look)
    await here._listener.catch_up()

    assert await here.wait(["queue:a"], after=mark, timeout_ms=0) != mark


async def test_the_reader_goes_on_for_whoever_comes_in_the_turn_in_which_it_would_end(
    here: RedisStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ears = here._listener

    async def comes_too_late() -> None:
        ears._waiting += 1
        raise TimeoutError

    monkeypatch.setattr(ears._wanted, "wait", comes_too_late)
    assert await ears._is_wanted()
    ears._waiting -= 1


async def test_who_is_cancelled_while_it_closes_may_close_again(name: str) -> None:
    async with proxied(server().port) as proxy:
        storage = await open_redis(f"redis://{USER}:{PASSWORD}@127.0.0.1:{proxy.port}/0?namespace={name}")
        proxy.delay_s = 0.2
        asked = asyncio.create_task(storage.count())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        closing = asyncio.create_task(storage.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait({closing})
        assert closing.cancelled()
        await storage.close()

        assert asked.done() or not storage._client._under_way
        await until(lambda: proxy.lines == 0, "the connections are closed")
        await asked
