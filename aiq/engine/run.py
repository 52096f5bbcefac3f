"""One run of one job: what the engine knows of it, and what its Context asks of the engine."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from random import Random
from typing import Final, TypeVar

from aiq.coded import is_coded, sealed, sealed_result
from aiq.context import Parked
from aiq.engine.appends import Appends
from aiq.engine.bookings import Bookings
from aiq.engine.calls import Calls, Unsaid
from aiq.engine.leases import Held
from aiq.engine.lines import Lines
from aiq.engine.outage import Outage, patiently
from aiq.engine.streams import Emitter
from aiq.engine.tasks import Tasks
from aiq.engine.timing import BootClock
from aiq.engine.unserved import Unserved
from aiq.errors import InvalidInput, LeaseLost, LostReason
from aiq.middleware import EnqueueMiddleware
from aiq.model import (
    Cancelled,
    ChunkKind,
    Died,
    Enqueued,
    JobRecord,
    JobSpec,
    Outcome,
    Saved,
    Settled,
    Settlement,
    State,
    Step,
    Succeeded,
)
from aiq.needs import Needs
from aiq.policy import Limit
from aiq.rules.batches import batches, may_go_on
from aiq.storage import Storage, all_records

_T = TypeVar("_T")

JOBS_AT_ONCE: Final = 32
"""Jobs that a run reads in one call: each may weigh a payload and a result, and a full page of them 300 MiB."""


class Stop(StrEnum):
    """Why a run was told to stop before its handler was done."""

    CANCEL = "cancel"
    TIMEOUT = "timeout"
    SHUTDOWN = "shutdown"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Desk:
    """What every run of a worker needs: the storage, a way to settle, and time and chance as they were injected.

    `settle` sends an outcome with the next exchange and answers when that has come back; `stopping` is told of each
    run whose handler was asked to end; `lend` and `take_back` are about the slot of a run that waits.
    """

    storage: Storage
    default_queue: str
    unserved: Unserved
    unsaid: Unsaid
    appends: Appends
    bookings: Bookings
    lines: Lines
    needs: Needs
    settle: "Callable[[Run, Outcome], asyncio.Future[Settled | LeaseLost | InvalidInput]]"
    stopping: "Callable[[Run], None]"
    lend: "Callable[[Run], None]"
    take_back: "Callable[[Run], None]"
    outage: Outage
    middleware: Sequence[EnqueueMiddleware]
    tasks: Tasks
    clock: BootClock
    rng: Random


class Run:
    """A run, from its claim to the end of its handler. It satisfies `context.Run`, and `leases.Owner`.

    Nothing here decides what becomes of the job; that is the runner's.
    """

    __slots__ = (
        "_calls",
        "_emitter",
        "_over_because",
        "_parking",
        "_settlements",
        "desk",
        "held",
        "lease",
        "lost_because",
        "over",
        "parked",
        "record",
        "since_s",
        "started",
        "steps",
        "task",
        "why",
        "work",
    )

    def __init__(self, record: JobRecord, sent_ms: int, desk: Desk) -> None:
        self.record = record
        self.lease = record.lease
        self.held = Held(self.lease, record.lease_ms, sent_ms, self)
        self.desk = desk
        self.steps: dict[str, Step] = {}
        self.task: asyncio.Task[None] | None = None
        self.work: asyncio.Future[object] | None = None
        """What may go on though the run is over: a call in a thread, or the handler of its batch. The slot is free when
        it is done."""
        self.why: Stop | None = None
        self.lost_because: LostReason | None = None
        self.since_s = 0.0
        """When it was claimed, and later when it had its place, by the clock of the loop."""
        self.started = False
        self.parked = False
        self.over = False
        self._over_because = LostReason.TAKEN
        self._emitter: Emitter | None = None
        self._calls: Calls | None = None
        self._parking = 0
        self._settlements = 0

    @property
    def default_queue(self) -> str:
        """Where children go whose task names no queue."""
        return self.desk.default_queue

    @property
    def extra(self) -> dict[str, object]:
        """What a log record says of the run; never what it works on."""
        return {"job_id": self.record.id, "attempt": self.record.attempt, "task": self.record.task}

    # What the keeper and the worker tell it.

    def stop(self, why: Stop) -> None:
        """Ask the handler to end, by cancelling it. That happens once, so the first reason is the one that counts."""
        if self.over or self.why is not None:
            return
        self.why = why
        # A task that is cancelled before it began never runs a line, not even those that give back its slot.
        if self.started and self.task is not None:
            self.task.cancel()
        self.desk.stopping(self)

    def cancel_requested(self) -> None:
        """Somebody asked the job to stop."""
        self.stop(Stop.CANCEL)

    def lost(self, reason: LostReason) -> None:
        """The storage says why the lease is no longer good. After its mere expiry the run may still settle."""
        if reason is LostReason.EXPIRED:
            self.held.expired = True
        elif not self._parking:
            # A renewal may learn that the run has parked before its own settlement is answered. That answer decides.
            self._give_up(reason)

    def refused(self, lost: LeaseLost) -> None:
        """An item of the stream was refused, or a word about a call."""
        self.lost(lost.reason)

    # What its Context asks.

    @property
    def calls(self) -> Calls:
        """Its calls; most runs have none."""
        if self._calls is None:
            desk = self.desk
            self._calls = Calls(
                self,
                desk.bookings,
                desk.lines,
                lend=partial(desk.lend, self),
                take_back=partial(desk.take_back, self),
                unsaid=partial(desk.unsaid.look, self.record.task, self.extra),
                rng=desk.rng,
            )
        return self._calls

    def require_owned(self) -> None:
        """Raise LeaseLost when this run can write nothing any more."""
        if self.lost_because is not None:
            raise LeaseLost(self.lease.job_id, self.lost_because)
        if self.over or self.parked:
            raise LeaseLost(self.lease.job_id, self._over_because)

    def require_live(self) -> None:
        """Raise LeaseLost when this run may start nothing new, though it may still settle."""
        self.require_owned()
        if not self.held.live(self.desk.clock()):
            raise LeaseLost(self.lease.job_id, LostReason.EXPIRED)

    async def load_steps(self) -> None:
        """Read what earlier runs remembered, a page at a time."""
        storage, after = self.desk.storage, ""
        while True:
            page = await self._patiently(partial(storage.get_steps, self.lease.job_id, after=after))
            self.steps.update((step.key, step) for step in page)
            if not page or not (is_coded(storage) or may_go_on(page)):
                return
            after = page[-1].key

    async def save_step(self, step: Step) -> Step:
        """Remember a step, what it emitted and used before it; what stands under the key is the answer.

        Done even when cancelled.
        """
        self.require_owned()
        saved = await self._guarded(self.desk.tasks.outlast(self._save(step)))
        self.steps[step.key] = saved.step
        if saved.cancel_requested:
            self.cancel_requested()
        return saved.step

    async def park(self, outcome: Outcome) -> Step:
        """Settle a wait. Its step if it is over already, and the run goes on; else Parked unwinds the handler.

        A cancelled caller withdraws the wait, unless it is with the storage already; then the storage's word counts.
        """
        self.require_owned()
        await self.flush()
        self._parking += 1
        answer = self.desk.settle(self, outcome)
        try:
            await asyncio.wait({answer})
        except asyncio.CancelledError:
            answer.cancel()
            raise
        finally:
            self._parking -= 1
        return self._parked_or_over(answer.result())

    def _parked_or_over(self, answer: Settled | LeaseLost | InvalidInput) -> Step:
        if isinstance(answer, Settled) and answer.step is not None and not self.parked:
            self.require_owned()
            self.steps[answer.step.key] = answer.step
            return answer.step
        if isinstance(answer, LeaseLost | InvalidInput) and not self.parked:
            raise answer
        raise Parked

    def answered(self, answer: Settled | LeaseLost | InvalidInput) -> None:
        """The storage has answered a wait, whether or not its asker is still there to hear it."""
        if isinstance(answer, Settled) and answer.state is not State.RUNNING:
            self.parked = True
        elif isinstance(answer, LeaseLost) and not self.parked:
            self._give_up(answer.reason)

    async def bring(self, limits: Iterable[Limit], models: Iterable[str]) -> None:
        """Store limits that code names, and default prices of models, where they are absent; once for each of them."""
        found, named = list(limits), list(models)
        await self._patiently(partial(self.desk.needs.meet, self.desk.storage, found, named))

    @property
    def middleware(self) -> Sequence[EnqueueMiddleware]:
        """What children go through on their way into the storage."""
        return self.desk.middleware

    async def spawn(self, specs: Sequence[JobSpec]) -> list[Enqueued]:
        """Store children of this run, in batches; a repeat stores none twice."""
        answers: list[Enqueued] = []
        for batch in batches(await self._patiently(partial(sealed, self.desk.storage, specs))):
            self.require_live()
            answers += await self._guarded(self._patiently(partial(self.desk.storage.enqueue, batch, self.lease)))
        self.desk.unserved.look(specs, self.extra)
        return answers

    async def jobs(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """Read jobs, a few at a time, in the order asked."""
        found: list[JobRecord | None] = []
        for start in range(0, len(job_ids), JOBS_AT_ONCE):
            some = job_ids[start : start + JOBS_AT_ONCE]
            found += await self._patiently(partial(all_records, self.desk.storage, some))
        return found

    async def sealed_result(self, result: bytes) -> bytes:
        """The result of the run as it will be stored. What has to keep it may be away: other runs go on meanwhile.

        Raises:
            TooLarge, PayloadInvalid: it cannot be kept.
        """
        return await self._patiently(partial(sealed_result, self.desk.storage, self.lease.job_id, result))

    async def emit(self, kind: ChunkKind, data: bytes, step: str | None) -> None:
        """Add an item to the job's stream, soon; waits only when too much is under way."""
        self.require_owned()
        if self._emitter is None:
            desk = self.desk
            self._emitter = Emitter(desk.appends, self.lease, self, outage=desk.outage, rng=desk.rng)
        await self._emitter.put(kind, data, step)

    # What the runner needs.

    async def flush(self) -> None:
        """Wait until everything said of calls and everything emitted so far is stored."""
        if self._calls is not None:
            await self._calls.flush()
        if self._emitter is not None:
            await self._emitter.flush()

    def settlement(self, outcome: Outcome) -> Settlement:
        """An outcome with an id of its own, by which a repeat is recognised."""
        self._settlements += 1
        return Settlement(self.lease, str(self._settlements), outcome)

    def close(self, outcome: Outcome | None = None) -> None:
        """The handler is over; whatever it left running can do nothing more, and hears why by the outcome."""
        if not self.over:
            self.over, self._over_because = True, _over_because(outcome)
        if self._emitter is not None:
            self._emitter.close()

    def _give_up(self, reason: LostReason) -> None:
        self.lost_because = reason
        if self._calls is not None:
            self._calls.give_up()
        if self._emitter is not None:
            self._emitter.close()
        if not self.parked:
            self.stop(Stop.LOST)

    async def _save(self, step: Step) -> Saved:
        await self.flush()
        return await self._patiently(partial(self.desk.storage.save_step, self.lease, step))

    async def _patiently(self, call: Callable[[], Awaitable[_T]]) -> _T:
        return await patiently(call, self.desk.outage, rng=self.desk.rng)

    async def _guarded(self, answer: Awaitable[_T]) -> _T:
        try:
            return await answer
        except LeaseLost as lost:
            if lost.job_id == self.lease.job_id:
                self.lost(lost.reason)
            raise


def _over_because(outcome: Outcome | None) -> LostReason:
    """Why a run that has ended with this outcome owns its job no more."""
    match outcome:
        case Succeeded() | Died():
            return LostReason.TERMINAL
        case Cancelled():
            return LostReason.CANCELLED
        case _:
            return LostReason.TAKEN
