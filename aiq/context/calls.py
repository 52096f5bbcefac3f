"""Asking a provider: admitted before it is sent, and told of afterwards, whatever happens in between."""

from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Final, Protocol, assert_never

from aiq.bounds import MAX_LIMITS
from aiq.context.providers import headers_of, lowered, remaining_of, usage_of
from aiq.context.refusals import UNANSWERED, Refusal, refusal_of, status_of, wait_for_room_ms, whole_ms
from aiq.context.run import Run
from aiq.context.waits import Waits
from aiq.errors import BudgetExceeded, InvalidInput, NeverFits, PriceUnknown, QuotaExhausted, RateLimited, UnknownLimit
from aiq.model import (
    CallState,
    Cause,
    Deferred,
    Estimate,
    Exceeded,
    Held,
    HeldFor,
    JobError,
    JobRecord,
    MustWait,
    OnExceeded,
    Refused,
    Remaining,
    Usage,
)
from aiq.policy import Duration, Limit, duration_ms
from aiq.rules.retry import leaves
from aiq.rules.routes import next_route
from aiq.rules.validation import check_count, check_name

NESTED_WAIT_S: Final = 60.0
"""How long a call that is asked for inside of another one waits, unless it says otherwise: in the meantime the outer
one keeps what it holds from others, and these may be what the inner one waits for."""


class Named(Protocol):
    """What has the name of a limit: an `aiq.Limit`."""

    @property
    def name(self) -> str:
        """The name under which it is stored."""
        ...


