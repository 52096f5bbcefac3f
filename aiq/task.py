"""Tasks: functions with a policy, known by a name.

A task stays a plain function: calling it runs it, here and now, and no queue is touched. `task.job(…)` makes
the piece of work that a queue takes.
"""

import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import cached_property, update_wrapper
from types import SimpleNamespace
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Concatenate,
    Final,
    Generic,
    Literal,
    ParamSpec,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    get_args,
    get_type_hints,
    overload,
)

from aiq.bounds import DEFAULT_LEASE_MS, DEFAULT_MAX_DEFERRAL_MS, DEFAULT_STALLS, MAX_ATTEMPTS
from aiq.errors import InvalidInput, InvalidName, ResultInvalid
from aiq.model import Band, Estimate, Failure
from aiq.newjob import NewJob
from aiq.policy import (
    BandName,
    Duration,
    Limit,
    Limits,
    Retry,
    Route,
    band_of,
    keep_ms_of,
    lease_ms_of,
    limits_of,
    max_deferral_ms_of,
    routes_of,
    timeout_ms_of,
)
from aiq.rules.arguments import Arguments, Parameters
from aiq.rules.staging import OPENER
from aiq.rules.validation import check_name, check_range
from aiq.rules.writing import Unfit

if TYPE_CHECKING:
    from aiq.context import Context

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

Kind: TypeAlias = Literal["async", "thread", "process"]
"""Where a handler runs: on the event loop, in a thread of the worker's own pool, or in a process of its own."""

_KINDS: Final = get_args(Kind)
_DEFAULT_RETRY: Final = Retry()


class TaskOptions(TypedDict, total=False):
    """The policy of a task. Durations are seconds, or timedeltas; what `using` says of a job wins."""

    name: str
    """The function's own name if not given. It is stored with every job, so renaming needs care."""
    queue: str
    retry: Retry
    lease: Duration
    timeout: Duration
    kind: Kind
    max_stalls: int
    band: BandName | Band
    limits: Limits
    """What its jobs take, whatever their route: all of it in the step that starts them, or none."""
    routes: Iterable[Route]
    """The ways in which its jobs can be done, first choice first."""
    keep: Duration
    """How long its jobs are kept once they have ended, in the place of what the retention of the storage says."""
    max_deferral: Duration
    """How long rate limits alone may give a job back before it is dead: an hour, if not given."""


