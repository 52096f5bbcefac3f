"""The calls of one run: waiting for their admission, and what is owed to the storage about them."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from random import Random
from typing import Final, Protocol

from aiq.bounds import MAX_CATEGORIES, MAX_LIMITS, MAX_OPEN_CALLS
from aiq.engine.bookings import Bookings
from aiq.engine.lines import Lines, Place
from aiq.errors import LeaseLost, TooLarge
from aiq.model import (
    FIRST,
    Acquired,
    Admitted,
    CallRequest,
    CallState,
    Estimate,
    Exceeded,
    JobRecord,
    MustWait,
    Refused,
    Remaining,
    Report,
    Reported,
    Usage,
)
from aiq.rules.checks import check_count

_log = logging.getLogger("aiq.worker")

LEND_AFTER_MS: Final = 1_000
"""A run whose call waits for longer than this lends its slot."""
JITTER: Final = 10
"""A tenth of its patience, at random, is added to that of a call inside of another: of two runs that wait for each
other one is to give up first, so that the other goes on."""


class Caller(Protocol):
    """The run, as its calls see it."""

    @property
    def record(self) -> JobRecord:
        """The job, as it was claimed."""
        ...

    def require_live(self) -> None:
        """Raise LeaseLost when the run may start nothing new."""
        ...

    def refused(self, lost: LeaseLost) -> None:
        """The storage says that the run does not own its job."""
        ...

    def cancel_requested(self) -> None:
        """The job was asked to stop."""
        ...


class Unsaid:
    """Warns of calls that end without a word of what they used, once for each task of a worker."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def look(self, task: str, extra: "dict[str, object]") -> None:
        """A call of this task has ended so. `extra` is what a log record says of the run."""
        if task not in self._told:
            self._told.add(task)
            _log.warning(
                "A call has ended and nobody said what it used, so its estimate stands for it. Say it before the block "
                "is left: call.settle(response), or call.settle(aiq.Usage(input=…, output=…)).",
                extra=extra,
            )


