"""Batch tasks: functions that work on many jobs at once, each of which is enqueued, limited and settled by itself."""

import inspect
from collections.abc import Callable, Coroutine, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, TypeAlias, TypeVar, Unpack, cast, overload

from aiq.bounds import MAX_BATCH
from aiq.errors import InvalidInput
from aiq.model import Failure
from aiq.policy import Duration, duration_ms
from aiq.rules.arguments import Parameters
from aiq.rules.items import ItemParameters
from aiq.rules.validation import check_range
from aiq.task import Task, TaskOptions, takes_context

if TYPE_CHECKING:
    from aiq.context import BatchContext

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

DEFAULT_SIZE: Final = 64
DEFAULT_LINGER_S: Final = 0.02
MAX_LINGER_MS: Final = 60_000

Answers: TypeAlias = Sequence[R | Failure | Exception]
"""What a handler returns: for each item, in their order, its result, or what failed it."""


class BatchOptions(TaskOptions, total=False):
    """The policy of a batch task: that of a task, and how its batches are made."""

    size: int
    """The most items that the handler is called with: 1 to MAX_BATCH, 64 if not given."""
    linger: Duration
    """How long the first item waits for others: up to a minute, 0.02 s if not given."""


class BatchTask(Task[[T], R_co], Generic[T, R_co]):
    """A function of many items, and its policy. Made by the decorator `aiq.batch_task`.

        @aiq.batch_task(size=64, linger=0.02, limits=[EMBEDDINGS])
        async def embed(ctx: aiq.BatchContext, texts: list[str]) -> list[Vector | Exception]: ...

        job = await queue.enqueue(embed.job("one text"))             # a job of its own
        vector = await job.result()

    A worker calls it with the items of up to `size` jobs that it has claimed, as soon as there are so many or `linger`
    after the first. Each job keeps its own lease, attempts, limits and budget, and gets what stands in its place.
    """

    size: Final[int]
    linger_ms: Final[int]
    _context: ClassVar[Literal["Context", "BatchContext"]] = "BatchContext"

    def __init__(self, function: Callable[..., object], options: BatchOptions) -> None:
        self.size = options.get("size", DEFAULT_SIZE)
        self.linger_ms = duration_ms("linger", options.get("linger", DEFAULT_LINGER_S), high_ms=MAX_LINGER_MS)
        super().__init__(function, options)

    def __repr__(self) -> str:
        return f"<batch task {self.name}>"

    @cached_property
    def _parameters(self) -> Parameters:
        return ItemParameters(self.name, self.function, takes_context=self.takes_context)

    def _check(self) -> None:
        super()._check()
        check_range("size of a batch", self.size, 1, MAX_BATCH)
        if self.kind == "process":
            raise InvalidInput(
                f'Batch task "{self.name}" cannot run in a process. Leave `kind` out: a `def` has a thread.'
            )
        if len(inspect.signature(self.function).parameters) != 1 + self.takes_context:
            raise InvalidInput(
                f'Batch task "{self.name}" takes a list of items, after an aiq.BatchContext if it wants one, and '
                "nothing else: async def embed(ctx: aiq.BatchContext, texts: list[str]) -> list[Vector]."
            )


class ContextBatchTask(BatchTask[T, R_co]):
    """A batch task made of `async def f(ctx: aiq.BatchContext, items: list[T])`."""

    # Any: how a coroutine is driven is asyncio's business, and every `async def` is typed so.
    def __call__(self, ctx: "BatchContext", items: list[T], /) -> Coroutine[Any, Any, Answers[R_co]]:
        """Run the function."""
        return cast(Coroutine[Any, Any, Answers[R_co]], self.function(ctx, items))


class AsyncBatchTask(BatchTask[T, R_co]):
    """A batch task made of an `async def` without a context."""

    # Any: as above.
    def __call__(self, items: list[T], /) -> Coroutine[Any, Any, Answers[R_co]]:
        """Run the function."""
        return cast(Coroutine[Any, Any, Answers[R_co]], self.function(items))


class SyncBatchTask(BatchTask[T, R_co]):
    """A batch task made of a `def`."""

    def __call__(self, items: list[T], /) -> Answers[R_co]:
        """Run the function, in the caller's thread."""
        return cast(Answers[R_co], self.function(items))


class BatchTaskDecorator:
    """Makes batch tasks of functions; bare, or with options, which make a decorator of their own.

    The function takes a list of items, after a BatchContext if it is an `async def` and wants one, and returns a list
    of the same length: for each item its result, or in its place a Failure or an exception, which fails it alone.

    Raises:
        InvalidInput: the function cannot be a batch task, or an option is out of range or does not exist.
    """

    def __init__(self, options: BatchOptions) -> None:
        self._options: Final = options

    @overload
    def __call__(
        self, function: "Callable[[BatchContext, list[T]], Coroutine[Any, Any, Answers[R]]]", /
    ) -> ContextBatchTask[T, R]: ...
    @overload
    def __call__(self, function: Callable[[list[T]], Coroutine[Any, Any, Answers[R]]], /) -> AsyncBatchTask[T, R]: ...
    @overload
    def __call__(self, function: Callable[[list[T]], Answers[R]], /) -> SyncBatchTask[T, R]: ...
    @overload
    def __call__(self, /, **options: Unpack[BatchOptions]) -> "BatchTaskDecorator": ...
    # Any: the overloads say what it answers.
    def __call__(self, function: Callable[..., object] | None = None, /, **options: Any) -> Any:
        """Make a batch task of `function`, or a decorator with these options as well."""
        merged = cast(BatchOptions, {**self._options, **options})
        if function is None:
            return _with_known_options(merged)
        if not inspect.isfunction(inspect.unwrap(function)):
            raise InvalidInput(
                f"{function!r} cannot be a batch task; decorate a function, made by `def` or `async def`."
            )
        if takes_context(function, "BatchContext"):
            return ContextBatchTask(function, merged)
        awaited = inspect.iscoroutinefunction(inspect.unwrap(function))
        return (AsyncBatchTask if awaited else SyncBatchTask)(function, merged)


batch_task: Final = BatchTaskDecorator({})
"""The decorator that makes a batch task of a function."""


def _with_known_options(options: BatchOptions) -> BatchTaskDecorator:
    known = (*TaskOptions.__annotations__, *BatchOptions.__annotations__)
    unknown = sorted(options.keys() - set(known))
    if unknown:
        told = ", ".join(dict.fromkeys(known))
        raise InvalidInput(f"There is no option {unknown[0]!r} of a batch task. There are: {told}.")
    return BatchTaskDecorator(options)
