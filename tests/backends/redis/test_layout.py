"""A namespace says how what it keeps is laid out, and is left alone by whoever does not know that way."""

from collections.abc import AsyncIterator
from itertools import count

import msgspec
import pytest

from aiq.backends.redis.fields import LAYOUT
from aiq.backends.redis.storage import RedisStorage, open_redis
from aiq.errors import StorageMismatch
from aiq.testing.actions import enqueue_one
from tests.keys import clean
from tests.servers import PASSWORD, USER, server

_names = count(1)


@pytest.fixture
def name() -> str:
    return f"layout{next(_names)}"


@pytest.fixture
async def storage(name: str) -> AsyncIterator[RedisStorage]:
    opened = await open_redis(url(name))
    await enqueue_one(opened, "a")
    yield opened
    await opened.close()
    clean(server(), name)


def url(name: str) -> str:
    return f"redis://{USER}:{PASSWORD}@127.0.0.1:{server().port}/0?namespace={name}"


async def test_a_namespace_with_jobs_opens_again(storage: RedisStorage, name: str) -> None:
    opened = await open_redis(url(name))

    assert await opened.count() == await storage.count()
    await opened.close()


@pytest.mark.usefixtures("storage")
async def test_a_namespace_of_another_layout_is_refused(name: str) -> None:
    server().ask("HSET", f"{{aiq:{name}}}:counters", "layout", msgspec.msgpack.encode(LAYOUT + 1))

    with pytest.raises(StorageMismatch, match=rf"number {LAYOUT + 1}.*aiq export"):
        await open_redis(url(name))


@pytest.mark.usefixtures("storage")
async def test_a_namespace_from_before_layouts_had_numbers_is_refused(name: str) -> None:
    server().ask("HDEL", f"{{aiq:{name}}}:counters", "layout")

    with pytest.raises(StorageMismatch, match=r"number 1,.*aiq export"):
        await open_redis(url(name))
