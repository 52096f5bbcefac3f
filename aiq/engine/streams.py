"""What a run emits, on its way to the storage.

While one append is under way, what is emitted meanwhile gathers and goes with the next, beside what other runs emit:
a token costs no round trip of its own, and no timer decides how long it waits.
"""

import asyncio
from collections import deque
from functools import partial
from random import Random
from typing import Final, Protocol, TypeAlias

from aiq.bounds import MAX_BATCH, MAX_CHUNK_BYTES
from aiq.engine.appends import Appends
from aiq.engine.outage import Outage, patiently
from aiq.engine.remarks import Room
from aiq.errors import LeaseLost, TooLarge
from aiq.model import ChunkKind, Lease, NewChunk

BUFFER_ITEMS: Final = 2 * MAX_BATCH
BUFFER_BYTES: Final = 4 * MAX_CHUNK_BYTES
"""What a run may be ahead of the storage; beyond it, `emit` waits."""
APPEND_BYTES: Final = 4 * MAX_CHUNK_BYTES
"""Bytes in one append, so that one talkative run does not hold up the others' steps."""
Waiting: TypeAlias = tuple[ChunkKind, bytes, str | None]
"""An item without a number yet: it may be left out."""


class Listener(Protocol):
    """Who hears what the storage says while it takes the items."""

    def cancel_requested(self) -> None:
        """The job was asked to stop."""
        ...

    def refused(self, lost: LeaseLost) -> None:
        """The run does not own the job any more."""
        ...


class Emitter:
    """The items of one run, in order. After an error nothing more is taken, and whoever comes next hears it."""

    def __init__(self, appends: Appends, lease: Lease, listener: Listener, *, outage: Outage, rng: Random) -> None:
        self._appends, self._lease, self._listener = appends, lease, listener
        self._outage, self._rng = outage, rng
        self._room = Room(0 if lease.fence == 1 else None)
        self._waiting: deque[Waiting] = deque()
        self._bytes = 0
        self._taken = 0
        self._stored = 0
        """Of those taken, also what was left out."""
        self._seq = 0
        self._pump: asyncio.Task[None] | None = None
        self._turn: asyncio.Future[None] | None = None
        """Done with the append under way; None when there is none."""
        self._error: Exception | None = None
        self._told = False
        self._closed = False

    async def put(self, kind: ChunkKind, data: bytes, step: str | None) -> None:
        """Take one item; it is stored soon. Waits while the storage is BUFFER_BYTES or BUFFER_ITEMS behind.

        Progress takes the place of the progress that waits as the newest item: a later one counts.

        Raises:
            TooLarge: this item is over MAX_CHUNK_BYTES, or it is data, and earlier data took the stream over its bound.
            LeaseLost: an earlier item was refused.
        """
        if len(data) > MAX_CHUNK_BYTES:
            raise TooLarge("chunk", len(data), MAX_CHUNK_BYTES, "Emit it in several parts.", unit=" bytes")
        while self._error is None and (self._bytes >= BUFFER_BYTES or len(self._waiting) >= BUFFER_ITEMS):
            await self._append_done()
        if self._closed or (isinstance(self._error, TooLarge) and kind is not ChunkKind.DATA):
            # Of a run that is over nothing counts, and what its stray branch asks for next is refused.
            return
        self._raise_error()
        if kind is ChunkKind.PROGRESS and self._waiting and self._waiting[-1][0] is kind:
            self._bytes -= len(self._waiting.pop()[1])
            self._taken -= 1
        self._taken += 1
        self._waiting.append((kind, data, step))
        self._bytes += len(data)
        if self._turn is None:
            self._start()

    async def flush(self) -> None:
        """Wait until all that was taken so far is stored.

        Raises:
            TooLarge, StorageError: it could not be. An error that was raised once is not raised again here, so that
                a job whose handler lives with a full stream can still complete.
        """
        last = self._taken
        while self._turn is not None and self._stored < last:
            await self._append_done()
        if not self._told:
            self._raise_error()

    def close(self) -> None:
        """Give up what is not stored yet, and take nothing more: the run is over."""
        self._closed = True
        self._forget_waiting()
        if self._pump is not None:
            self._pump.cancel()

    def _raise_error(self) -> None:
        if self._error is not None:
            self._told = True
            raise self._error

    async def _append_done(self) -> None:
        # `wait`, not `await`: whoever is cancelled here must not cancel what others wait for too.
        if self._turn is not None:
            await asyncio.wait({self._turn})

    def _start(self) -> None:
        # The turn before the task: an eager task runs at once, and may be over before it has a name.
        self._turn = asyncio.get_running_loop().create_future()
        self._pump = asyncio.create_task(self._append_all())
        # A callback and no `finally`: a task that is cancelled before it began runs neither of its own lines.
        self._pump.add_done_callback(self._stopped)

    async def _append_all(self) -> None:
        while self._waiting:
            if self._room.stream_bytes is None and any(kind is not ChunkKind.DATA for kind, _, _ in self._waiting):
                # An append of nothing tells how full earlier runs have left the stream.
                await self._append([])
            before = len(self._waiting)
            batch = self._next_batch()
            taken = before - len(self._waiting)
            if batch:
                await self._append(batch)
            self._stored += taken
            self._next_turn(asyncio.get_running_loop().create_future())

    def _stopped(self, _: "asyncio.Task[None]") -> None:
        self._next_turn(None)
        if self._waiting:
            self._start()

    def _next_turn(self, turn: "asyncio.Future[None] | None") -> None:
        """Wake those who wait for the append that is done; the others wait for the next one."""
        done, self._turn = self._turn, turn
        if done is not None:
            done.set_result(None)

    async def _append(self, batch: list[NewChunk]) -> None:
        try:
            append = partial(self._appends.append, self._lease, batch)
            answer = await patiently(append, self._outage, rng=self._rng)
        except Exception as error:  # noqa: BLE001 - kept for whoever emits or flushes next
            self._broke(error)
            return
        self._room.stream_bytes = answer.stream_bytes
        if answer.cancel_requested:
            self._listener.cancel_requested()

    def _next_batch(self) -> list[NewChunk]:
        """What goes with the next append; nothing, where all that waits is left out."""
        batch: list[NewChunk] = []
        size = 0
        while self._waiting and len(batch) < MAX_BATCH:
            kind, data, step = self._waiting[0]
            if batch and size + len(data) > APPEND_BYTES:
                break
            self._waiting.popleft()
            self._bytes -= len(data)
            if (admitted := self._room.admit(kind, data)) is not None:
                size += len(admitted)
                self._seq += 1
                batch.append(NewChunk(self._seq, admitted, kind, step))
        return batch

    def _broke(self, error: Exception) -> None:
        self._error = error
        self._forget_waiting()
        if isinstance(error, LeaseLost):
            # The listener ends the run, and says why; a settlement need not fail for it.
            self._told = True
            self._listener.refused(error)

    def _forget_waiting(self) -> None:
        self._waiting.clear()
        self._bytes = 0