class Calls:
    """Opens and closes the calls of a run. At most MAX_OPEN_CALLS are open or waiting at once; others wait here.

    A run lends its slot while a call has waited for LEND_AFTER_MS and no other is open: with one open it works.
    """

    def __init__(
        self,
        caller: Caller,
        bookings: Bookings,
        lines: Lines,
        *,
        lend: Callable[[], None],
        take_back: Callable[[], None],
        unsaid: Callable[[], None],
        rng: Random,
    ) -> None:
        self._caller, self._bookings, self._lines, self._rng = caller, bookings, lines, rng
        self._lend, self._take_back, self.unsaid = lend, take_back, unsaid
        self._places = asyncio.Semaphore(MAX_OPEN_CALLS)
        self._number = FIRST
        self._open: set[int] = set()
        self._waiting: dict[int, Place] = {}
        self._long_waits: set[int] = set()
        self._impatient: set[int] = set()
        """Calls that wait inside of open ones, and have waited long enough."""
        self._beside: dict[str, Usage] = {}
        """What the handler used outside of calls, by model."""
        self._owed: set[asyncio.Future[None]] = set()
        """Reports under way, each done when it was answered."""
        self._given_up = False

    async def open(
        self,
        limits: tuple[str, ...],
        estimate: Estimate,
        inside: tuple[int, ...] = (),
        patience_ms: int | None = None,
    ) -> tuple[int, Admitted | MustWait | Exceeded | Refused]:
        """Wait until a call may be made, or can never be. Whoever is cancelled meanwhile has not made it.

        One that is `inside` of calls which stay open gives up after its patience, and answers that it must wait: what
        those hold, others may wait for, and these for what they hold.

        Raises:
            LeaseLost: the run may open no call any more.
            StorageError: it cannot be known; nothing was sent.
        Spec: CALL-5 to CALL-8, CALL-19
        """
        await self._places.acquire()
        self._number += 1
        number = self._number
        lease = self._caller.record.lease
        request = CallRequest(lease=lease, number=number, limits=limits, estimate=estimate, inside=inside)
        try:
            answer = await self._admission(request, patience_ms)
        except LeaseLost:
            self._places.release()
            raise
        except (Exception, asyncio.CancelledError):
            self._places.release()
            # It stands in line, or was even admitted and nobody has heard of it.
            self.report(number, CallState.UNSENT)
            raise
        if isinstance(answer, Admitted):
            self._open.add(number)
        else:
            self._places.release()
        if isinstance(answer, MustWait):
            self.report(number, CallState.UNSENT)
        self._balance()
        return number, answer

    def report(
        self,
        call: int,
        state: CallState,
        used: tuple[Usage, ...] = (),
        *,
        retry_after_ms: int | None = None,
        remaining: tuple[Remaining, ...] = (),
    ) -> None:
        """Say what became of a call, so far or in the end. It is sent soon, also when the lease is lost meanwhile."""
        report = Report(
            lease=self._caller.record.lease,
            call=call,
            state=state,
            used=used,
            retry_after_ms=retry_after_ms,
            remaining=remaining,
        )
        owed = self._bookings.report(report, self._heard)
        if not owed.done():
            self._owed.add(owed)
            owed.add_done_callback(self._owed.discard)
        if state is not CallState.OPEN and call in self._open:
            self._open.remove(call)
            self._places.release()
            self._balance()
            # What it held of a concurrency stays with the run, so one of its own calls may pass all others.
            for place in islice(self._waiting.values(), 1):
                place.wake()

    def add(self, usage: Usage) -> None:
        """Say what the handler has used outside of its calls, on top of what it said before: that is call 0.

        Raises:
            TooLarge: it is of more than MAX_LIMITS models, or of one in more than MAX_CATEGORIES categories.
        """
        before = self._beside.get(usage.model)
        after = usage if before is None else before + usage
        # What no store takes is refused to who says it: later it would be lost, with all that was said before.
        check_count("list of categories of one model", len(after.tokens), MAX_CATEGORIES)
        models = len(self._beside) + (before is None)
        if models > MAX_LIMITS:
            raise TooLarge("list of models used beside calls", models, MAX_LIMITS, "Use others in calls: ctx.call(…).")
        self._beside[usage.model] = after
        self.report(FIRST, CallState.OPEN, tuple(self._beside.values()))

    async def flush(self) -> None:
        """Wait until the storage has taken all reports, so that a settlement does not overtake them."""
        if self._owed and not self._given_up:
            await asyncio.wait(set(self._owed))

    def give_up(self) -> None:
        """The job is lost: nobody waits for reports any more. They still go out."""
        self._given_up = True
        for owed in list(self._owed):
            owed.cancel()

    async def _admission(
        self, request: CallRequest, patience_ms: int | None
    ) -> Admitted | MustWait | Exceeded | Refused:
        answer = await self._ask(request)
        if not isinstance(answer, MustWait):
            return answer
        with self._standing(request.number) as place, self._patient(place, request, patience_ms):
            while isinstance(answer, MustWait) and request.number not in self._impatient:
                await self._lines.until_turn(place, answer)
                self._balance()
                answer = await self._ask(request)
        return answer

    async def _ask(self, request: CallRequest) -> Admitted | MustWait | Exceeded | Refused:
        self._caller.require_live()
        answer: Acquired = await self._bookings.acquire(request)
        if isinstance(answer, LeaseLost):
            self._caller.refused(answer)
            raise answer
        return answer

    @contextmanager
    def _standing(self, number: int) -> Iterator[Place]:
        timer = asyncio.get_running_loop().call_later(LEND_AFTER_MS / 1000, self._waits_long, number)
        with self._lines.waiting(self._caller.record.band) as place:
            self._waiting[number] = place
            try:
                yield place
            finally:
                timer.cancel()
                del self._waiting[number]
                self._long_waits.discard(number)
                self._balance()

    @contextmanager
    def _patient(self, place: Place, request: CallRequest, patience_ms: int | None) -> Iterator[None]:
        """Let a call that waits inside of others lose patience, if one of these is still open then."""
        if not request.inside or patience_ms is None:
            yield
            return
        patience_ms += self._rng.randint(0, patience_ms // JITTER)
        timer = asyncio.get_running_loop().call_later(patience_ms / 1000, self._loses_patience, place, request)
        try:
            yield
        finally:
            timer.cancel()
            self._impatient.discard(request.number)

    def _loses_patience(self, place: Place, request: CallRequest) -> None:
        if not self._open.isdisjoint(request.inside):
            self._impatient.add(request.number)
            place.wake()

    def _waits_long(self, number: int) -> None:
        self._long_waits.add(number)
        self._balance()

    def _balance(self) -> None:
        if self._long_waits and not self._open:
            self._lend()
        else:
            self._take_back()

    def _heard(self, answer: Reported | LeaseLost) -> None:
        if isinstance(answer, LeaseLost):
            self._caller.refused(answer)
        elif answer.cancel_requested:
            self._caller.cancel_requested()
