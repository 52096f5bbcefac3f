"""Keeps the leases of running jobs alive, apart from the loop that runs them.

A handler may block its event loop for longer than a lease: that is a slow job, not a dead worker. So renewals come
from a thread with a loop and a storage connection of its own. Yet a thread that renews for ever would keep a
wedged worker's jobs from everybody else; so it also watches the loop, and stops renewing when that has not turned
for MAX_STALL_LEASES leases.
"""

import asyncio
import linecache
import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from enum import StrEnum
from operator import attrgetter
from random import Random
from typing import Final, TypeAlias, assert_never

from aiq.bounds import MAX_BATCH
from aiq.engine.leases import Held, Leases
from aiq.engine.outage import Outage
from aiq.engine.timing import BootClock
from aiq.errors import LeaseLost, LostReason, StorageError
from aiq.model import Renewed
from aiq.storage import Jobs

_log = logging.getLogger("aiq.keeper")

Post: TypeAlias = Callable[[Callable[[], None]], object]
"""Run something soon in the thread of the worker's loop; RuntimeError when that loop is closed."""

RENEWALS_PER_LEASE: Final = 3
"""Two renewals in a row may fail, and the job is still ours."""
MAX_ROUND_MS: Final = 4_500
"""A cancel reaches a run with its next renewal, so long leases are renewed more often than they need: with what the
round itself takes it is there within 5 s."""
MAX_STALL_LEASES: Final = 5
MIN_PATIENCE_MS: Final = 1_000
STACK_FRAMES: Final = 12


class Liveness(StrEnum):
    """What the keeper thinks of the loop that runs jobs, for one length of lease."""

    ALIVE = "alive"
    BLOCKED = "blocked"
    """It has not turned for a lease; somebody should hear about it. Its leases are renewed."""
    GONE = "gone"
    """It has not turned for so long that its jobs had better run elsewhere."""


def liveness(blocked_ms: int, lease_ms: int) -> Liveness:
    """Judge a loop that has not turned for `blocked_ms`."""
    if blocked_ms < lease_ms:
        return Liveness.ALIVE
    return Liveness.BLOCKED if blocked_ms <= MAX_STALL_LEASES * lease_ms else Liveness.GONE


class Pulse:
    """Asks the loop for a sign of life, and knows how long it has been waiting for one.

    A question instead of a timer in the loop itself: a worker without leases is not woken by it.
    """

    def __init__(self, post: Post, clock: BootClock) -> None:
        self._post, self._clock = post, clock
        self._asked_ms: int | None = None
        self._closed = False
        self.lag_ms = 0
        """How long the last answer took."""

    def ask(self) -> None:
        """Ask, unless the last question still stands."""
        if self._asked_ms is not None or self._closed:
            return
        self._asked_ms = self._clock()
        try:
            self._post(self._answer)
        except RuntimeError:
            self._closed = True

    def blocked_ms(self) -> int:
        """For how long the loop has not answered; a closed one never will."""
        asked_ms = self._asked_ms
        if self._closed:
            return sys.maxsize
        return 0 if asked_ms is None else self._clock() - asked_ms

    def _answer(self) -> None:
        if self._asked_ms is not None:
            self.lag_ms = self._clock() - self._asked_ms
        self._asked_ms = None


