"""What people pass where a job or a task is meant, and the sentence that says what to write instead.

The likeliest mistake is to forget `.job`: `enqueue(summarize(text))` calls the task here and now. A coroutine that
such a call has made is closed, so that no warning of one "never awaited" hides the sentence. Values are told by
their type only: what jobs work on is nobody's business in a log.
"""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from aiq.errors import InvalidInput
from aiq.newjob import NewJob
from aiq.policy import Signal
from aiq.task import Task

R = TypeVar("R")


def check_job(job: object, usage: str) -> None:
    """Refuse what is no job. `usage` shows the right call, with {} in the place of the job."""
    _check_jobs([job], usage)


def jobs_of(jobs: Iterable[NewJob[R]], usage: str) -> list[NewJob[R]]:
    """The jobs of a list or any other iterable, which is read once. `usage` is as for `check_job`.

    Raises:
        InvalidInput: it is no iterable, or holds something else.
    """
    _check_many(jobs, usage)
    found = list(jobs)
    _check_jobs(found, usage)
    return found


def ids_of(ids: Iterable[object], usage: str) -> list[str]:
    """The ids of a list of ids and handles. `usage` is as for `check_job`.

    Raises:
        InvalidInput: it is a single text, which would be taken letter by letter, or holds what is no job.
    """
    if isinstance(ids, str):
        right = usage.format(repr(ids))
        raise InvalidInput(f"Pass a list of ids: {right}. A text alone would be taken letter by letter.")
    named = [getattr(one, "id", one) for one in ids]
    for one in named:
        if not isinstance(one, str):
            raise InvalidInput(f"{one!r:.100} is no job. Pass its id, or its handle.")
    return [str(one) for one in named]


# Any: a worker runs tasks of all signatures.
def tasks_of(tasks: Iterable[Task[Any, object]]) -> list[Task[Any, object]]:
    """The tasks that a worker is given.

    Raises:
        InvalidInput: it is no iterable, or holds something else.
    """
    _check_many_tasks(tasks)
    found = list(tasks)
    _check_tasks(found)
    return found


def check_function(step: str, fn: object) -> None:
    """Refuse what a step cannot call, a coroutine above all."""
    if not callable(fn):
        close(fn)
        raise InvalidInput(
            f'Step "{step}" takes a function and its arguments, and calls it unless its value is remembered. '
            f'Write ctx.step("{step}", {_name_of(fn, "function")}, …).'
        )


def check_signal(signal: object, usage: str) -> None:
    """Refuse what is no signal: its name alone, above all. `usage` is as for `check_job`."""
    if not isinstance(signal, Signal):
        made = f'APPROVAL = aiq.Signal("{signal if isinstance(signal, str) else "approval"}", bool)'
        raise InvalidInput(f"Pass a Signal, which has the type of its values: {made}, then {usage.format('APPROVAL')}.")


def check_word(option: str, word: object, *words: str) -> None:
    """Refuse a word that an option does not know: it would silently be taken for one of the others."""
    if word not in words:
        raise InvalidInput(f"{option} is {word!r}; it can be {' or '.join(map(repr, words))}.")


# Any: a class, or a union of them, is what isinstance takes.
def check_kind(kind: str, value: object, wanted: Any, example: str) -> None:
    """Refuse what is none of the wanted classes, with an example of what is."""
    if not isinstance(value, wanted):
        close(value)
        raise InvalidInput(f"A `{type(value).__qualname__}` is no {kind}. Pass one: {example}.")


def close(value: object) -> None:
    """Close a coroutine that was made by mistake; leave anything else alone."""
    if inspect.iscoroutine(value):
        value.close()


def _check_jobs(given: Sequence[object], usage: str) -> None:
    strangers = [one for one in given if not isinstance(one, NewJob)]
    for stranger in strangers:
        close(stranger)
    for stranger in strangers[:1]:
        raise InvalidInput(_no_job(stranger, usage.format(f"{_name_of(stranger)}.job(…)")))


def _no_job(stranger: object, right: str) -> str:
    if inspect.iscoroutine(stranger):
        return f"To call {stranger.__name__} runs it here and now, and makes no job. Write {right}."
    if isinstance(stranger, Task):
        return f'Task "{stranger.name}" is no job before it has arguments. Write {right}.'
    return f"A `{type(stranger).__qualname__}` is no job. Write {right}; to call a task runs it here and now."


def _check_many(jobs: object, usage: str) -> None:
    if isinstance(jobs, NewJob):
        raise InvalidInput(f"Pass a list, even of a single job: {usage.format('job')}.")
    if not isinstance(jobs, Iterable):
        check_job(jobs, usage)


def _check_many_tasks(tasks: object) -> None:
    if isinstance(tasks, Task):
        raise InvalidInput(f"Pass a list, even of a single task: Worker(queue, tasks=[{_name_of(tasks)}]).")
    if not isinstance(tasks, Iterable):
        _check_tasks([tasks])


def _check_tasks(given: Sequence[object]) -> None:
    strangers = [one for one in given if not isinstance(one, Task)]
    for stranger in strangers:
        close(stranger)
    for stranger in strangers[:1]:
        raise InvalidInput(
            f"A `{type(stranger).__qualname__}` is not a task. Decorate the function with @aiq.task, and pass it "
            f"without calling it: Worker(queue, tasks=[{_name_of(stranger)}])."
        )


def _name_of(stranger: object, unknown: str = "task") -> str:
    """What the caller is likely to call the function that he meant."""
    if isinstance(stranger, NewJob):
        return _name_of(stranger.task)
    if isinstance(stranger, Task):
        return _name_of(stranger.function)
    named = inspect.iscoroutine(stranger) or inspect.isroutine(stranger)
    return str(getattr(stranger, "__name__", unknown)) if named else unknown
