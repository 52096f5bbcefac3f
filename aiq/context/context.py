"""What a handler is given: its durable points, its stream, and who it is.

A run that waits leaves its worker: the handler is unwound, and when the wait is over it runs again from the top.
What a durable point has remembered returns at once then, so work inside `ctx.step` is done once. What stands
outside of any step may run again.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast, overload

from aiq.context.calls import NESTED_WAIT_S, Named, Opening, names_of, usage_from
from aiq.context.children import Children, result_of
from aiq.context.points import Points
from aiq.context.run import Run
from aiq.context.steps import codec_of, decode, encode
from aiq.context.waits import Waits
from aiq.errors import Conflict, InvalidInput, PayloadInvalid, StepChanged, WaitTimeout
from aiq.misuse import check_function, check_signal, check_word, jobs_of
from aiq.model import ChunkKind, Estimate, Failure, RouteSpec, Sleeping, Step, StepKind, Suspended, Waiting
from aiq.policy import Duration, Limit, Signal, duration_ms
from aiq.rules.checks import cut
from aiq.rules.codec import Codec
from aiq.rules.writing import Unfit, digest, write

if TYPE_CHECKING:
    from aiq.newjob import NewJob

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Context:
    """One run of a job, as its handler sees it. Made by the worker; good for as long as the handler runs.

    Each durable point has a name, any text of 1 to MAX_STEP_NAME_BYTES bytes without control characters; else it
    raises `InvalidName`. A name in use twice at once raises `DuplicateStep`; one that is used again later in the run
    counts as name#2, name#3 … so the order of uses must be the same from run to run, and no name may end like that.

    Every method may raise `LeaseLost`: the job is no longer this run's. Let it pass.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._points = Points()
        self._waits = Waits(run, self._points)
        self._children = Children(run, self._waits)

    @property
    def job_id(self) -> str:
        """The id of the job."""
        return self._run.record.id

    @property
    def task(self) -> str:
        """The name of the task."""
        return self._run.record.task

    @property
    def queue(self) -> str:
        """The queue the job was claimed from."""
        return self._run.record.queue

    @property
    def tenant(self) -> str:
        """Whose job it is; empty when nobody was named."""
        return self._run.record.tenant

    @property
    def flow(self) -> str | None:
        """The flow the job belongs to."""
        return self._run.record.flow

    @property
    def attempt(self) -> int:
        """1 for the first; a run that resumes after a wait or a deploy is the same attempt."""
        return self._run.record.attempt

    @property
    def fence(self) -> int:
        """Rises with every run of the job, for whatever outside compares runs: the higher one is the later one."""
        return self._run.record.fence

    @property
    def route(self) -> RouteSpec | None:
        """The route on which this run is; None for a job without routes. Spec: ROUTE-1"""
        record = self._run.record
        return record.routes[record.route] if record.routes else None

    @property
    def estimate(self) -> Estimate | None:
        """What the job was declared to need; None where nobody said."""
        return self._run.record.estimate

    def idempotency_key(self, step: str = "") -> str:
        """A key that is the same in every run of the job, for a service that does the same request only once."""
        return f"{self.job_id}/{step}" if step else self.job_id

    # The first overload that fits counts; an `async def` is also a function that returns something, its coroutine.
    @overload
    async def step(
        self, name: str, fn: Callable[..., object], /, *args: object, returns: type[R], **kwargs: object
    ) -> R: ...
    @overload
    async def step(self, name: str, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    async def step(self, name: str, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    # Any: the overloads say what it answers.
    async def step(
        self, name: str, fn: Callable[..., object], /, *args: Any, returns: object = None, **kwargs: Any
    ) -> Any:
        """Do something once: its value is remembered, and a later run gets it without doing it again.

        The value is stored as JSON by the function's return annotation, or by `returns` where it has none. What
        comes back is what was stored, in this run as in later ones. The arguments are compared from run to run by
        a digest; a Context among them, and whatever has no form in JSON, does not count.

        Raises:
            InvalidInput: `fn` is no function, or nothing says what it returns.
            DuplicateStep: the name is in use at this moment.
            StepChanged: it is remembered with other arguments, or was a wait.
            ResultInvalid: the value does not fit, or is no JSON.
            TooLarge: the value is over MAX_STEP_BYTES.
        Spec: STEP-1, STEP-2, STEP-3
        """
        check_function(name, fn)
        codec = codec_of(name, fn, returns)
        with self._points.named(name) as key:
            wanted = digest([args, kwargs])
            step = self._run.steps.get(key)
            if step is None:
                await self._points.until_it_stays()
                self._run.require_live()
                with self._points.inside(key):
                    value = fn(*args, **kwargs)
                    value = await value if inspect.isawaitable(value) else value
                    step = await self._save(Step(key, StepKind.VALUE, encode(key, codec, value), wanted))
            if step.kind is not StepKind.VALUE or step.digest != wanted:
                raise StepChanged(key)
            return decode(key, codec, step.value)

    @overload
    async def gather(
        self, name: str, jobs: "Iterable[NewJob[R]]", *, rest: Literal["cancel", "leave"] = "cancel"
    ) -> list[R]: ...
    @overload
    async def gather(
        self,
        name: str,
        jobs: "Iterable[NewJob[R]]",
        *,
        on_failure: Literal["fail"],
        rest: Literal["cancel", "leave"] = "cancel",
    ) -> list[R]: ...
    @overload
    async def gather(
        self, name: str, jobs: "Iterable[NewJob[R]]", *, on_failure: Literal["continue"]
    ) -> list[R | Failure]: ...
    # Any: the overloads say what it answers.
    async def gather(
        self,
        name: str,
        jobs: "Iterable[NewJob[Any]]",
        *,
        on_failure: Literal["fail", "continue"] = "fail",
        rest: Literal["cancel", "leave"] = "cancel",
    ) -> list[Any]:
        """Run jobs as children of this one, and wait for all of them without holding a worker.

        The results come in the order of `jobs`. The first child that ends badly raises `ChildFailed`, and the
        others are cancelled unless `rest` is "leave"; with on_failure="continue" all are waited for, and a
        `Failure` stands in the place of each that ended badly.

        Raises:
            ChildFailed: uncaught, it kills this job without a retry.
            InvalidInput: what was passed are no jobs.
            StepChanged: under this name other jobs were started by an earlier run.
        Spec: FLOW-8, FLOW-9, FLOW-11, FAN-5
        """
        check_word("on_failure", on_failure, "fail", "continue")
        check_word("rest", rest, "cancel", "leave")
        children = jobs_of(jobs, "ctx.gather(name, [{}])")
        if not children:
            return []
        need = len(children) if on_failure == "fail" else None
        with self._points.named(name) as key:
            specs = self._children.specs(key, children)
            await self._children.over(Waiting(key, need, rest), children, specs)
            records = await self._children.records(key, specs)
            return [result_of(job, record) for job, record in zip(children, records, strict=True)]

    async def first(self, name: str, jobs: "Iterable[NewJob[R]]") -> R:
        """Run jobs as children, and take the first result; the others are cancelled.

        Raises:
            ChildFailed: every one of them ended badly.
            InvalidInput: there are no jobs, or they are none.
        Spec: FLOW-9, FLOW-12
        """
        return (await self.quorum(name, jobs_of(jobs, "ctx.first(name, [{}])"), 1))[0]

    async def quorum(self, name: str, jobs: "Iterable[NewJob[R]]", k: int) -> list[R]:
        """Run jobs as children, and take the first `k` results, in the order they came; the others are cancelled.

        Raises:
            ChildFailed: so many ended badly that `k` can no longer succeed.
            InvalidInput: `k` is not 1 to the number of jobs.
        Spec: FLOW-9, FLOW-12, FLOW-13
        """
        children = jobs_of(jobs, "ctx.quorum(name, [{}], k)")
        if not 1 <= k <= len(children):
            raise InvalidInput(f"{k} of {len(children)} jobs cannot succeed; ask for 1 to as many as there are.")
        with self._points.named(name) as key:
            specs = self._children.specs(key, children)
            step = await self._children.over(Waiting(key, k), children, specs)
            won = step.value.decode().split("\n") if step.value else [spec.id for spec in specs]
            by_id = {spec.id: (job, spec) for job, spec in zip(children, specs, strict=True)}
            records = await self._children.records(key, [by_id[job_id][1] for job_id in won])
            # Each of them has succeeded, so no Failure is among them.
            return [cast(R, result_of(by_id[i][0], record)) for i, record in zip(won, records, strict=True)]

    async def wait_for(self, signal: Signal[T], *, timeout: Duration | None = None) -> T:
        """Wait for a message from outside, for days if need be, without holding a worker.

        One that was sent early is taken at once. Each wait takes one message, and keeps it: a later run gets the
        same. `timeout` counts from the moment the wait began, and the wait is named after the signal.

        Raises:
            WaitTimeout: nothing came in time.
            PayloadInvalid: what came does not fit the type of the signal.
            InvalidInput: `signal` is no Signal, or the timeout is out of range.
        Spec: SIG-2, SIG-3, SIG-6, SIG-7
        """
        check_signal(signal, "ctx.wait_for({})")
        timeout_ms = None if timeout is None else duration_ms("timeout", timeout)
        with self._points.named(signal.name) as key:
            step = await self._waits.over(Suspended(key, signal.name, timeout_ms), StepKind.SIGNAL, StepKind.TIMEOUT)
            if step.kind is StepKind.TIMEOUT:
                raise WaitTimeout(signal.name)
            try:
                return cast(T, Codec(signal.type).decode(step.value))
            except Unfit as error:
                raise PayloadInvalid(
                    f'What was sent as signal "{signal.name}" does not fit its type. {error}.'
                ) from error

    async def sleep(self, name: str, seconds: Duration) -> None:
        """Let time pass without holding a worker; it counts from the first run that comes here. Spec: TIME-6"""
        with self._points.named(name) as key:
            await self._waits.over(Sleeping(key, duration_ms("seconds", seconds)), StepKind.TIMER)

    def call(
        self,
        *limits: Named | str,
        input: int | None = None,
        output: int | None = None,
        max_output: int | None = None,
        min_output: int | None = None,
        model: str | None = None,
        wait: Duration | None = NESTED_WAIT_S,
    ) -> Opening:
        """Ask a provider, once limits and budgets have room for it; what it needs is reserved before it is sent.

            async with ctx.call(GPT, input=1_000, max_output=2_000, model="gpt") as call:
                response = await client.chat.completions.create(..., max_completion_tokens=call.max_output)
                call.settle(response)

        Without limits, those of the job or of its route are meant, and without a model the job's. Numbers are tokens;
        what is not given is learned. With `min_output` the call is admitted for less than `max_output` when a budget
        has no room for more. While it waits for a limit the run keeps its lease, and after a second lends its slot.
        An error with status 429 that leaves the block gives the job back without counting an attempt.

        Do not nest calls: the outer one keeps what it holds from others, who may have what the inner one waits for. A
        call inside of another one waits for `wait` seconds at most (None: for ever), and then raises RateLimited, which
        gives the job back without an attempt counted. It is refused at once where it would wait for its own run.

        Raises, on entering:
            InvalidInput: a number, a name or the model is out of its bounds. UnknownLimit, NeverFits, PriceUnknown: the
                call can never be admitted. RateLimited: it has waited inside of another one.
            BudgetExceeded: a budget has no room, and says that the job is to fail. One that says otherwise unwinds the
                handler, as a wait does.
        Raises, on leaving: RateLimited, QuotaExhausted: in the place of an error that says so.
        Spec: CALL-1, CALL-3, CALL-5, CALL-8, CALL-9, CALL-11, BUDGET-8, HOLD-1
        """
        record = self._run.record
        estimate = Estimate(
            input=input,
            output=output,
            max_output=max_output,
            min_output=min_output,
            model=record.model if model is None else model,
        )
        brought = [one for one in limits if isinstance(one, Limit)]
        patience_ms = None if wait is None else duration_ms("wait", wait)
        return Opening(self._run, self._waits, names_of(limits), estimate, brought, patience_ms)

    def report(self, used: object) -> None:
        """Say what the handler has used beside `ctx.call`: a Usage, or a response of `openai` or `anthropic`.

        It is added to what this run has reported so before, and sent soon.

        Raises:
            InvalidInput: it says nothing of its use, or is of one model more than MAX_LIMITS.
        Spec: USAGE-1, CALL-12
        """
        usage = usage_from(used, self._run.record.model)
        if usage is None:
            raise InvalidInput(f"{used!r:.200} does not say what was used; pass aiq.Usage(model=…, input=…, output=…).")
        self._run.calls.add(usage)

    async def emit(self, data: str | bytes) -> None:
        """Add to the job's stream; readers see it at once, in order, and can resume after a disconnect.

        It returns before the item is stored, and waits only when too much is under way; the next step and the end
        of the run wait for all of it. What a step emitted counts once the step is saved; the rest is void when
        another run starts to emit.

        Raises:
            TooLarge: over MAX_CHUNK_BYTES, or the stream is over MAX_STREAM_BYTES. The job can still complete.
        Spec: STREAM-4, STREAM-5, STREAM-10
        """
        await self._emit(ChunkKind.DATA, data.encode() if isinstance(data, str) else data)

    async def log(self, line: str) -> None:
        """Add a line to the job's stream that is about the work and not part of it: `aiq tail` shows it as a remark.

        A line over MAX_ERROR_BYTES is cut, and lines beyond LOG_ROOM_BYTES of the stream are left out: a last one says
        so. Nobody's work should fail for what is said of it.

        Spec: STREAM-13
        """
        await self._emit(ChunkKind.LOG, cut(line).encode())

    async def progress(self, value: object) -> None:
        """Say how far the work has come: a fraction, or any value with a form in JSON. The newest one counts.

        Of those that wait for the storage together only the newest goes there. What is beyond PROGRESS_ROOM_BYTES of
        the stream is left out.

        Raises:
            InvalidInput: it cannot be written as JSON.
            TooLarge: it is over MAX_CHUNK_BYTES.
        Spec: STREAM-12, STREAM-13
        """
        try:
            data = write(value).data
        except Unfit as error:
            raise InvalidInput(f"The progress cannot be written as JSON. {error}.") from error
        await self._emit(ChunkKind.PROGRESS, data)

    async def _emit(self, kind: ChunkKind, data: bytes) -> None:
        await self._run.emit(kind, data, self._points.innermost)

    async def _save(self, step: Step) -> Step:
        try:
            return await self._run.save_step(step)
        except Conflict as error:
            raise StepChanged(step.key) from error