class Keeper:
    """Renews all leases in one round, tells runs of cancels and losses, and warns of a blocked loop.

    It runs on whatever loop calls `run`; `thread` is the one whose stack is shown when it blocks.
    """

    def __init__(
        self, storage: Jobs, leases: Leases, post: Post, *, clock: BootClock, rng: Random, thread: int
    ) -> None:
        self._storage, self._leases, self._post = storage, leases, post
        self._clock, self._rng, self._thread = clock, rng, thread
        self._pulse = Pulse(post, clock)
        self._planned_ms = MAX_ROUND_MS
        self._woken = asyncio.Event()
        self._stopping = False
        self._warned = False
        self._outage = Outage(_log, "Leases could not be renewed", "Leases are renewed again", clock=clock)

    def needs_waking(self, lease_ms: int) -> bool:
        """Whether the next round is too far away for a lease of this length. Any thread may ask."""
        return lease_ms // RENEWALS_PER_LEASE < self._planned_ms

    def wake(self) -> None:
        """Begin the next round now. Only in the keeper's own loop."""
        self._woken.set()

    def stop(self) -> None:
        """End `run` after the round under way. Only in the keeper's own loop."""
        self._stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Round after round, until `stop`. A round that fails is logged, and the next one comes all the same."""
        while not self._stopping:
            await self._pause()
            if not self._stopping:
                await self._safe_round()

    async def round(self) -> None:
        """Renew every lease whose loop is not gone, and pass on what the answers say."""
        held = self._leases.all()
        if not held:
            return
        blocked_ms = self._pulse.blocked_ms()
        self._pulse.ask()
        self._warn_if_blocked(blocked_ms, held)
        alive = (one for one in held if liveness(blocked_ms, one.lease_ms) is not Liveness.GONE)
        # A round that is cut short is gone on with by the next one.
        due = sorted(alive, key=attrgetter("heard_ms"))
        failure: Exception | None = None
        try:
            async with asyncio.timeout(max(self._interval_ms(), MIN_PATIENCE_MS) / 1000):
                for start in range(0, len(due), MAX_BATCH):
                    failure = await self._renew_or_fail(due[start : start + MAX_BATCH]) or failure
        except TimeoutError as error:
            failure = error
        if failure is None:
            self._outage.over()
        else:
            self._outage.failed(failure)
        self._end_the_silent(held)

    async def _safe_round(self) -> None:
        try:
            await self.round()
        except Exception:  # noqa: BLE001 - a defect here must not end the renewal of every lease
            _log.exception("A round of lease renewals failed; the next one follows.")

    async def _pause(self) -> None:
        # The longest first: a lease that is added between the two lines must find a reason to wake us.
        self._planned_ms = MAX_ROUND_MS
        self._planned_ms = self._interval_ms()
        try:
            async with asyncio.timeout(self._planned_ms * self._rng.uniform(0.9, 1.0) / 1000):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    def _interval_ms(self) -> int:
        shortest_ms = min((one.lease_ms for one in self._leases.all()), default=MAX_ROUND_MS * RENEWALS_PER_LEASE)
        return max(1, min(shortest_ms // RENEWALS_PER_LEASE, MAX_ROUND_MS))

    async def _renew_or_fail(self, batch: Sequence[Held]) -> StorageError | None:
        """What kept a batch from being renewed. It is to keep no other."""
        try:
            await self._renew(batch)
        except StorageError as error:
            return error
        return None

    async def _renew(self, batch: Sequence[Held]) -> None:
        # The clock is read before the request goes out: the lease cannot begin earlier than that.
        sent_ms = self._clock()
        answers = await self._storage.renew([one.lease for one in batch])
        for one, answer in zip(batch, answers, strict=True):
            match answer:
                case Renewed():
                    one.renewed(sent_ms, answer.lease_ms)
                    if answer.cancel_requested:
                        self._tell_cancel(one)
                case LeaseLost(reason=LostReason.EXPIRED):
                    one.ran_out(sent_ms)
                case LeaseLost():
                    self._tell_lost(one, answer.reason)
                case _:
                    assert_never(answer)

    def _end_the_silent(self, held: Sequence[Held]) -> None:
        now_ms = self._clock()
        for one in held:
            if one.silent(now_ms):
                self._tell_lost(one, LostReason.TAKEN)

    def _tell_cancel(self, one: Held) -> None:
        if not one.asked_to_cancel:
            one.asked_to_cancel = True
            self._deliver(one.owner.cancel_requested)

    def _tell_lost(self, one: Held, reason: LostReason) -> None:
        if not one.gone:
            one.gone = True
            self._leases.drop([one.lease])
            self._deliver(lambda: one.owner.lost(reason))

    def _deliver(self, message: Callable[[], None]) -> None:
        try:
            self._post(message)
        except RuntimeError:
            _log.debug("The worker's loop is closed; nobody is left to hear of a lease.")

    def _warn_if_blocked(self, blocked_ms: int, held: Sequence[Held]) -> None:
        shortest_ms = min(one.lease_ms for one in held)
        blocked = liveness(blocked_ms, shortest_ms) is not Liveness.ALIVE
        if blocked and not self._warned:
            _log.warning(
                "The event loop has not turned for %.1f s; %s. Nothing else runs there meanwhile. Use `await`, a `def` "
                'task or kind="process". Leases are renewed for %d times their length, no longer.\n%s',
                blocked_ms / 1000,
                blocking_line(self._thread),
                MAX_STALL_LEASES,
                blocking_stack(self._thread),
            )
        self._warned = blocked


def blocking_line(thread: int) -> str:
    """The line that a thread is in at this moment, in words."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - the documented way to see another thread
    if frame is None:
        return "its thread has ended"
    code, line = frame.f_code, frame.f_lineno
    text = linecache.getline(code.co_filename, line).strip()
    return f"it is in {code.co_name} at {code.co_filename}:{line}: {text}"


def blocking_stack(thread: int) -> str:
    """The innermost frames of a thread, without the values of its variables."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - as above
    return "".join(traceback.format_stack(frame)[-STACK_FRAMES:]) if frame is not None else ""
