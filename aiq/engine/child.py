"""The other side of a `kind="process"` task: what runs in the process.

Bytes go in and bytes come out. The function is looked up by name in the module that defines it, its arguments are
read and its result written here, so that nothing has to be pickled, and large values cross the pipe once.
"""

import importlib
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection, wait
from random import Random, SystemRandom
from typing import Any, Final, assert_never

import msgspec

from aiq.engine.deferrals import Deferral, deferral_of
from aiq.engine.outcomes import failed, succeeded, unreadable
from aiq.errors import PayloadInvalid
from aiq.model import Cause, Died, Failure, JobError, Retried, Succeeded
from aiq.rules.retry import job_error
from aiq.task import Task

ORPHANED: Final = 1
"""The exit code of a process whose worker is no more; nobody is left to read it but the system."""


class Request(msgspec.Struct, frozen=True):
    """One job for a process. `outputs` are the results of the jobs it depends on."""

    module: str
    task: str
    payload: bytes
    outputs: dict[str, bytes | Failure]
    attempt: int


class Reply(msgspec.Struct, frozen=True):
    """What became of it: a result, or an error and when to try again, None for never, or a provider without room."""

    result: bytes | None = None
    error: JobError | None = None
    delay_ms: int | None = None
    deferral: Deferral | None = None


_REQUESTS: Final = msgspec.msgpack.Decoder(Request)
_REPLIES: Final = msgspec.msgpack.Decoder(Reply)


def serve(pipe: Connection) -> None:
    """Answer requests until the worker closes the pipe, or dies."""
    # Ctrl-C reaches every process of a terminal. The worker decides what happens to this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # So does SIGTERM where a service manager ends all of a group. Not ignored, as programs that a handler starts would
    # inherit that; a function they do not.
    signal.signal(signal.SIGTERM, lambda *_: None)
    threading.Thread(target=_end_with_worker, name="aiq-orphan", daemon=True).start()
    rng = SystemRandom()
    while True:
        try:
            data = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        pipe.send_bytes(_encode(_outcome(_REQUESTS.decode(data), rng)))


def _end_with_worker() -> None:
    """Wait until the worker's process is no more, and end this one at once: its job will run elsewhere.

    The pipe tells only a process that reads from it. One that computes would go on beside the second run.
    """
    worker = multiprocessing.parent_process()
    if worker is not None:
        wait([worker.sentinel])
        os._exit(ORPHANED)


def outcome_of(reply: bytes) -> Succeeded | Retried | Died | Deferral:
    """The outcome that a process has sent."""
    read = _REPLIES.decode(reply)
    if read.result is not None:
        return Succeeded(read.result)
    if read.deferral is not None:
        return read.deferral
    if read.error is None:
        raise ValueError("A process of a handler answered neither a result nor an error.")
    return Died(read.error) if read.delay_ms is None else Retried(read.error, read.delay_ms)


def _encode(outcome: Succeeded | Retried | Died | Deferral) -> bytes:
    match outcome:
        case Succeeded(result):
            reply = Reply(result=result)
        case Retried(error, delay_ms):
            reply = Reply(error=error, delay_ms=delay_ms)
        case Died(error):
            reply = Reply(error=error)
        case Deferral():
            reply = Reply(deferral=outcome)
        case _:
            assert_never(outcome)
    return msgspec.msgpack.encode(reply)


def _outcome(request: Request, rng: Random) -> Succeeded | Retried | Died | Deferral:
    try:
        task = _task(request)
        args, kwargs = task.decode(request.payload, request.outputs)
    except ImportError as error:
        return Died(job_error(error, Cause.UNROUTABLE))
    except PayloadInvalid as error:
        return unreadable(error)
    try:
        return succeeded(task, task.function(*args, **kwargs))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it becomes the outcome
        return deferral_of(task.retry, error) or failed(task, request.attempt, error, rng)


# Any: as in outcomes.
def _task(request: Request) -> Task[Any, object]:
    """The task of this name in the module that defines its function."""
    module = importlib.import_module(request.module)
    tasks = {value.name: value for value in vars(module).values() if isinstance(value, Task)}
    if request.task not in tasks:
        raise ImportError(
            f'Module {request.module} has no task "{request.task}" at its top level. A process finds a task only '
            "there: decorate the function where it is defined."
        )
    return tasks[request.task]
