"""A storage in Redis: its faces, one for each noun of the contract, and its own life."""

from contextlib import AsyncExitStack
from typing import Self

from aiq.backends.clock import Clock
from aiq.backends.redis.address import parse
from aiq.backends.redis.client import Client
from aiq.backends.redis.door import Door
from aiq.backends.redis.face.budgets import BudgetsFace
from aiq.backends.redis.face.dead import DeadLettersFace
from aiq.backends.redis.face.events import EventsFace
from aiq.backends.redis.face.jobs import JobsFace
from aiq.backends.redis.face.keys import KeysFace
from aiq.backends.redis.face.limits import LimitsFace
from aiq.backends.redis.face.moving import MovingFace
from aiq.backends.redis.face.schedules import SchedulesFace
from aiq.backends.redis.face.signals import SignalsFace
from aiq.backends.redis.face.steps import StepsFace
from aiq.backends.redis.face.streams import StreamsFace
from aiq.backends.redis.face.upkeep import UpkeepFace
from aiq.backends.redis.face.wakeups import WakeupsFace
from aiq.backends.redis.face.workers import WorkersFace
from aiq.backends.redis.server import Server, ask, check
from aiq.model import Capability
from aiq.storage import Storage


class RedisStorage(
    BudgetsFace,
    DeadLettersFace,
    EventsFace,
    JobsFace,
    KeysFace,
    LimitsFace,
    MovingFace,
    SchedulesFace,
    SignalsFace,
    StepsFace,
    StreamsFace,
    UpkeepFace,
    WakeupsFace,
    WorkersFace,
    Door,
):
    """A namespace of a Redis server, which any number of processes and machines share.

    An operation is one script: Redis runs it whole, and nothing else meanwhile.
    """

    def __init__(self, client: Client, server: Server, clock: Clock | None) -> None:
        super().__init__(client, clock)
        self._server = server

    @property
    def url(self) -> str:
        """The address it was opened with, without its passwords."""
        return self._client.url

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Changes are pushed. Whether what is acknowledged outlives the server is the server's to say."""
        kept = {Capability.DURABLE} if self._server.keeps else set()
        return frozenset({Capability.PUSH_WAKEUPS, *kept})

    async def sibling(self) -> Self:
        """Open the same storage again for another thread and event loop, with connections of its own."""
        self._check_open()
        return type(self)(self._client.sibling(), self._server, self._clock)

    async def close(self) -> None:
        """Let go of the connections once what was asked for is done. Closing twice is fine.

        Whoever is cancelled in this may close again, and finishes what is left.
        """
        self._open = False
        await self._listener.close()
        await self._client.close()


async def open_redis(url: str, clock: Clock | None = None) -> RedisStorage:
    """Open a namespace of a Redis server, as `redis://host:port/db?namespace=NAME`. See docs/redis.md for the others.

    Raises:
        StorageMismatch: another version of aiq has laid the namespace out in its own way.
        Moved: it has, and its jobs have moved on.
        Corrupt: what it says of its layout cannot be read.
        Misconfigured: the address makes no sense, or the server is not fit to hold jobs; the text says why.
        Unavailable: it does not answer.
    Spec: STORE-12
    """
    async with AsyncExitStack() as failing:
        client = Client(parse(url))
        failing.push_async_callback(client.close)
        # In a cluster this finds the node: whoever is asked first may hold other slots.
        await client.ask("EXISTS", client.address.prefix)
        server = await ask(client)
        check(server, client.url)
        storage = RedisStorage(client, server, clock)
        # Every step refuses what another version has laid out; this one does nothing else.
        await storage.moved_to()
        failing.pop_all()
    return storage


def _conforms(storage: RedisStorage) -> Storage:
    return storage