class Call:
    """One call to a provider that may be made now. Made by `ctx.call`."""

    def __init__(
        self, run: Run, number: int, estimate: Estimate, max_output: int | None, limits: tuple[str, ...]
    ) -> None:
        self._calls, self._limits, self._tokens = run.calls, limits, _tokens(estimate, max_output)
        self._number, self._model, self._max_output = number, estimate.model, max_output
        self._used: Usage | None = None
        self._remaining: tuple[Remaining, ...] = ()
        self._settled = self._closed = False
        self._refused: RateLimited | QuotaExhausted | None = None

    @property
    def number(self) -> int:
        """1 for the first call of this run."""
        return self._number

    @property
    def model(self) -> str:
        """The model for which it was admitted; empty where nobody named one."""
        return self._model

    @property
    def max_output(self) -> int | None:
        """The most output that it may ask for, in tokens: less than was declared if a budget has no room for it.

        None where nobody declared it, here or in the job's estimate, and no budget needs a bound. Spec: BUDGET-8
        """
        return self._max_output

    @property
    def refused(self) -> RateLimited | QuotaExhausted | None:
        """What the provider said of a call that it had no room for."""
        return self._refused

    def open_in(self, run: Run) -> bool:
        """Whether it is a call of this run that has not ended."""
        return not self._closed and self._calls is run.calls

    def report(self, used: object) -> None:
        """Say all that the call has used so far, while it streams: a Usage, or a part of the stream that says so.

        It is sent soon; of what is reported meanwhile only the newest. Spec: CALL-10, USAGE-2
        """
        usage = usage_from(used, self._model)
        if usage is not None:
            self._used = usage
            self._calls.report(self._number, CallState.SETTLED if self._closed else CallState.OPEN, (usage,))

    def settle(self, used: object, headers: Mapping[str, str] | None = None) -> None:
        """Say what the call has used in the end: a Usage, or the response of `openai` or `anthropic`.

        What the headers say is left lowers the level of the first of the call's limits. They are read from the response
        where it has them. It counts when the block is left; after that, it corrects what was counted. Spec: CALL-9
        """
        told = headers_of(used) if headers is None else lowered(headers)
        remaining = remaining_of(self._limits[0], told) if self._limits else None
        self._remaining = () if remaining is None else (remaining,)
        usage = usage_from(used, self._model)
        if usage is not None:
            self._used, self._settled = usage, True
            if self._closed:
                self._calls.report(self._number, CallState.SETTLED, (usage,), remaining=self._remaining)

    def throttled(
        self, retry_after: Duration | None = None, error: BaseException | None = None
    ) -> RateLimited | QuotaExhausted:
        """The provider has answered 429: its limits pause for everybody, for `retry_after` or for what `error` says.

        Raise what this returns, and the job comes back without an attempt counted; it is QuotaExhausted if `error` says
        that a quota or a spending limit is used up. Spec: CALL-11, LIMIT-10, LIMIT-11
        """
        refusal = None if error is None else refusal_of(error)
        wait_ms = None if retry_after is None else duration_ms("retry_after", retry_after)
        if refusal is not None and refusal.quota:
            refused: RateLimited | QuotaExhausted = QuotaExhausted()
        elif wait_ms is None and error is not None and refusal is not None:
            refused = self._rate_limited(self._wait_ms(error, refusal))
        else:
            refused = self._rate_limited(wait_ms)
        refused.reported = not self._closed
        self._refused = refused
        return refused

    def end(self, error: BaseException | None) -> BaseException | None:
        """Tell the storage what became of the call, and answer what is to be raised in the place of `error`."""
        found = None if self._settled else self._refused_by(error)
        self._closed, self._refused = True, found or self._refused
        self._tell(self._refused, error)
        # A group goes on as it is: it may hold more than the refusal.
        return error if found is None or isinstance(error, BaseExceptionGroup) else found

    def give_back(self) -> None:
        """End it as one that was never sent."""
        self._closed = True
        self._calls.report(self._number, CallState.UNSENT)

    def _tell(self, refused: RateLimited | QuotaExhausted | None, error: BaseException | None) -> None:
        match refused:
            case RateLimited():
                wait_ms = whole_ms(refused.retry_after)
                self._calls.report(self._number, CallState.THROTTLED, retry_after_ms=wait_ms, remaining=self._remaining)
            case QuotaExhausted():
                self._calls.report(self._number, CallState.UNSENT)
            case None:
                self._calls.report(self._number, CallState.SETTLED, self._all_used(error), remaining=self._remaining)
                if error is None and self._used is None:
                    self._calls.unsaid()
            case _:
                assert_never(refused)

    def _all_used(self, error: BaseException | None) -> tuple[Usage, ...]:
        """What was reported. Of a call that the provider has answered with an error nothing but the request was used;
        of any other that nobody spoke of nobody knows, and the storage takes its estimate."""
        if self._used is not None:
            return (self._used,)
        status = None if error is None else status_of(error)
        answered = status is not None and status >= 400 and status not in UNANSWERED
        return (Usage(self._model),) if answered else ()

    def _refused_by(self, error: BaseException | None) -> RateLimited | QuotaExhausted | None:
        """What an error says of this call: one that a call inside of it has reported is about that one."""
        for leaf in () if error is None else leaves(error):
            refusal = refusal_of(leaf)
            if refusal is None or getattr(leaf, "reported", False):
                continue
            if isinstance(leaf, RateLimited | QuotaExhausted):
                leaf.reported = True
                return leaf
            refused = QuotaExhausted() if refusal.quota else self._rate_limited(self._wait_ms(leaf, refusal))
            refused.reported = True
            return refused
        return None

    def _wait_ms(self, error: BaseException, refusal: Refusal) -> int | None:
        """The time that a refusal named. Where it says only how full the provider's buckets are, the time that follows
        for this call; the limit's level follows them as well. Spec: LIMIT-12"""
        if refusal.retry_after_ms is not None:
            return refusal.retry_after_ms
        wait_ms = wait_for_room_ms(error, self._tokens)
        if wait_ms is not None and self._limits:
            remaining = remaining_of(self._limits[0], headers_of(error))
            self._remaining = () if remaining is None else (remaining,)
        return wait_ms

    def _rate_limited(self, wait_ms: int | None) -> RateLimited:
        return RateLimited(retry_after=None if wait_ms is None else wait_ms / 1000, limits=self._limits)


_around: ContextVar[tuple[Call, ...]] = ContextVar("aiq.calls", default=())
"""The calls inside of whose blocks the present code runs, also in tasks that were started there."""


