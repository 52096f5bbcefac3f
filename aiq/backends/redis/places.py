"""Which server holds the namespace just now: the one of the address, the primary of sentinels, a node of a cluster."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from redis import exceptions as driver

from aiq.backends.redis.address import Address, Kind, Place
from aiq.backends.redis.connecting import connected, exchange, let_go
from aiq.backends.redis.errors import FAILURES, ours
from aiq.errors import Misconfigured


class Places(Protocol):
    """Where to go, as far as that is known.

    It may be copied from another thread meanwhile: a list is replaced, never changed.
    """

    async def find(self) -> Place:
        """The server to ask. It may turn out to be the wrong one: then `lost` or `moved` is called, and this again."""
        ...

    def lost(self, place: Place) -> None:
        """A server does not answer, or does not hold the namespace any more."""
        ...

    def closed(self, place: Place) -> None:
        """A server has closed a connection that lay idle, for whatever reason."""
        ...

    def moved(self, place: Place) -> None:
        """A server has named the one that holds the namespace."""
        ...


def places(address: Address) -> Places:
    """How the server of an address is found."""
    if address.kind is Kind.SENTINEL:
        return Watched(address)
    return Listed(address.places)


def share_s(address: Address) -> float:
    """How long one of several servers may keep an operation waiting: all of them, and the one that is found in the end,
    have their turn before its deadline. Who takes connections and never answers must not keep it from the others."""
    return address.timeout_ms / 1000 / (len(address.places) + 1)


class Listed:
    """One server, or the nodes of a cluster: any of them names the owner of a slot."""

    def __init__(self, known: Sequence[Place]) -> None:
        self._known = list(known)
        self._owner: Place | None = None

    async def find(self) -> Place:
        """See `Places`."""
        return self._owner or self._known[0]

    def lost(self, place: Place) -> None:
        """See `Places`. The next node is asked, and this one last."""
        self._owner = None
        if place in self._known:
            self._known = [*(one for one in self._known if one != place), place]

    def closed(self, place: Place) -> None:
        """See `Places`. A node that does not hold the slot any more says so."""

    def moved(self, place: Place) -> None:
        """See `Places`. Whoever owned the slot once is a node that can be asked when those of the address are gone."""
        self._owner = place
        if place not in self._known:
            self._known = [*self._known, place]


class Watched:
    """The primary of a service, as its sentinels name it."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._sentinels = list(address.places)
        self._primary: Place | None = None

    async def find(self) -> Place:
        """See `Places`. Sentinels are asked in turn, the one that answered last before the others."""
        if self._primary is None:
            self._primary = await self._ask()
        return self._primary

    async def _ask(self) -> Place:
        failure: Exception | None = None
        misconfigured: Exception | None = None
        for sentinel in tuple(self._sentinels):
            try:
                async with asyncio.timeout(share_s(self._address)):
                    found = await self._primary_by(sentinel)
            except FAILURES as error:
                if isinstance(ours(error, self._address.url, sent=False), Misconfigured):
                    misconfigured = error
                failure = error
            else:
                if found is not None:
                    return found
            self._sentinels = [*(one for one in self._sentinels if one != sentinel), sentinel]
        if misconfigured is not None:
            raise misconfigured
        told = f": {failure}" if failure else ""
        raise driver.ConnectionError(f"no sentinel names a primary of {self._address.service}{told}") from failure

    async def _primary_by(self, sentinel: Place) -> Place | None:
        connection = await connected(self._address, sentinel, sentinel=True)
        try:
            found = await exchange(connection, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service)
        finally:
            await let_go(connection)
        return Place(found[0].decode(), int(found[1])) if found else None

    def lost(self, place: Place) -> None:
        """See `Places`."""
        if place == self._primary:
            self._primary = None

    def closed(self, place: Place) -> None:
        """See `Places`. Sentinels cut the connections of a primary that they depose. As a replica it still answers
        whoever only reads: the next connection goes where the sentinels say."""
        self.lost(place)

    def moved(self, place: Place) -> None:
        """See `Places`. Nobody but the sentinels names a primary."""
