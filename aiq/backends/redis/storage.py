"""A storage in Redis: its faces, one for each noun of the contract, and its own life."""

from typing import Self
from urllib.parse import parse_qs, urlsplit

from aiq.backends.clock import Clock
from aiq.backends.redis.client import Client
from aiq.backends.redis.door import Door
from aiq.backends.redis.face.dead import DeadFace
from aiq.backends.redis.face.events import EventsFace
from aiq.backends.redis.face.jobs import JobsFace
from aiq.backends.redis.face.keys import KeysFace
from aiq.backends.redis.face.limits import LimitsFace
from aiq.backends.redis.face.moving import MovingFace
from aiq.backends.redis.face.schedules import SchedulesFace
from aiq.backends.redis.face.upkeep import UpkeepFace
from aiq.backends.redis.face.workers import WorkersFace
from aiq.model import Capability
from aiq.storage import Storage


class RedisStorage(
    DeadFace,
    EventsFace,
    JobsFace,
    KeysFace,
    LimitsFace,
    MovingFace,
    SchedulesFace,
    UpkeepFace,
    WorkersFace,
    Door,
):
    """A namespace of a Redis server."""

    @property
    def url(self) -> str:
        """The address it was opened with, without its password."""
        return self._client.url

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it has of the three things that are not mandatory."""
        return frozenset({Capability.DURABLE, Capability.PUSH_WAKEUPS})

    async def sibling(self) -> Self:
        """Open the same storage again for another thread and event loop."""
        self._check_open()
        return type(self)(Client(self._client.url), self._namespace, self._clock)

    async def close(self) -> None:
        """Let go of the connections."""
        self._open = False
        await self._client.close()


async def open_redis(url: str, clock: Clock | None = None) -> RedisStorage:
    """Open a namespace of a Redis server: `redis://host:port/db?namespace=NAME`."""
    namespace = parse_qs(urlsplit(url).query).get("namespace", ["default"])[0]
    return RedisStorage(Client(url.partition("?")[0]), namespace, clock)


def _conforms(storage: RedisStorage) -> Storage:
    return storage