class Opening:
    """A call that is asked for. Enter it with `async with`."""

    def __init__(
        self,
        run: Run,
        waits: Waits,
        limits: tuple[str, ...],
        estimate: Estimate,
        brought: Sequence[Limit] = (),
        patience_ms: int | None = None,
    ) -> None:
        self._run, self._waits = run, waits
        self._limits, self._estimate, self._brought = limits, estimate, brought
        self._patience_ms = patience_ms
        self._call: Call | None = None

    async def __aenter__(self) -> Call:
        await self._run.bring(self._brought, (self._estimate.model,))
        around = tuple(call for call in _around.get() if call.open_in(self._run))
        inside = tuple(call.number for call in around)
        number, answer = await self._run.calls.open(self._limits, self._estimate, inside, self._patience_ms)
        match answer:
            case Refused():
                raise never(answer, self._estimate.model)
            case MustWait():
                raise _waited(answer)
            case Exceeded():
                found = exceeded(self._run.record, answer)
                if isinstance(found, BudgetExceeded):
                    raise found
                await self._waits.leave(found)
            case _:
                limits = self._limits or self._run.record.taken_limits
                self._call = Call(self._run, number, self._estimate, answer.max_output, limits)
        _around.set((*around, self._call))
        return self._call

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Nothing is awaited here: what is told goes out soon, and no cancellation can come between.
        if self._call is not None:
            _around.set(tuple(call for call in _around.get() if call is not self._call))
            raised = self._call.end(error)
            if raised is not None and raised is not error:
                raise raised from error


def exceeded(record: JobRecord, answer: Exceeded) -> BudgetExceeded | Deferred | Held:
    """What becomes of a job one of whose budgets has no room for its call: an error to raise, or how it leaves.

    Spec: HOLD-1, HOLD-5, HOLD-6
    """
    reason = HeldFor.BUDGET
    match answer.on_exceeded:
        case OnExceeded.FAIL:
            return BudgetExceeded(answer.budget, answer.text)
        case OnExceeded.DEGRADE if next_route(record, record.closed_routes | 1 << record.route) is not None:
            error = JobError(type="BudgetExceeded", message=answer.text, cause=Cause.BUDGET)
            return Deferred(error, 0, close_route=True)
        case OnExceeded.APPROVE:
            reason = HeldFor.APPROVAL
        case OnExceeded.HOLD | OnExceeded.DEGRADE:
            pass
        case _:
            assert_never(answer.on_exceeded)
    return Held(reason=reason, by=answer.budget, need=answer.need)


def names_of(limits: Iterable[Named | str]) -> tuple[str, ...]:
    """The names of limits that may be given as such.

    Raises:
        InvalidInput: one is neither, or there twice, or there are more than MAX_LIMITS.
    """
    names = tuple(one if isinstance(one, str) else _name(one) for one in limits)
    check_count("list of limits", len(names), MAX_LIMITS)
    for name in names:
        check_name("limit", name)
    if len(set(names)) < len(names):
        raise InvalidInput(f"The limits {', '.join(names)} name one twice; a call takes each limit once.")
    return names


def usage_from(used: object, model: str) -> Usage | None:
    """A Usage as it is, or that of a response; None if it says nothing.

    A Usage that names no model is of `model`, and so is any response where one is named: under the name that the
    provider gives to the version of a model, nobody would find its price.
    """
    if isinstance(used, Usage):
        return used if used.model else renamed(used, model)
    found = usage_of(used)
    return found if found is None or not model else renamed(found, model)


def renamed(usage: Usage, model: str) -> Usage:
    """The same use, of another model."""
    tokens = dict(usage.tokens)
    return Usage(model, tokens.pop("input", 0), tokens.pop("output", 0), **tokens)


def _tokens(estimate: Estimate, max_output: int | None) -> int | None:
    """The most tokens that a provider may count for a call when it arrives; None where its input was not declared."""
    made = max_output if max_output is not None else estimate.output
    return None if estimate.input is None else estimate.input + (made or 0)


def _name(limit: object) -> str:
    name = getattr(limit, "name", None)
    if not isinstance(name, str):
        raise InvalidInput(f"{limit!r:.100} is no limit; pass an aiq.Limit or its name: ctx.call(GPT, input=1_000).")
    return name


def never(answer: Refused, model: str) -> NeverFits | PriceUnknown | UnknownLimit:
    """What to raise for a call that can never be admitted."""
    match answer.kind:
        case "price_unknown":
            return PriceUnknown(model, text=answer.text)
        case "unknown_limit":
            return UnknownLimit("", text=answer.text)
        case _:
            return NeverFits(answer.text)


def _waited(answer: MustWait) -> RateLimited:
    """What gives the job back that has waited inside of one of its calls: nothing was refused, so nothing pauses."""
    error = RateLimited(
        f'A call that is nested in another one has waited too long for limit "{answer.limit}", so its job comes back '
        "later: what the outer call holds may be what others wait for. Leave the block of one ctx.call before the "
        "next, or say how long it may wait: ctx.call(…, wait=…)."
    )
    error.reported = True
    return error
