"""Every write, when its reply is lost on the way: it happened once, and the same call gives the first answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest

from aiq.backends.redis.scripts import script
from aiq.errors import Unavailable
from aiq.storage import Storage
from aiq.testing.clock import Clock
from tests import stores
from tests.chaos.proxy import Proxy, proxied
from tests.conformance import test_lost_replies as scenes
from tests.servers import PASSWORD, USER, server

_names = count(1)


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with proxied(server().port) as made:
        yield made


@asynccontextmanager
async def behind(proxy: Proxy, clock: Clock) -> AsyncIterator[Storage]:
    name = f"lost{next(_names)}"
    url = f"redis://{USER}:{PASSWORD}@127.0.0.1:{proxy.port}/0?namespace={name}"
    async with stores.opened(url, clock) as storage:
        yield storage


@pytest.mark.parametrize("write", scenes.WRITES)
async def test_a_write_whose_reply_is_lost_on_the_way_happens_once_and_is_answered_when_it_is_sent_again(
    proxy: Proxy, write: str
) -> None:
    operation, call = scenes.WRITES[write]
    course = await scenes.simple_course(stores.redis, call)

    async with scenes.scene(lambda clock: behind(proxy, clock)) as storage:
        proxy.drop_reply(script(operation).sha.encode(), times=2)
        for _ in range(2):
            with pytest.raises(Unavailable) as lost:
                await call(storage)
            assert lost.value.outcome_unknown
        answer = await call(storage)

        assert len(proxy.lost) == 2
        assert scenes.same(answer, write, course)
        assert await scenes.look_at_all(storage) == course.after


@pytest.mark.faults
@pytest.mark.parametrize("write", scenes.WRITES)
async def test_a_write_that_is_cancelled_while_its_reply_is_on_the_way_has_happened(proxy: Proxy, write: str) -> None:
    _, call = scenes.WRITES[write]
    course = await scenes.simple_course(stores.redis, call)

    async with scenes.scene(lambda clock: behind(proxy, clock)) as storage:
        proxy.delay_s = 0.01
        asked = asyncio.ensure_future(call(storage))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait({asked})
        proxy.delay_s = 0

        assert asked.cancelled()
        assert await scenes.look_at_all(storage) == course.after
