"""Runs of a batch task, gathered until its handler is called for all of them at once.

Each run goes its own way up to here, and again from here: it is settled by itself, and slots count runs. A run that is
told to stop before its batch begins just leaves. After that the others go on without it, unless nobody is left: then
the handler is cancelled, and who still waits for it waits until it is really over, so that no job runs twice at once.
"""

import asyncio
import contextvars
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

from aiq.batching import BatchTask
from aiq.context import BatchContext
from aiq.engine.pools import Threads
from aiq.engine.run import Run, Stop
from aiq.errors import BatchInvalid, ItemFailed
from aiq.model import Deferred, Failure, Held, Outcome, Released, RouteSpec

_Key: TypeAlias = tuple[str, str, int | None, RouteSpec | None]
"""Jobs of one batch have the same task, queue, time-out and route."""


class Left(BaseException):
    """Ends the run of an item that has left its batch with an outcome of its own. Let it pass, as a cancellation."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


class Seat:
    """The place of one run in a batch. It satisfies `context.batch.Seat`."""

    __slots__ = ("answer", "batch", "item", "left", "run")

    def __init__(self, batch: "_Batch", run: Run, item: object) -> None:
        self.batch, self.run, self.item = batch, run, item
        self.answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self.left = False

    @property
    def gone(self) -> bool:
        """Whether what the handler answers for it does not count any more."""
        return self.left or self.run.why is not None or self.answer.done()

    def leave(self, why: BaseException | Held | Deferred | Released) -> None:
        """Let it go its own way: fail, or be settled as `why` says."""
        self.fail(why if isinstance(why, BaseException) else Left(why))
        self.batch.end_if_empty()
        if not self.batch.ended:
            # Its slot is free when it is settled: what goes on goes on for the others.
            self.run.work = None

    def take(self, answer: object) -> None:
        """What the handler has answered for it."""
        if isinstance(answer, BaseException):
            self.fail(answer)
        elif isinstance(answer, Failure):
            self.fail(ItemFailed(answer.message))
        elif not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: BaseException) -> None:
        """It has come to nothing."""
        if not self.answer.done():
            # A future refuses StopIteration, which would end the generator that waits for it.
            self.answer.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)
            # Whoever has left does not come back for it.
            self.answer.exception()


class _Batch:
    """One batch, from its first item to the end of its handler."""

    # Any: a worker runs tasks of all signatures.
    def __init__(self, task: BatchTask[Any, object], key: _Key) -> None:
        self.task, self.key = task, key
        self.seats: list[Seat] = []
        self.lingering: asyncio.TimerHandle | None = None
        self.begun = self.ended = False
        self.handler: asyncio.Task[None] | None = None

    def end_if_empty(self) -> None:
        """Cancel the handler, once, if nobody wants its answer any more."""
        if self.handler is not None and not self.ended and all(seat.gone for seat in self.seats):
            self.ended = True
            self.handler.cancel()

    def time_out(self) -> None:
        """The handler has taken longer than a run may: all of its runs have."""
        for seat in self.seats:
            if not seat.gone:
                seat.run.stop(Stop.TIMEOUT)


class Batches:
    """Gathers the runs of a worker. A batch has no more items than its queue has slots: no more could come."""

    def __init__(self, threads: Threads, slots: Mapping[str, int]) -> None:
        self._threads, self._slots = threads, slots
        self._gathering: dict[_Key, _Batch] = {}

    # Any: as above.
    async def enter(self, task: BatchTask[Any, object], run: Run, item: object) -> object:
        """Wait for the batch to begin, and for what its handler answers for this run; raise what fails it."""
        seat = self._seat(task, run, item)
        try:
            await asyncio.wait({seat.answer})
        except asyncio.CancelledError:
            if self._goes_on_without(seat):
                raise
            # The handler may have been done all the same, and then what it has answered counts.
            if seat.batch.handler is not None:
                await asyncio.wait({seat.batch.handler})
        return seat.answer.result()

    # Any: as above.
    def _seat(self, task: BatchTask[Any, object], run: Run, item: object) -> Seat:
        record = run.record
        route = record.routes[record.route] if record.routes else None
        key = (task.name, record.queue, record.timeout_ms, route)
        batch = self._gathering.get(key)
        if batch is None:
            batch = self._gathering[key] = _Batch(task, key)
            batch.lingering = asyncio.get_running_loop().call_later(task.linger_ms / 1000, self._begin, batch)
        seat = Seat(batch, run, item)
        batch.seats.append(seat)
        if len(batch.seats) >= min(task.size, self._slots.get(record.queue, task.size)):
            self._begin(batch)
        return seat

    def _goes_on_without(self, seat: Seat) -> bool:
        """A run was told to stop. Whether it may leave at once."""
        batch, seat.left = seat.batch, True
        if not batch.begun:
            batch.seats.remove(seat)
            if not batch.seats:
                self._close(batch)
            return True
        batch.end_if_empty()
        if batch.ended:
            return False
        # As in `leave`.
        seat.run.work = None
        return True

    def _close(self, batch: _Batch) -> None:
        """Nobody else comes into this batch."""
        del self._gathering[batch.key]
        if batch.lingering is not None:
            batch.lingering.cancel()

    def _begin(self, batch: _Batch) -> None:
        self._close(batch)
        batch.begun = True
        for seat in batch.seats:
            # Others may have the job of a lease that has run out any moment.
            if seat.run.why is None and not seat.run.held.live(seat.run.desk.clock()):
                seat.leave(Released())
        batch.seats = [seat for seat in batch.seats if not seat.gone]
        if batch.seats:
            name = f"{batch.task.name}, a batch of {len(batch.seats)}"
            work = self._handle(batch)
            batch.handler = asyncio.get_running_loop().create_task(work, name=name, context=contextvars.Context())

    async def _handle(self, batch: _Batch) -> None:
        """Call the handler, and hand its answers out, whatever happens in it."""
        # Here and not by the starter: an eager task runs before its starter has hold of it.
        batch.handler = handler = asyncio.current_task()
        for seat in batch.seats:
            seat.run.work = handler
        timeout_ms = batch.seats[0].run.record.timeout_ms
        loop = asyncio.get_running_loop()
        timer = None if timeout_ms is None else loop.call_later(timeout_ms / 1000, batch.time_out)
        try:
            answers = _checked(batch, await self._call(batch))
            for seat, answer in zip(batch.seats, answers, strict=True):
                seat.take(answer)
        except (GeneratorExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises is the outcome of its jobs
            for seat in batch.seats:
                seat.fail(error)
        finally:
            if timer is not None:
                timer.cancel()

    async def _call(self, batch: _Batch) -> object:
        task, items = batch.task, [seat.item for seat in batch.seats]
        if task.kind == "thread":
            return await self._in_thread(batch, items)
        args = (BatchContext(task.name, batch.seats), items) if task.takes_context else (items,)
        # Any: `function` is one of all signatures; that it is a coroutine function was checked when it became a task.
        handler: Any = task.function
        return await handler(*args)

    async def _in_thread(self, batch: _Batch, items: list[object]) -> object:
        submitted = self._threads.submit(partial(batch.task.function, items))
        try:
            await asyncio.wait({submitted.done})
        except asyncio.CancelledError:
            submitted.call_back()
            # The thread goes on, and so do the slots of those for whom it works.
            for seat in batch.seats:
                if seat.run.work is batch.handler:
                    seat.run.work = submitted.done
            raise
        return submitted.done.result()


def _checked(batch: _Batch, answers: object) -> Sequence[object]:
    """The answers, if there is one for each item. They are read here: a sequence of somebody's own may fail at that.

    Raises:
        BatchInvalid: there is not.
    """
    count = len(batch.seats)
    if not isinstance(answers, Sequence) or isinstance(answers, str | bytes):
        raise BatchInvalid(batch.task.name, count, f"a `{type(answers).__qualname__}`")
    if len(answers) != count:
        raise BatchInvalid(batch.task.name, count, f"{len(answers)} answers")
    found = list(islice(answers, count + 1))
    if len(found) != count:
        raise BatchInvalid(batch.task.name, count, f"a `{type(answers).__qualname__}` of another length than it says")
    return found
