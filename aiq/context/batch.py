"""What the handler of a batch is given: who its items are, and one call to a provider for all of them."""

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, assert_never

from aiq.context.calls import Call, exceeded, never, usage_from
from aiq.context.providers import headers_of, lowered
from aiq.context.run import Run
from aiq.errors import InvalidInput, LeaseLost, QuotaExhausted, RateLimited
from aiq.model import (
    Admitted,
    Deferred,
    Estimate,
    Exceeded,
    Failure,
    Held,
    JobRecord,
    MustWait,
    Refused,
    RouteSpec,
    State,
)
from aiq.policy import Duration
from aiq.rules.sharing import shares


class Seat(Protocol):
    """The place of one job in a batch."""

    @property
    def run(self) -> Run:
        """Its run."""
        ...

    @property
    def gone(self) -> bool:
        """Whether what the handler answers for it does not count any more."""
        ...

    def leave(self, why: BaseException | Held | Deferred) -> None:
        """Let it go its own way, the others of the batch staying."""
        ...


class BatchItem:
    """One job of a batch, as the handler sees it. `ctx.items` has them in the order of the items."""

    __slots__ = ("_seat",)

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    @property
    def job_id(self) -> str:
        """The id of the job."""
        return self._record.id

    @property
    def tenant(self) -> str:
        """Whose job it is; empty when nobody was named."""
        return self._record.tenant

    @property
    def attempt(self) -> int:
        """1 for the first."""
        return self._record.attempt

    @property
    def estimate(self) -> Estimate | None:
        """What the job was declared to need; None where nobody said."""
        return self._record.estimate

    @property
    def gone(self) -> bool:
        """Whether it has left the batch: cancelled, lost, or held by its budget. Its answer is dropped."""
        return self._seat.gone

    def idempotency_key(self, step: str = "") -> str:
        """A key that is the same in every run of the job, for a service that does the same request only once."""
        return f"{self.job_id}/{step}" if step else self.job_id

    def failed(self, message: str) -> Failure:
        """What to return in the place of its answer, so that it fails alone and is tried again by the task's policy."""
        return Failure(self.job_id, State.DEAD, "ItemFailed", message)

    @property
    def _record(self) -> JobRecord:
        return self._seat.run.record


class BatchContext:
    """A batch, as its handler sees it. Made by the worker; good for as long as the handler runs.

    Of durable points, streams and children it has none: those belong to one job. What must be remembered or waited for
    goes into a task of its own, which gathers jobs of the batch task as its children.
    """

    def __init__(self, task: str, seats: Sequence[Seat]) -> None:
        self._task, self._seats = task, seats
        self._items = tuple(BatchItem(seat) for seat in seats)
        self._calling: list[BatchOpening] = []

    @property
    def task(self) -> str:
        """The name of the task."""
        return self._task

    @property
    def items(self) -> tuple[BatchItem, ...]:
        """The jobs of the batch, in the order of the items."""
        return self._items

    @property
    def route(self) -> RouteSpec | None:
        """The route on which all of them are; None for jobs without routes."""
        record = self._seats[0].run.record
        return record.routes[record.route] if record.routes else None

    def report(self, n: int, used: object) -> None:
        """Say what was used for item `n` outside of `ctx.call`: a Usage, or a response of `openai` or `anthropic`.

        Raises:
            InvalidInput: it says nothing of its use, or is of one model more than MAX_LIMITS.
        Spec: USAGE-1, CALL-12
        """
        run = self._seats[n].run
        usage = usage_from(used, run.record.model)
        if usage is None:
            raise InvalidInput(f"{used!r:.200} does not say what was used; pass aiq.Usage(model=…, input=…, output=…).")
        run.calls.add(usage)

    def call(self, *, model: str | None = None) -> "BatchOpening":
        """Ask a provider once for all items that have not gone.

            async with ctx.call() as call:
                response = await client.embeddings.create(model="small", input=texts)
                call.settle(response)

        For each item a call is opened on the limits of its own job and route, and for what its estimate says: it adopts
        what the job was admitted for, so the first call of a batch waits for nobody. Each counts as one request. An
        item whose budget has no room leaves the batch as its budget says, and the others go on.

        Raises, on entering:
            InvalidInput: another call of the batch is open.
        Raises, on leaving: RateLimited, QuotaExhausted: in the place of an error that says so; all items come back
            without an attempt counted.
        Spec: CALL-3, CALL-9, CALL-11, HOLD-1
        """
        return BatchOpening(self._seats, self._calling, model)


