"""What runs ask for before they call a provider, and say of it afterwards, on its way to the storage.

While one round trip is under way, what comes meanwhile gathers and goes with the next: a call costs no round trip of
its own under load, and no timer decides how long it waits.
"""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from random import Random
from typing import Final, TypeAlias, TypeVar

from aiq.bounds import MAX_BATCH
from aiq.engine.outage import Outage, patiently
from aiq.engine.tasks import PATIENCE_S
from aiq.engine.timing import BootClock
from aiq.errors import OF_STORAGE, LeaseLost, twin
from aiq.model import Acquired, CallRequest, Lease, Report, Reported
from aiq.storage import Limits

_Q = TypeVar("_Q")
_A = TypeVar("_A")
_log = logging.getLogger("aiq.worker")

_CLOSED: Final = "The worker has ended, and books no more calls."

Heard: TypeAlias = Callable[[Reported | LeaseLost], None]
"""Who is told what the storage answered to a report."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A call that somebody waits for. An answer that is cancelled is not waited for any more."""

    request: CallRequest
    answer: "asyncio.Future[Acquired]"


@dataclass(slots=True)
class _Told:
    """What is to be said of a call; a newer word takes the place of one that has not gone out."""

    report: Report
    heard: Heard
    done: "asyncio.Future[None]"


class Bookings:
    """Asks for calls and reports them, those of all runs together, again and again while the storage has an outage.

    Reports go first, since what they give back may be what a call waits for. What one caller does, or its
    cancellation, never reaches the others.
    """

    def __init__(self, storage: Limits, *, clock: BootClock, rng: Random) -> None:
        self._storage, self._rng = storage, rng
        self._outage = Outage(_log, "Calls could not be booked", "Calls are booked again", clock=clock)
        self._asked: list[_Asked] = []
        self._told: dict[tuple[Lease, int], _Told] = {}
        self._pump: asyncio.Task[None] | None = None
        self._busy = self._closed = False

    async def acquire(self, request: CallRequest) -> Acquired:
        """The storage's answer. Whoever is cancelled here must give the call back by a report: it may be admitted.

        Raises:
            StorageError: any that is no outage; these are waited for.
            CancelledError: also when this was closed before it was answered.
        """
        if self._closed:
            raise asyncio.CancelledError(_CLOSED)
        answer: asyncio.Future[Acquired] = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(request, answer))
        self._start()
        return await answer

    def report(self, report: Report, heard: Heard) -> "asyncio.Future[None]":
        """Send a report soon. The future is done when it was answered, or given up."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._closed:
            done.cancel(_CLOSED)
            return done
        told = self._told.setdefault((report.lease, report.call), _Told(report, heard, done))
        told.report = report
        self._start()
        return told.done

    async def close(self) -> None:
        """Send what is left, within PATIENCE_S; what comes later is dropped."""
        if self._pump is not None:
            await asyncio.wait({self._pump}, timeout=PATIENCE_S)
            self._closed = True
            self._pump.cancel()
            await asyncio.wait({self._pump})
        self._closed = True
        for asked in self._asked:
            asked.answer.cancel()
        for told in self._told.values():
            told.done.cancel()

    def _start(self) -> None:
        if not self._busy and not self._closed:
            # Before the task: an eager one runs at once, and may be over before it has a name.
            self._busy = True
            # It asks for all runs: what the first of them has set in its context is not for the others' calls.
            self._pump = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())
            # A callback and no `finally`: a task that is cancelled before it began runs neither of its own lines.
            self._pump.add_done_callback(self._stopped)

    async def _run(self) -> None:
        while self._told or self._asked:
            await self._tell()
            await self._ask()

    def _stopped(self, _: "asyncio.Task[None]") -> None:
        self._busy = False
        if self._told or self._asked:
            self._start()

    async def _tell(self) -> None:
        batch = [self._told.pop(key) for key in list(islice(self._told, MAX_BATCH))]
        if not batch:
            return
        try:
            await self._report(batch)
        finally:
            for told in batch:
                if not told.done.done():
                    told.done.set_result(None)

    async def _report(self, batch: Sequence[_Told]) -> None:
        """Report together. Where that fails for what one says, or for what is stored of him, each goes alone."""
        try:
            reports = [told.report for told in batch]
            for told, answer in zip(batch, await self._patiently(self._storage.report, reports), strict=True):
                told.heard(answer)
        except Exception as error:  # noqa: BLE001 - nobody is left who could do anything about it
            if len(batch) > 1 and not isinstance(error, OF_STORAGE):
                for told in batch:
                    await self._report([told])
                return
            text = "A report of a call was not taken, nor %d that went with it; what was said counts by its estimate."
            _log.exception(text, len(batch) - 1)

    async def _ask(self) -> None:
        waiting = [asked for asked in self._asked if not asked.answer.done()]
        batch, self._asked = waiting[:MAX_BATCH], waiting[MAX_BATCH:]
        if not batch:
            return
        try:
            await self._acquire(batch)
        finally:
            for asked in batch:
                asked.answer.cancel()

    async def _acquire(self, batch: Sequence[_Asked]) -> None:
        """Ask for those who still wait. As in `_report`: what one has asked wrongly is his own error alone."""
        wanted = [asked for asked in batch if not asked.answer.done()]
        if not wanted:
            return
        try:
            answers = await self._patiently(self._storage.acquire, [asked.request for asked in wanted])
        except Exception as error:  # noqa: BLE001 - it is the answer to whoever asked
            if len(wanted) > 1 and not isinstance(error, OF_STORAGE):
                for asked in wanted:
                    await self._acquire([asked])
                return
            for asked in wanted:
                if not asked.answer.done():
                    asked.answer.set_exception(error if asked is wanted[0] else twin(error))
            return
        for asked, answer in zip(wanted, answers, strict=True):
            if not asked.answer.done():
                asked.answer.set_result(answer)

    async def _patiently(self, call: Callable[[list[_Q]], Awaitable[list[_A]]], questions: list[_Q]) -> list[_A]:
        """Everything here may be repeated: a call is known by its run and number, and a report says all there is."""
        return await patiently(partial(call, questions), self._outage, rng=self._rng)
