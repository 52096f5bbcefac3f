"""What runs emit goes to the storage together: those of all runs of a worker in one append.

While one is under way, what is emitted meanwhile gathers and goes with the next. A call costs a storage many times what
another run in it costs, see decision 16; no timer decides how long anything waits.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from aiq.bounds import MAX_BATCH, MAX_CHUNK_BYTES
from aiq.engine.tasks import PATIENCE_S
from aiq.errors import OF_STORAGE, Unavailable, twin
from aiq.model import Append, Appended, Lease, NewChunk
from aiq.storage import AppendRefused, Streams

CALL_BYTES: Final = 16 * MAX_CHUNK_BYTES
"""Bytes beyond which no further run goes with an append, so that talkative runs do not hold up the steps of others."""
_Answer: TypeAlias = Appended | AppendRefused
_ENDED: Final = "The loop that appended for several runs was told to end."
_CLOSED: Final = "The worker has ended, and appends nothing more."


@dataclass(eq=False, slots=True)
class _Asked:
    """What one run has to say. An answer that is cancelled is not waited for any more."""

    said: Append
    answer: "asyncio.Future[Appended]"

    def tell(self, answer: _Answer | Exception) -> None:
        if self.answer.done():
            return
        if isinstance(answer, Appended):
            self.answer.set_result(answer)
        else:
            self.answer.set_exception(answer)


class Appends:
    """Appends for the runs of one loop, in the order in which they came. What is refused to one, or its cancellation,
    never reaches the others."""

    def __init__(self, storage: Streams) -> None:
        self._storage = storage
        self._waiting: deque[_Asked] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._busy = self._closed = False

    async def append(self, lease: Lease, chunks: Sequence[NewChunk]) -> Appended:
        """Add what one run emitted. Whoever is cancelled here may have added it, or not: a repeat tells.

        Raises:
            AiqError: as `aiq.storage.append`.
            CancelledError: also when this was closed before it was added; so nobody tries again for ever.
        """
        if self._closed:
            raise asyncio.CancelledError(_CLOSED)
        asked = _Asked(Append(lease, chunks), asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        self._start()
        return await asked.answer

    async def close(self) -> None:
        """Give up what is not stored yet, since the runs are over: who waits for it, or comes later, is cancelled."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft().answer.cancel(_CLOSED)
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait({self._pump}, timeout=PATIENCE_S)

    def _start(self) -> None:
        if self._busy or self._closed:
            return
        # Before the task: an eager one runs at once, and may be over before it has a name.
        self._busy = True
        # It appends for all runs: what the first of them has set in its context is not for the others' calls.
        self._pump = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())
        # A callback and no `finally`: a task that is cancelled before it began runs neither of its own lines.
        self._pump.add_done_callback(self._stopped)

    async def _run(self) -> None:
        while self._waiting:
            together = self._next()
            try:
                await self._send(together)
            finally:
                # Where the task itself is cancelled nobody is left waiting.
                for asked in together:
                    asked.tell(Unavailable(_ENDED, outcome_unknown=True))
            # Whoever was answered and has more to say goes along with the next.
            await asyncio.sleep(0)

    def _stopped(self, _: "asyncio.Task[None]") -> None:
        self._busy = False
        if self._waiting:
            self._start()

    def _next(self) -> list[_Asked]:
        """Those who wait, as many of the first as one append takes."""
        together: list[_Asked] = []
        items = size = 0
        while self._waiting and len(together) < MAX_BATCH:
            chunks = self._waiting[0].said.chunks
            items, size = items + len(chunks), size + sum([len(chunk.data) for chunk in chunks])
            if together and (items > MAX_BATCH or size > CALL_BYTES):
                break
            together.append(self._waiting.popleft())
        return together

    async def _send(self, together: Sequence[_Asked]) -> None:
        """Make one append for those who still wait. Where it fails for what one of them says, or for what is stored of
        him, each makes his own."""
        wanted = [asked for asked in together if not asked.answer.done()]
        if not wanted:
            return
        answers: Sequence[_Answer | Exception]
        try:
            answers = await self._storage.append([asked.said for asked in wanted])
        except Exception as error:  # noqa: BLE001 - it is the answer to each of them
            if len(wanted) > 1 and not isinstance(error, OF_STORAGE):
                for asked in wanted:
                    await self._send([asked])
                return
            answers = [error, *[twin(error) for _ in wanted[1:]]]
        for asked, answer in zip(wanted, answers, strict=True):
            asked.tell(answer)
