"""One exchange, until it is answered."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from random import Random

from aiq.engine.timing import Backoff, BootClock
from aiq.errors import StorageError, StorageFull, Unavailable
from aiq.model import ClaimRequest, Exchanged, Settlement
from aiq.storage import Jobs

_log = logging.getLogger("aiq.worker")


class Exchanger:
    """Sends the same exchange again while the storage does not answer: a repeat does nothing twice, and only its
    answer tells what became of the first. `stopping` says that the claim half is not wanted any more."""

    def __init__(self, storage: Jobs, *, clock: BootClock, rng: Random, stopping: Callable[[], bool]) -> None:
        self._storage = storage
        self._clock, self._rng, self._stopping = clock, rng, stopping

    async def send(self, settlements: Sequence[Settlement], claim: ClaimRequest | None) -> tuple[int, Exchanged]:
        """The answer, and when the earliest exchange went out that can have leased what it brings."""
        backoff = Backoff(self._rng)
        sent_ms, unknown, failed = self._clock(), False, False
        while settlements or claim is not None:
            try:
                answer = await self._storage.exchange(settlements, claim)
            except (Unavailable, StorageFull) as error:
                self._tell(error, first=not failed)
                failed = True
                unknown = unknown or (isinstance(error, Unavailable) and error.outcome_unknown)
                await asyncio.sleep(backoff.next_ms() / 1000)
                if not unknown:
                    sent_ms = self._clock()
                    claim = None if self._stopping() else claim
            else:
                if failed:
                    _log.info("The storage answers again.")
                return sent_ms, answer
        return sent_ms, Exchanged((), (), None)

    def _tell(self, error: StorageError, *, first: bool) -> None:
        # Once per outage: a worker that waits for its storage must not fill the disk with saying so.
        level = logging.WARNING if first else logging.DEBUG
        _log.log(level, "The storage did not take an exchange (%s: %s); trying on.", type(error).__name__, error)
