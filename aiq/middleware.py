"""Code of yours around every enqueue and every run: to add options, to refuse, to measure, to trace.

    async def stamp(call: aiq.EnqueueCall, next: aiq.EnqueueNext) -> Sequence[aiq.Enqueued]:
        return await next(call.using(tenant=tenant.get()))

    async def measure(call: aiq.RunCall, next: aiq.RunNext) -> object:
        with timer(call.task.name):
            return await next(call)

The first of a list is the outermost. What is raised goes out through those around it, a cancellation too.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, Unpack

from aiq.errors import InvalidInput
from aiq.model import Enqueued, JobRecord
from aiq.newjob import JobOptions, NewJob

if TYPE_CHECKING:
    from aiq.context import Context
    from aiq.task import Task

C = TypeVar("C")
A = TypeVar("A")
M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class EnqueueCall:
    """Jobs on their way into a storage, together: those of one `enqueue`, `enqueue_many`, flow or `gather`.

    What a middleware adds to them is no part of their content, by which two jobs of one id are the same or are not.
    """

    jobs: tuple[NewJob[object], ...]
    flow: str | None = None
    """The id of the flow that they are; None for jobs that are none, and for children."""
    parent: JobRecord | None = None
    """The job whose children they are."""

    def using(self, **options: Unpack[JobOptions]) -> "EnqueueCall":
        """The same jobs, each with these options; they win over what it says itself.

        Raises:
            InvalidInput: an option that does not exist, an id, or a value out of its range.
        """
        return self.each(lambda _: options)

    def each(self, options: Callable[[NewJob[object]], JobOptions]) -> "EnqueueCall":
        """The same jobs, each with options of its own. What it says itself is in `job.chosen`.

        call.each(lambda job: {"band": "batch"} if job.task.name == "embed" else {})

        Raises: as `using`.
        """
        return replace(self, jobs=tuple(job.adding(options(job)) for job in self.jobs))


EnqueueNext: TypeAlias = Callable[[EnqueueCall], Awaitable[Sequence[Enqueued]]]
"""What comes after: the next middleware, in the end the storage. Answers what is stored, in the order of the jobs."""
EnqueueMiddleware: TypeAlias = Callable[[EnqueueCall, EnqueueNext], Awaitable[Sequence[Enqueued]]]
"""Given to a Queue. Stores nothing if it raises, or without calling `next`, for which it then has to raise."""


@dataclass(frozen=True, slots=True)
class RunCall:
    """A run of a job whose arguments were read and whose handler is about to be called."""

    job: JobRecord
    """The job, as it was claimed."""
    # Any: a worker runs tasks of all signatures.
    task: "Task[Any, object]"
    context: "Context"
    """The run's own, which the handler gets if it takes one."""


RunNext: TypeAlias = Callable[[RunCall], Awaitable[object]]
"""What comes after: the next middleware, or in the end the handler. Answers what the handler returned."""
RunMiddleware: TypeAlias = Callable[[RunCall, RunNext], Awaitable[object]]
"""Given to a Worker. What it returns is the job's result, and what it raises is the run's error."""


def chained(
    middleware: Sequence[Callable[[C, Callable[[C], Awaitable[A]]], Awaitable[A]]], last: Callable[[C], Awaitable[A]]
) -> Callable[[C], Awaitable[A]]:
    """One function of all of them, the first outermost, around `last`."""
    for one in reversed(middleware):
        last = _around(one, last)
    return last


async def through(
    middleware: Sequence[EnqueueMiddleware],
    call: EnqueueCall,
    store: Callable[[Sequence[NewJob[object]]], Awaitable[Sequence[Enqueued]]],
) -> Sequence[Enqueued]:
    """Store jobs by way of a queue's middleware.

    Raises:
        InvalidInput: a middleware has handed on other jobs, or has not returned what it was answered.
    """
    if not middleware:
        return await store(call.jobs)

    async def last(inner: EnqueueCall) -> Sequence[Enqueued]:
        if len(inner.jobs) != len(call.jobs) or not all(map(_same, inner.jobs, call.jobs)):
            raise InvalidInput(
                "A middleware has handed on other jobs than it was given. It may add options: next(call.using(…))."
            )
        return await store(inner.jobs)

    answers: object = await chained(middleware, last)(call)
    if not isinstance(answers, Sequence) or len(answers) != len(call.jobs):
        raise InvalidInput(
            f"A middleware around an enqueue has returned {answers!r:.200}. Let it end with `return await next(call)`, "
            "or raise to refuse the jobs."
        )
    return answers


def middleware_of(given: Iterable[M], usage: str) -> tuple[M, ...]:
    """The middleware of a queue or a worker; `usage` shows how it is passed.

    Raises:
        InvalidInput: it is no list, or holds something that cannot be called.
    """
    if callable(given) or not isinstance(given, Iterable):
        raise InvalidInput(f"Pass a list, even of a single middleware: {usage}.")
    found = tuple(given)
    for one in found:
        if not callable(one):
            raise InvalidInput(f"{one!r:.200} is no middleware; pass functions `async def f(call, next)`: {usage}.")
    return found


def _around(
    one: Callable[[C, Callable[[C], Awaitable[A]]], Awaitable[A]], last: Callable[[C], Awaitable[A]]
) -> Callable[[C], Awaitable[A]]:
    def call_it(call: C) -> Awaitable[A]:
        return one(call, last)

    return call_it


def _same(job: NewJob[object], other: NewJob[object]) -> bool:
    return job.task is other.task and job.arguments is other.arguments and job.chosen.id == other.chosen.id
