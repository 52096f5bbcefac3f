"""One exchange, until it is answered."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from aiq.engine.outage import Outage
from aiq.engine.outbox import Answer
from aiq.engine.timing import Backoff, BootClock
from aiq.errors import OUTAGES, InvalidInput, Unavailable
from aiq.model import ClaimRequest, Exchanged, JobRecord, Settlement
from aiq.storage import Jobs

_log = logging.getLogger("aiq.worker")


@dataclass(frozen=True, slots=True)
class Received:
    """What became of an exchange. `settled` answers each settlement in its place, one that no store could record by the
    error that says so; the rest as in `Exchanged`."""

    settled: Sequence[Answer]
    claimed: Sequence[JobRecord]
    next_due_ms: int | None


class Exchanger:
    """Sends the same exchange again while the storage has an outage: a repeat does nothing twice, and only its answer
    tells what became of the first. `stopping` says that the claim half is not wanted any more. Spec: OUTAGE-1"""

    def __init__(self, storage: Jobs, *, clock: BootClock, rng: Random, stopping: Callable[[], bool]) -> None:
        self._storage = storage
        self._clock, self._rng, self._stopping = clock, rng, stopping
        self._outage = Outage(_log, "The storage has not taken an exchange", "The storage answers again", clock=clock)

    async def send(self, settlements: Sequence[Settlement], claim: ClaimRequest | None) -> tuple[int, Received]:
        """The answer, and when the earliest exchange went out that can have leased what it brings.

        Where what one of the settlements says is refused, each goes by itself, and the claim after them: it harms no
        other.

        Raises:
            InvalidInput: it is the claim that is refused.
            StorageError: any that is no outage; these are waited for.
        """
        try:
            sent_ms, answer = await self._send(settlements, claim)
            settled: Sequence[Answer] = answer.settled
        except InvalidInput:
            if not settlements:
                raise
            settled = [await self._settle(one) for one in settlements]
            sent_ms, answer = await self._send((), claim)
        return sent_ms, Received(settled, answer.claimed, answer.next_due_ms)

    async def _settle(self, one: Settlement) -> Answer:
        try:
            _, answer = await self._send((one,), None)
        except InvalidInput as error:
            return error
        return answer.settled[0]

    async def _send(self, settlements: Sequence[Settlement], claim: ClaimRequest | None) -> tuple[int, Exchanged]:
        backoff = Backoff(self._rng)
        sent_ms, unknown = self._clock(), False
        while settlements or claim is not None:
            try:
                answer = await self._storage.exchange(settlements, claim)
            except OUTAGES as error:
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
