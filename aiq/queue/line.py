"""What the rooms of `Queue` have in common: a named line, and the door to the storage that it is in."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self
from weakref import WeakKeyDictionary

from aiq.codecs import Codec
from aiq.coded import behind
from aiq.errors import InvalidInput
from aiq.gathering import Gathering
from aiq.needs import Needs
from aiq.storage import Storage


class Door:
    """The storage that queues share: opened by the first who enters, closed by the last who leaves.

    A storage that was handed in open stays open.
    """

    def __init__(self, storage: str | Storage, codecs: Sequence[Codec]) -> None:
        self._url = storage if isinstance(storage, str) else None
        self._storage = None if isinstance(storage, str) else behind(storage, codecs)
        self._codecs = codecs
        self._inside = 0
        self.needs = Needs()
        self._gatherings: WeakKeyDictionary[asyncio.AbstractEventLoop, Gathering] = WeakKeyDictionary()

    @property
    def storage(self) -> Storage:
        """The open storage; InvalidInput says that nobody has entered."""
        if self._storage is None:
            raise InvalidInput("The queue is not open. Use it inside `async with aiq.Queue(...) as queue:`.")
        return self._storage

    @property
    def gathering(self) -> Gathering:
        """In which those of this loop who enqueue at the same time travel together."""
        loop = asyncio.get_running_loop()
        if loop not in self._gatherings:
            self._gatherings[loop] = Gathering(self.storage)
        return self._gatherings[loop]

    async def enter(self) -> None:
        """Open the storage, unless somebody is inside."""
        if self._storage is None and self._url is not None:
            from aiq.backends import open_storage

            self._storage, self.needs = behind(await open_storage(self._url), self._codecs), Needs()
        self._inside += 1

    async def leave(self) -> None:
        """Close the storage that was opened here, if nobody else is inside."""
        self._inside -= 1
        if self._inside == 0 and self._url is not None and self._storage is not None:
            storage, self._storage = self._storage, None
            gathering = self._gatherings.get(asyncio.get_running_loop())
            self._gatherings = WeakKeyDictionary()
            try:
                if gathering is not None:
                    await gathering.rest()
            finally:
                await storage.close()


class Line:
    """A named line in a storage, open inside `async with`."""

    def __init__(self, name: str, door: Door) -> None:
        self.name = name
        self._door = door

    async def __aenter__(self) -> Self:
        await self._door.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._door.leave()

    @property
    def storage(self) -> Storage:
        """The open storage.

        Raises:
            InvalidInput: the queue is not open.
        """
        return self._door.storage
