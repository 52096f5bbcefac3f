"""A namespace says how what it keeps is laid out, and is left alone by whoever does not know that way."""

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count

import msgspec
import pytest

from aiq.backends.redis.fields import LAYOUT
from aiq.backends.redis.storage import RedisStorage, open_redis
from aiq.errors import Corrupt, Moved, StorageMismatch
from aiq.moving import move
from aiq.storage import Storage
from aiq.testing.actions import claim_some, enqueue_one, get_one, job
from aiq.testing.clock import Clock
from tests import stores
from tests.keys import clean
from tests.servers import PASSWORD, USER, server

_names = count(1)


@pytest.fixture
def name() -> str:
    # No word of what a refusal says: it has the address in it.
    return f"kept{next(_names)}"


@pytest.fixture
async def storage(name: str) -> AsyncIterator[RedisStorage]:
    opened = await open_redis(url(name))
    await enqueue_one(opened, "a")
    yield opened
    await opened.close()
    clean(server(), name)


def url(name: str) -> str:
    return f"redis://{USER}:{PASSWORD}@127.0.0.1:{server().port}/0?namespace={name}"


def note(name: str, field: str, value: object) -> None:
    """What another version may have stored."""
    server().ask("HSET", f"{{aiq:{name}}}:counters", field, msgspec.msgpack.encode(value))


def kept(name: str) -> dict[str, object]:
    """All keys of a namespace, each with what is in it as Redis writes it to a file."""
    return {key: server().ask("DUMP", key) for key in server().ask("KEYS", f"{{aiq:{name}}}:*")}


async def test_a_namespace_with_jobs_opens_again(storage: RedisStorage, name: str) -> None:
    opened = await open_redis(url(name))

    assert await opened.count() == await storage.count()
    await opened.close()


@pytest.mark.usefixtures("storage")
async def test_a_namespace_of_another_layout_is_refused(name: str) -> None:
    note(name, "layout", LAYOUT + 1)

    with pytest.raises(StorageMismatch, match=rf"number {LAYOUT + 1}.*aiq export"):
        await open_redis(url(name))


@pytest.mark.usefixtures("storage")
async def test_a_namespace_from_before_layouts_had_numbers_is_refused(name: str) -> None:
    server().ask("HDEL", f"{{aiq:{name}}}:counters", "layout")

    with pytest.raises(StorageMismatch, match=r"number 1,.*aiq export"):
        await open_redis(url(name))


@pytest.mark.parametrize("raw", [b"\xc1", b"\xa3two", b"abc"], ids=["no msgpack", "a text", "more than one"])
@pytest.mark.usefixtures("storage")
async def test_a_namespace_whose_layout_cannot_be_read_is_refused(name: str, raw: bytes) -> None:
    server().ask("HSET", f"{{aiq:{name}}}:counters", "layout", raw)

    with pytest.raises((Corrupt, StorageMismatch), match=r"layout|contradicts itself"):
        await open_redis(url(name))


@pytest.mark.usefixtures("storage")
async def test_a_namespace_of_another_layout_that_has_moved_says_where_to(name: str) -> None:
    note(name, "layout", LAYOUT + 1)
    note(name, "shut", {"moved_to": "sqlite:///there.db"})

    with pytest.raises(Moved, match=r"sqlite:///there\.db"):
        await open_redis(url(name))


UNREADABLE = {
    "a text": b"\xa3two",
    "true": b"\xc3",
    "false": b"\xc2",
    "nil": b"\xc0",
    "a list": b"\x91\xa3two",
    "an empty map": b"\x80",
    "no bytes": b"",
}


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE)
async def test_where_it_cannot_be_read_whether_a_namespace_has_moved_nothing_is_opened_nor_written(
    storage: RedisStorage, name: str, raw: bytes
) -> None:
    server().ask("HSET", f"{{aiq:{name}}}:counters", "shut", raw)
    before = kept(name)

    with pytest.raises(Corrupt, match="whether this namespace has moved"):
        await open_redis(url(name))
    with pytest.raises(Corrupt, match="whether this namespace has moved"):
        await enqueue_one(storage, "b")
    assert kept(name) == before


STEPS: dict[str, Callable[[Storage], Awaitable[object]]] = {
    "a write": lambda storage: enqueue_one(storage, "b"),
    "a claim": lambda storage: claim_some(storage, 3),
    "a look": lambda storage: get_one(storage, "a"),
    "a move": lambda storage: storage.retire("sqlite:///there.db"),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_another_version_may_lay_out_a_namespace_that_this_one_has_open(
    storage: RedisStorage, name: str, step: Callable[[Storage], Awaitable[object]]
) -> None:
    note(name, "layout", LAYOUT + 1)
    before = kept(name)

    with pytest.raises(StorageMismatch, match=rf"number {LAYOUT + 1}"):
        await step(storage)
    assert kept(name) == before


async def test_who_has_a_namespace_open_hears_where_another_version_has_taken_it(
    storage: RedisStorage, name: str
) -> None:
    note(name, "layout", LAYOUT + 1)
    note(name, "shut", {"moved_to": "sqlite:///there.db"})

    with pytest.raises(Moved, match=r"sqlite:///there\.db"):
        await storage.count()


async def test_a_first_batch_of_several_notes_the_layout(name: str) -> None:
    opened = await open_redis(url(name))
    await opened.enqueue([job("a"), job("b"), job("c", delay_ms=1)])

    assert await layout_of(opened, name) == LAYOUT


async def test_what_is_taken_in_from_another_storage_notes_the_layout(name: str) -> None:
    opened = await open_redis(url(name))
    async with stores.sqlite(Clock()) as file:
        await file.enqueue([job("a"), job("b")])
        await move(file, opened)

    assert await layout_of(opened, name) == LAYOUT


async def layout_of(opened: RedisStorage, name: str) -> object:
    """What is stored of the layout of a namespace that is to be removed."""
    found = server().ask("HGET", f"{{aiq:{name}}}:counters", "layout")
    await opened.close()
    clean(server(), name)
    return msgspec.msgpack.decode(found.encode())
