"""What a handler returned or raised, as an outcome; the same in the worker and in a process of its own."""

import asyncio
from random import Random
from typing import Any

from aiq.errors import PayloadInvalid, ResultInvalid, TooLarge
from aiq.model import Cause, Died, Retried, Succeeded
from aiq.rules.retry import after_failure, job_error
from aiq.rules.validation import check_result
from aiq.task import Task


# Any: a worker runs tasks of all signatures.
def succeeded(task: Task[Any, object], value: object) -> Succeeded | Died:
    """A handler returned. A result that cannot be stored kills the job: the next run would pay for the same one.

    Spec: RETRY-3, RETRY-11
    """
    try:
        result = task.encode_result(value)
        check_result(result)
    except (ResultInvalid, TooLarge) as error:
        return Died(job_error(error, Cause.RESULT))
    return Succeeded(result)


def unreadable(error: PayloadInvalid) -> Died:
    """The payload does not fit the task as it is here, and will not fit it later. Its bytes stay as they are."""
    return Died(job_error(error, Cause.PAYLOAD))


def failed(
    task: Task[Any, object], attempt: int, error: BaseException, rng: Random, cause: Cause | None = None
) -> Retried | Died:
    """A handler raised, or was ended because of `cause`."""
    return after_failure(task.retry, attempt, _ordinary(error), rng, cause)


def timed_out(task: Task[Any, object], attempt: int, timeout_ms: int, rng: Random) -> Retried | Died:
    """A handler took longer than it may."""
    error = TimeoutError(f"The run took longer than its {timeout_ms / 1000:g} s.")
    return failed(task, attempt, error, rng, Cause.TIMEOUT)


def _ordinary(error: BaseException) -> BaseException:
    """What ends a program or a task ends only the run here, as any other error would."""
    if isinstance(error, asyncio.CancelledError):
        reason = RuntimeError("Something inside the handler was cancelled, and nobody had asked the job to stop.")
    elif isinstance(error, SystemExit):
        reason = RuntimeError(f"The handler called sys.exit({error.code!r}).")
    else:
        return error
    reason.__cause__ = error
    return reason
