"""One exchange, until it is answered."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from random import Random

from aiq.engine.outage import Outage
from aiq.engine.timing import Backoff, BootClock
from aiq.errors import StorageFull, Unavailable
from aiq.model import ClaimRequest, Exchanged, Settlement
from aiq.storage import Jobs

_log = logging.getLogger("aiq.worker")


class Exchanger:
    """Sends the same exchange again while the storage does not answer: a repeat does nothing twice, and only its
    answer tells what became of the first. `stopping` says that the claim half is not wanted any more."""

    def __init__(self, storage: Jobs, *, clock: BootClock, rng: Random, stopping: Callable[[], bool]) -> None:
        self._storage = storage
        self._clock, self._rng, self._stopping = clock, rng, stopping
        self._outage = Outage(_log, "The storage has not taken an exchange", "The storage answers again", clock=clock)

    async def send(self, settlements: Sequence[Settlement], claim: ClaimRequest | None) -> tuple[int, Exchanged]:
        """The answer, and when the earliest exchange went out that can have leased what it brings."""
        backoff = Backoff(self._rng)
        sent_ms, unknown = self._clock(), False
        while settlements or claim is not None:
            try:
                answer = await self._storage.exchange(settlements, claim)
            except (Unavailable, StorageFull) as error:
                self._outage.failed(error)
                unknown = unknown or (isinstance(error, Unavailable) and error.outcome_unknown)
                await asyncio.sleep(backoff.next_ms() / 1000)
                if not unknown:
                    sent_ms = self._clock()
                    claim = None if self._stopping() else claim
            else:
                self._outage.over()
                return sent_ms, answer
        return sent_ms, Exchanged((), (), None)
