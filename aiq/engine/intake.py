"""The one loop between a worker and its storage: settle what is done, claim what is next.

What finishes while an exchange is under way goes with the next one, so batches form by themselves under load, and
an idle worker answers at once. There is no timer to tune and no batch size. While brief jobs run, the next ones are
claimed already.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from random import Random
from typing import Final, Protocol

from aiq.bounds import MAX_BATCH, MAX_BATCH_BYTES, MAX_PAYLOAD_BYTES
from aiq.engine import dropped
from aiq.engine.ahead import Ahead
from aiq.engine.exchanger import Exchanger, Received
from aiq.engine.leases import Held, Leases
from aiq.engine.outbox import Answer, Entry, Outbox
from aiq.engine.rest import Rest
from aiq.engine.run import Run
from aiq.engine.slots import Slots
from aiq.engine.statistics import Count, Tally
from aiq.errors import InvalidInput, LeaseLost, LostReason, TooLarge
from aiq.model import (
    Cause,
    ClaimRequest,
    Deferred,
    Died,
    JobError,
    JobRecord,
    Outcome,
    Released,
    Retried,
    Settled,
    State,
)

_log = logging.getLogger("aiq.worker")

AGAIN_MS: Final = (1_000, 5_000)
"""When a job is offered again that came back to a worker where its earlier run has not ended; it costs a claim."""
HEAD_START_S: Final = 0.0005
"""What an exchange is ahead of the runs that its predecessor has brought: by then it is on its way, also where a thread
sends it that has to wait for the interpreter. So the storage works while they do."""


class Crew(Protocol):
    """Who does what the intake only hands on."""

    def begin(self, record: JobRecord, sent_ms: int) -> Run:
        """Make a run of a job that was claimed by an exchange sent at `sent_ms`."""
        ...

    def start_run(self, run: Run) -> None:
        """Start its handler."""
        ...

    def hold(self, batch: Iterable[Held]) -> None:
        """Renew these leases from now on."""
        ...

    def due_in(self, ms: int | None) -> None:
        """The storage says when it has something to do."""
        ...


class Intake:
    """Gives jobs to runs and outcomes to the storage."""

    def __init__(
        self,
        crew: Crew,
        exchanger: Exchanger,
        rest: Rest,
        slots: Slots,
        leases: Leases,
        *,
        worker: str,
        tally: Tally,
        rng: Random,
    ) -> None:
        self._crew, self._exchanger, self._rest = crew, exchanger, rest
        self._slots, self._leases = slots, leases
        self._tally, self._rng = tally, rng
        self._outbox = Outbox()
        self._ahead = Ahead(slots.sizes, self._release)
        self._coming: list[Run] = []
        # Claims are numbered from 1 for each worker, so no two may ever share a name.
        self.worker = f"{worker}:{rng.getrandbits(64):016x}"
        """The name under which it claims."""
        self._number = 0
        self._due_ms: int | None = None
        self.claiming = True
        self._ending = False

    async def run(self, *, idle: Callable[[], Awaitable[bool]] | None = None) -> None:
        """Exchange after exchange, until `end` was called and all is settled.

        With `idle` also when nothing runs, nothing was to be claimed, and `idle` answers that nothing is due.
        """
        try:
            while self._outbox or not self._ending:
                if self._outbox or (self.claiming and self._rest.look and self._slots.any_free()):
                    await self._turn()
                elif idle is not None and not self._slots.runs and await idle():
                    return
                elif self.claiming and self._slots.any_free():
                    await self._rest.sleep_and_listen(self._due_ms)
                else:
                    await self._rest.sleep()
        finally:
            self._ahead.clear()

    def settle(self, run: Run, outcome: Outcome) -> "asyncio.Future[Answer]":
        """Send an outcome with the next exchange; the run goes on, or not, by its answer."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if self._ending:
            answer.set_result(LeaseLost(run.lease.job_id, LostReason.TAKEN))
            return answer
        self._outbox.put(run, outcome, answer)
        self._rest.wake()
        return answer

    def finish(self, run: Run, outcome: Outcome | None) -> None:
        """The last word of a run; None when there is nothing to settle, or nobody to settle with."""
        if outcome is None:
            self._leases.drop((run.lease,))
            if not run.parked:
                self._tally.add("lost")
        else:
            self._outbox.put(run, outcome)
            self._rest.wake()

    def vacate(self, run: Run) -> None:
        """The handler of a run is really over: its slot is free."""
        self._slots.give_back(run)
        self._ahead.ended(run)
        self._fill(run.record.queue)

    def lend(self, run: Run) -> None:
        """A run waits for its provider: another job may have its slot, until `take_back`."""
        if self._slots.lend(run):
            self._fill(run.record.queue)

    def take_back(self, run: Run) -> None:
        """A run that may have lent its slot goes on."""
        self._slots.take_back(run)

    def look(self) -> None:
        """Look for jobs now."""
        self._rest.look = True
        self._rest.wake()

    def stop_claiming(self) -> None:
        """Claim nothing from now on; who waits for a place, and what a claim under way brings, is given back."""
        self.claiming = False
        self._ahead.clear()
        self._rest.wake()

    def end(self) -> None:
        """End `run` once everything is settled."""
        self._ending = True
        self._rest.wake()

    def _fill(self, queue: str) -> None:
        """A place may be free: for one who waits, or for a job that is looked for."""
        while self._slots.free(queue) > 0:
            run = self._ahead.take(queue)
            if run is None:
                self.look()
                return
            self._give_place(run)
            self._begin()

    async def _turn(self) -> None:
        entries = self._outbox.take()
        claim = self._claim()
        wanted = min(sum(want.count for want in claim.wants), MAX_BATCH) if claim else 0
        # Before the exchange, not after: a wake-up that comes meanwhile is about what this claim may have missed.
        self._rest.look = False
        sent_ms, answer = await self._send(entries, claim)
        self._tally.add("exchanges")
        self._take_answers(entries, answer.settled)
        self._start(answer.claimed, sent_ms)
        self._due_ms = answer.next_due_ms
        self._crew.due_in(answer.next_due_ms)
        if wanted == 0 or len(answer.claimed) >= wanted or _cut_short(answer.claimed):
            self._rest.look = True

    async def _send(self, entries: Iterable[Entry], claim: ClaimRequest | None) -> tuple[int, Received]:
        start = asyncio.get_running_loop().call_later(HEAD_START_S, self._begin)
        try:
            return await self._exchanger.send([entry.settlement for entry in entries], claim)
        finally:
            start.cancel()
            self._begin()

    def _begin(self) -> None:
        """Start the runs that have been given places."""
        coming, self._coming = self._coming, []
        now_s = asyncio.get_running_loop().time()
        for run in coming:
            run.since_s = now_s
            self._crew.start_run(run)

    def _claim(self) -> ClaimRequest | None:
        wants = self._slots.wants(self._ahead.room) if self.claiming else ()
        if not wants:
            return None
        self._ahead.ask()
        self._number += 1
        return ClaimRequest(self.worker, self._number, f"{self._rng.getrandbits(128):032x}", wants)

    def _start(self, claimed: Iterable[JobRecord], sent_ms: int) -> None:
        runs = [self._crew.begin(record, sent_ms) for record in claimed]
        if not runs:
            return
        self._tally.add("claimed", len(runs))
        self._crew.hold(run.held for run in runs)
        if not self.claiming:
            self._release(runs)
            return
        now_s = asyncio.get_running_loop().time()
        for run in runs:
            run.since_s = now_s
            if self._slots.free(run.record.queue) > 0:
                self._give_place(run)
            else:
                self._ahead.put(run)
        if not self._outbox:
            self._begin()

    def _give_place(self, run: Run) -> None:
        earlier = self._slots.run_of(run.record.id)
        is_live = earlier is not None and not (earlier.parked or earlier.over)
        if earlier is not None and is_live:
            # A job is given out again only when its lease has run out, which nobody may have told that run.
            earlier.lost(LostReason.TAKEN)
        if is_live or self._slots.unwinds(run.record.id):
            # Not beside its own earlier run. Another worker may have it, and else this one, when that has ended.
            self._outbox.put(run, Released(delay_ms=self._rng.randint(*AGAIN_MS)))
            self._rest.wake()
        else:
            self._slots.take(run)
            self._coming.append(run)

    def _release(self, runs: Sequence[Run]) -> None:
        """Give jobs back that have not begun."""
        for run in runs:
            self._outbox.put(run, Released())
        self._rest.wake()

    def _take_answers(self, entries: Iterable[Entry], answers: Iterable[Answer]) -> None:
        gone = [entry.run.lease for entry, answer in zip(entries, answers, strict=True) if self._is_over(entry, answer)]
        self._leases.drop(gone)

    def _is_over(self, entry: Entry, answer: Answer) -> bool:
        """Hand one answer to whom it concerns. Whether the lease is gone with it."""
        if entry.answer is not None:
            entry.run.answered(answer)
            if not entry.withdrawn:
                entry.answer.set_result(answer)
        if isinstance(answer, Settled):
            if answer.state is State.RUNNING:
                return False
            self._tally.add(_count(entry.settlement.outcome, answer.state))
        elif isinstance(answer, InvalidInput):
            if entry.answer is None:
                self._die(entry.run, answer)
            return False
        elif entry.answer is None:
            self._refused(entry.run, entry.settlement.outcome, answer)
        return True

    def _die(self, run: Run, error: InvalidInput) -> None:
        """No store could record what a run came to, nor what the next one would come to; of an error any can."""
        _log.error("The run's outcome was refused (%s), so its job is dead.", type(error).__name__, extra=run.extra)
        cause = Cause.RESULT if isinstance(error, TooLarge) else Cause.HANDLER
        self._outbox.put(run, Died(JobError(type=type(error).__name__, message=str(error), cause=cause)))

    def _refused(self, run: Run, outcome: Outcome, lost: LeaseLost) -> None:
        if run.parked:
            # One that was told to stop as it parked has nothing to say; any other has not heeded that it was unwound.
            if run.why is None:
                dropped.tell(run, outcome)
        elif run.lost_because is None:
            self._tally.add("lost")
            _log.warning("An outcome was refused: %s", lost, extra=run.extra)


def _cut_short(claimed: Iterable[JobRecord]) -> bool:
    """Whether a claim may have ended because another payload would have been too much for one answer. CLAIM-11"""
    return sum(len(record.payload) for record in claimed) + MAX_PAYLOAD_BYTES > MAX_BATCH_BYTES


def _count(outcome: Outcome, state: State) -> Count:
    if state.terminal:
        ends: dict[State, Count] = {State.SUCCEEDED: "succeeded", State.DEAD: "died", State.CANCELLED: "cancelled"}
        return ends[state]
    if isinstance(outcome, Retried):
        return "failed"
    if isinstance(outcome, Deferred):
        return "deferred"
    return "released" if isinstance(outcome, Released) else "parked"