class BatchCall:
    """One call to a provider for many items. Made by `ctx.call` of a batch."""

    def __init__(self, parts: Mapping[int, tuple[Run, Call]]) -> None:
        self._parts = parts
        self._calls = [call for _, call in parts.values()]

    @property
    def items(self) -> tuple[int, ...]:
        """The numbers of the items that it is made for."""
        return tuple(self._parts)

    @property
    def model(self) -> str:
        """The model for which it was admitted; empty where nobody named one."""
        return self._calls[0].model if self._calls else ""

    @property
    def max_output(self) -> int | None:
        """The most output that may be asked for each of its items, in tokens; None where nobody declared it."""
        return min((call.max_output for call in self._calls if call.max_output is not None), default=None)

    def settle(self, used: object, headers: Mapping[str, str] | None = None, *, item: int | None = None) -> None:
        """Say what was used: for all items together, or for the one of number `item`.

        It is a Usage, or the response of `openai` or `anthropic`. What was used together is shared out in proportion to
        the input that the items were declared to need, evenly if that of one is not known.

        Raises:
            InvalidInput: the call is not made for this item.
        Spec: CALL-9
        """
        if item is not None:
            self._part(item).settle(used, headers)
            return
        usage = usage_from(used, self.model)
        if usage is None or not self._calls:
            return
        told = headers_of(used) if headers is None else lowered(headers)
        for call, share in zip(self._calls, shares(usage, self._weights()), strict=True):
            # What the provider says is left, it says of all: once is enough.
            call.settle(share, told if call is self._calls[0] else {})

    def throttled(
        self, retry_after: Duration | None = None, error: BaseException | None = None
    ) -> RateLimited | QuotaExhausted:
        """The provider has answered 429: raise what this returns, and all items come back without an attempt counted.

        Raises:
            InvalidInput: every item has left.
        Spec: CALL-11, LIMIT-10
        """
        if not self._calls:
            raise InvalidInput("Every item of this batch has left it, so there is no call that could be throttled.")
        return self._calls[0].throttled(retry_after, error)

    def end(self, error: BaseException | None) -> BaseException | None:
        """Tell the storage what became of the call, and answer what is to be raised in the place of `error`."""
        if not self._calls:
            return error
        first, *others = self._calls
        raised = first.end(error)
        for call in others:
            # The provider has refused one request, and that pauses the limits; the others were never made.
            if first.refused is None:
                call.end(error)
            else:
                call.give_back()
        return raised

    def _part(self, item: int) -> Call:
        if item not in self._parts:
            raise InvalidInput(f"This call is not made for item {item}, but for {list(self._parts)}.")
        return self._parts[item][1]

    def _weights(self) -> list[int]:
        declared = [
            None if run.record.estimate is None else run.record.estimate.input for run, _ in self._parts.values()
        ]
        known = [weight for weight in declared if weight is not None]
        return known if len(known) == len(declared) else [0] * len(declared)


class BatchOpening:
    """A call of a batch that is asked for. Enter it with `async with`."""

    def __init__(self, seats: Sequence[Seat], calling: "list[BatchOpening]", model: str | None) -> None:
        self._seats, self._calling, self._model = seats, calling, model
        self._call: BatchCall | None = None

    async def __aenter__(self) -> BatchCall:
        if self._calling:
            raise InvalidInput("A call of this batch is open. Leave the block of one ctx.call before the next.")
        # Before anything is awaited: another branch of the handler may ask meanwhile.
        self._calling.append(self)
        opened: dict[int, tuple[Run, Call]] = {}
        try:
            # Together, so that all of them go with one round trip.
            async with asyncio.TaskGroup() as group:
                for n, seat in enumerate(self._seats):
                    if not seat.gone:
                        group.create_task(self._open(n, seat, opened))
        except (Exception, asyncio.CancelledError):
            self._calling.remove(self)
            for _, call in opened.values():
                call.give_back()
            raise
        self._call = BatchCall({n: opened[n] for n in sorted(opened)})
        return self._call

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._calling.remove(self)
        raised = error if self._call is None else self._call.end(error)
        if raised is not None and raised is not error:
            raise raised from error

    async def _open(self, n: int, seat: Seat, opened: dict[int, tuple[Run, Call]]) -> None:
        """Open the call of one item, or let it go its own way."""
        run = seat.run
        estimate = Estimate(model=run.record.model if self._model is None else self._model)
        try:
            await run.bring((), (estimate.model,))
            number, answer = await run.calls.open((), estimate)
        except LeaseLost as lost:
            seat.leave(lost)
            return
        match answer:
            case Admitted():
                opened[n] = run, Call(run, number, estimate, answer.max_output, run.record.taken_limits)
            case Refused():
                seat.leave(never(answer, estimate.model))
            case Exceeded():
                seat.leave(exceeded(run.record, answer))
            case MustWait():
                raise AssertionError("a call that is inside of no other waits until it is admitted")
            case _:
                assert_never(answer)


__all__ = ["BatchCall", "BatchContext", "BatchItem", "BatchOpening", "Seat"]
