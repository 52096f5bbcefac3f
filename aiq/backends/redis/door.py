"""The way to Redis: one call of a script for each operation, and its answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from aiq.backends.clock import Clock
from aiq.backends.redis.client import Client
from aiq.backends.redis.listener import Listener
from aiq.backends.redis.refusals import refusal
from aiq.errors import Unavailable

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


@dataclass(frozen=True, slots=True)
class Answer:
    """What a script answers: a value, and pieces of bytes that the value names by their place, counted from 1."""

    value: Any  # Any: each face knows the shape of its own
    blobs: Sequence[bytes | None]

    def blob(self, place: int) -> bytes | None:
        """The piece at a place."""
        return self.blobs[place - 1]


@dataclass(slots=True)
class Blobs:
    """Pieces of bytes that go with a call; no script looks into them."""

    pieces: list[bytes] = field(default_factory=list)

    def add(self, piece: bytes) -> int:
        """Take one along, and tell its place, counted from 1."""
        self.pieces.append(piece)
        return len(self.pieces)


class Door:
    """What every operation goes through. The faces of the storage share it."""

    def __init__(self, client: Client, clock: Clock | None) -> None:
        self._client = client
        self._prefix = client.address.prefix
        self._clock = clock
        self._open = True
        self._listener = Listener(client, f"{self._prefix}:wakeups", self.moved_to)

    def _check_open(self) -> None:
        if not self._open:
            raise Unavailable(f"This storage ({self._client.url}) is closed; open it again.")

    async def moved_to(self) -> str | None:
        """The address to which the namespace has moved, if it has. Spec: MOVE-8"""
        return (await self._step("moved")).value or None

    async def _step(self, name: str, args: Any = None, blobs: Blobs | None = None) -> Answer:  # Any: as the script says
        """Run the script of an operation. `args` is what msgpack can say; an absent `None` is nothing in Lua.

        Raises:
            StorageError: what the script refuses, or what keeps Redis from answering.
        Spec: STORE-1, STORE-3
        """
        self._check_open()
        head: dict[str, Any] = {"args": {} if args is None else args}
        if self._clock is not None:
            head["now_ms"] = self._clock()
        found = await self._client.run(name, self._prefix, [_encode(head), *(blobs.pieces if blobs else ())])
        said = _decode(found[0]) or {}  # a step that answers nothing says an empty table
        if "refused" in said:
            raise refusal(said["refused"], said.get("detail"))
        return Answer(said.get("answer"), found[1:])