class Task(Generic[P, R_co]):
    """A function and its policy. Made by the decorator `aiq.task`; P are its arguments without the context.

    @aiq.task(queue="research", retry=aiq.Retry(attempts=5), lease=180)
    async def research(ctx: aiq.Context, topic: str) -> Report: ...

    job = await queue.enqueue(research.job("solid-state batteries"))
    report = await research(ctx, "solid-state batteries")        # runs it, as any function
    """

    name: Final[str]
    queue: Final[str | None]
    band: Final[Band | None]
    retry: Final[Retry]
    lease_ms: Final[int]
    timeout_ms: Final[int | None]
    max_stalls: Final[int]
    kind: Final[Kind]
    limits: Final[tuple[Limit | str, ...]]
    routes: Final[tuple[Route, ...]]
    max_deferral_ms: Final[int]
    keep_ms: Final[int | None]
    takes_context: Final[bool]
    function: Final[Callable[..., object]]
    """The function itself: context first if it takes one."""
    _context: ClassVar[Literal["Context", "BatchContext"]] = "Context"

    def __init__(self, function: Callable[..., object], options: TaskOptions) -> None:
        self.function = function
        self.kind = _kind_of(function, options.get("kind"))
        self.takes_context = takes_context(function, self._context)
        self.name = options.get("name", function.__name__)
        self.queue = options.get("queue")
        self.retry = _retry_of(options.get("retry", _DEFAULT_RETRY))
        self.max_stalls = options.get("max_stalls", DEFAULT_STALLS)
        lease, timeout, band = options.get("lease"), options.get("timeout"), options.get("band")
        self.band = None if band is None else band_of(band)
        self.timeout_ms = None if timeout is None else timeout_ms_of(timeout)
        self.lease_ms = DEFAULT_LEASE_MS if lease is None else lease_ms_of(lease)
        self.limits, self.routes = limits_of(options.get("limits", ())), routes_of(options.get("routes", ()))
        deferral = options.get("max_deferral")
        keep = options.get("keep")
        self.keep_ms = None if keep is None else keep_ms_of(keep)
        self.max_deferral_ms = DEFAULT_MAX_DEFERRAL_MS if deferral is None else max_deferral_ms_of(deferral)
        self._estimate: Callable[..., object] | None = None
        self._check()
        update_wrapper(cast(Callable[..., object], self), function)

    def job(self, *args: P.args, **kwargs: P.kwargs) -> NewJob[R_co]:
        """This task with arguments, ready to be enqueued.

        Raises:
            PayloadInvalid: they do not fit the signature or the annotations, or cannot be written as JSON.
        """
        return NewJob(self, self._parameters.encode(args, kwargs))

    def estimate(self, function: Callable[P, Estimate]) -> Callable[P, Estimate]:
        """Say by a function what a job needs, from its arguments (without the context). A decorator.

            @summarize.estimate
            def _(text: str, style: str = "terse") -> aiq.Estimate:
                return aiq.Estimate(input=len(text) // 4, max_output=2_000, model="gpt")

        It is asked where the job is enqueued, unless `using(estimate=…)` says it. What it leaves out is learned.

        Raises:
            InvalidInput: it is no function, or an `async def`.
        """
        if inspect.iscoroutinefunction(function) or not callable(function):
            raise InvalidInput(f'The estimate of task "{self.name}" is {function!r}; decorate a `def`.')
        self._estimate = function
        return function

    def estimated(self, payload: bytes) -> Estimate | None:
        """What a job with these arguments needs; None if nobody said how to tell.

        Raises:
            InvalidInput: the function that should tell fails, or tells something else.
        """
        if self._estimate is None:
            return None
        args, kwargs = self.decode(payload)
        try:
            found = self._estimate(*args, **kwargs)
        except Exception as error:
            raise InvalidInput(f'The estimate of task "{self.name}" failed: {type(error).__name__}: {error}') from error
        if not isinstance(found, Estimate):
            raise InvalidInput(f'The estimate of task "{self.name}" is {found!r:.100}; return an aiq.Estimate.')
        return found

    def decode(
        self, payload: bytes, outputs: Mapping[str, bytes | Failure] | None = None
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        """The typed arguments of a stored job, for a call of `function`.

        `outputs` has the result of each job that `rules.arguments.upstream(payload)` names.

        Raises:
            PayloadInvalid: they do not fit this version of the function.
        """
        return self._parameters.decode(payload, outputs or {})

    def closed_to_failure(self, arguments: Arguments) -> str | None:
        """The parameter, if any, that is given an output and is not annotated to take a Failure in its place."""
        return self._parameters.closed_to_failure(arguments)

    def encode_result(self, value: object) -> bytes:
        """What the function returned, as it is stored.

        Raises:
            ResultInvalid: it does not fit the return annotation, or cannot be written as JSON.
        """
        try:
            return self._parameters.codec("return").encode(value)
        except Unfit as error:
            raise ResultInvalid(f'Task "{self.name}" returned what cannot be its result. {error}.') from error

    def decode_result(self, data: bytes) -> R_co:
        """A stored result.

        Raises:
            ResultInvalid: it was stored by another version of the task, with another return annotation.
        """
        try:
            return cast(R_co, self._parameters.codec("return").decode(data))
        except Unfit as error:
            raise ResultInvalid(
                f'The stored result does not fit the return annotation of task "{self.name}" as it is here. {error}.'
            ) from error

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    @cached_property
    def _parameters(self) -> Parameters:
        return Parameters(self.name, self.function, takes_context=self.takes_context)

    def _check(self) -> None:
        check_name("task", self.name)
        if self.name == OPENER:
            raise InvalidName("task", self.name, "It is that of the jobs that open large flows; choose another one.")
        if self.queue is not None:
            check_name("queue", self.queue)
        check_range("max_stalls", self.max_stalls, 1, MAX_ATTEMPTS)
        if self.takes_context and self.kind != "async":
            raise InvalidInput(
                f'Task "{self.name}" is a `def` and takes a {self._context}, which belongs to the event loop. '
                "Make it `async def`, or take only its arguments."
            )


class ContextTask(Task[P, R_co]):
    """A task made of `async def f(ctx: aiq.Context, …)`."""

    # Any: how a coroutine is driven is asyncio's business, and every `async def` is typed so.
    def __call__(self, ctx: "Context", /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Run the function."""
        return cast(Coroutine[Any, Any, R_co], self.function(ctx, *args, **kwargs))


class AsyncTask(Task[P, R_co]):
    """A task made of an `async def` without a context."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Run the function."""
        return cast(Coroutine[Any, Any, R_co], self.function(*args, **kwargs))


class SyncTask(Task[P, R_co]):
    """A task made of a `def`."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the function, in the caller's thread."""
        return cast(R_co, self.function(*args, **kwargs))


class TaskDecorator:
    """Makes tasks of functions; bare, or with options, which make a decorator of their own.

        @aiq.task
        async def summarize(text: str) -> str: ...

        slow = aiq.task(queue="slow", lease=600, retry=aiq.Retry(attempts=5))

        @slow(name="reports.render", kind="process")
        def render(report: Report) -> bytes: ...

    Nothing is registered: a worker runs the tasks that it is given.

    Raises:
        InvalidInput: the function cannot be a task, or an option is out of range or does not exist.
    """

    def __init__(self, options: TaskOptions) -> None:
        self._options: Final = options

    # mypy calls these unsafe because an `async def` is also a function that returns something, its coroutine.
    # The first overload that fits is the one that counts, and they stand from the narrowest to the widest.
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: "Callable[Concatenate[Context, P], Coroutine[Any, Any, R]]", /
    ) -> ContextTask[P, R]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> SyncTask[P, R]: ...
    @overload
    def __call__(self, /, **options: Unpack[TaskOptions]) -> "TaskDecorator": ...
    # Any: the overloads say what it answers.
    def __call__(self, function: Callable[..., object] | None = None, /, **options: Any) -> Any:
        """Make a task of `function`, or a decorator with these options as well."""
        merged = cast(TaskOptions, {**self._options, **options})
        if function is None:
            return _with_known_options(merged)
        if not inspect.isfunction(inspect.unwrap(function)):
            raise InvalidInput(f"{function!r} cannot be a task; decorate a function, made by `def` or `async def`.")
        if takes_context(function):
            return ContextTask(function, merged)
        return (AsyncTask if _is_async(function) else SyncTask)(function, merged)


task: Final = TaskDecorator({})
"""The decorator that makes a task of a function."""


def _with_known_options(options: TaskOptions) -> TaskDecorator:
    unknown = sorted(options.keys() - TaskOptions.__annotations__.keys())
    if unknown:
        known = ", ".join(TaskOptions.__annotations__)
        raise InvalidInput(f"There is no option {unknown[0]!r} of a task. There are: {known}.")
    return TaskDecorator(options)


def _is_async(function: Callable[..., object]) -> bool:
    """Whether it, or the function that a decorator wrapped in it, is an `async def`."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(inspect.unwrap(function))


def _retry_of(value: object) -> Retry:
    if isinstance(value, Retry):
        return value
    raise InvalidInput(f"retry is {value!r}; pass a policy, for instance aiq.Retry(attempts=3).")


def _kind_of(function: Callable[..., object], wanted: Kind | None) -> Kind:
    if wanted is not None and wanted not in _KINDS:
        raise InvalidInput(f"kind is {wanted!r}; the kinds are {', '.join(_KINDS)}.")
    plain = inspect.unwrap(function)
    if inspect.isasyncgenfunction(plain) or inspect.isgeneratorfunction(plain):
        raise InvalidInput(f"{function!r} yields. A task returns its result; parts on the way go through ctx.emit.")
    if _is_async(function):
        if wanted not in (None, "async"):
            raise InvalidInput(f'{function!r} is an `async def` and runs on the loop; kind="{wanted}" needs a `def`.')
        return "async"
    if wanted == "async":
        raise InvalidInput(f'{function!r} is a `def`; kind="async" needs an `async def`. Leave `kind` out.')
    if wanted == "process" and "<locals>" in plain.__qualname__:
        raise InvalidInput(f"{function!r} is inside another function, where a process cannot find it. Move it out.")
    return wanted or "thread"


def takes_context(function: Callable[..., object], wanted: Literal["Context", "BatchContext"] = "Context") -> bool:
    """Whether the first parameter is annotated as a context, also where only type checkers know the name."""
    parameter = next(iter(inspect.signature(function).parameters.values()), None)
    if parameter is None or parameter.annotation is parameter.empty:
        return False
    annotation: object = parameter.annotation
    if isinstance(parameter.annotation, str):
        shell, plain = SimpleNamespace(__annotations__={"first": annotation}), inspect.unwrap(function)
        try:
            annotation = get_type_hints(shell, plain.__globals__)["first"]
        except (NameError, AttributeError):
            return parameter.annotation.rpartition(".")[2] == wanted
    from aiq import context  # the neighbour needs this module first

    return isinstance(annotation, type) and issubclass(annotation, getattr(context, wanted))
