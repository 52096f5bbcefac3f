"""Runs one job: from its payload to the outcome that is settled."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, TypeVar, assert_never

import msgspec

from aiq.batching import BatchTask
from aiq.coded import is_coded
from aiq.context import Context
from aiq.engine import dropped
from aiq.engine.batches import Batches, Left
from aiq.engine.child import Request, outcome_of
from aiq.engine.deferrals import Deferral, deferral_of, deferred
from aiq.engine.opening import opened
from aiq.engine.outcomes import failed, succeeded, timed_out, unreadable
from aiq.engine.pools import Processes, Threads
from aiq.engine.run import Run, Stop
from aiq.engine.samples import shown
from aiq.engine.tasks import PATIENCE_S
from aiq.engine.unroutable import Unroutable
from aiq.errors import LeaseLost, PayloadInvalid, ProcessFailed, ResultGone, TooLarge
from aiq.middleware import RunCall, RunMiddleware, chained
from aiq.model import Cancelled, Cause, Deferred, Died, Failure, JobError, Outcome, Released, Retried, State, Succeeded
from aiq.policy import Retry
from aiq.rules.arguments import upstream
from aiq.rules.coding import check_readable
from aiq.rules.retention import result_of
from aiq.rules.retry import draw_delay_ms, job_error, leaves
from aiq.rules.staging import OPENER
from aiq.task import Task

_T = TypeVar("_T")
_log = logging.getLogger("aiq.worker")


class Runner:
    """Runs jobs of the tasks it knows. `finish` takes the last word of a run, `vacate` frees its slot."""

    # Any: a worker runs tasks of all signatures.
    def __init__(
        self,
        tasks: Mapping[str, Task[Any, object]],
        threads: Threads,
        processes: Processes,
        batches: Batches,
        middleware: Sequence[RunMiddleware],
        unroutable: Unroutable,
        *,
        finish: Callable[[Run, Outcome | None], None],
        vacate: Callable[[Run], None],
        rng: Random,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        self._tasks, self._unroutable, self._redact = tasks, unroutable, redact
        self._threads, self._processes = threads, processes
        self._finish, self._vacate, self._rng = finish, vacate, rng
        self._batches, self._middleware = batches, middleware

    async def run(self, run: Run) -> None:
        """Run a job to its end, whatever happens in it. Nothing is raised but what ends the program."""
        # Here and not by the starter: an eager task runs before its starter has hold of it.
        run.task, run.started = asyncio.current_task(), True
        try:
            outcome = await self._outcome(run)
            if run.over:
                # It was stuck, and is settled. What the handler has come to now counts for nothing.
                _log.warning("A handler that was stuck has ended. What it came to is dropped.", extra=run.extra)
                return
            self._conclude(run, await self._final(run, outcome))
        finally:
            if not run.over:
                # Else the lease would be renewed as long as the worker lives, and nobody would work on the job.
                _log.error(
                    "The run has come to no outcome; its job comes back when its lease is over.", extra=run.extra
                )
                self._finish(run, None)
            run.close()
            if run.work is None or run.work.done():
                self._vacate(run)
            else:
                run.work.add_done_callback(lambda _: self._vacate(run))

    def settle_stuck(self, run: Run) -> None:
        """Settle a run by why it was told to stop, though its handler goes on; that can write nothing any more.

        The lease is still ours, so the failure is on record with its true cause. Left to run out, it would be a stall.
        """
        if run.why is None or run.over or run.parked or run.lost_because is not None:
            return
        outcome = shown(self._stopped(run, run.why), run.record, self._redact)
        run.close(outcome)
        self._finish(run, outcome)

    def _conclude(self, run: Run, outcome: Outcome | None) -> None:
        if run.over:
            return  # found stuck while what it emitted was being stored
        run.close(None if run.parked or run.lost_because else outcome)
        # A handler may swallow what unwinds it, and return; there is nothing left to settle all the same.
        if run.parked and outcome is not None:
            dropped.tell(run, outcome)
        self._finish(run, None if run.parked or run.lost_because else outcome)

    async def _outcome(self, run: Run) -> Outcome | None:
        if run.why is not None:
            return self._stopped(run, run.why)
        try:
            return await self._perform(run)
        except (GeneratorExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises is its job's outcome
            try:
                return self._raised(run, error)
            except Exception as second:  # noqa: BLE001 - of somebody's class that cannot be read
                return self._untold(run, error, second)

    async def _final(self, run: Run, outcome: Outcome | None) -> Outcome | None:
        """The outcome as it is settled, once nothing of the run is left to be stored before it."""
        try:
            outcome = await self._sealed(run, await self._flushed(run, outcome))
            return shown(outcome, run.record, self._redact)
        except Exception as error:  # noqa: BLE001 - a failure must be recordable, whatever is the matter with it
            return self._untold(run, error, error)

    def _untold(self, run: Run, error: BaseException, why: Exception) -> Retried:
        """A failure of which no more can be told than its name."""
        _log.error("What a run has failed with cannot be told: %s", type(why).__name__, extra=run.extra)
        task = self._tasks.get(run.record.task)
        policy = Retry() if task is None else task.retry
        said = JobError(type=type(error).__qualname__, message=f"(It cannot be told: {type(why).__name__}.)")
        return Retried(said, draw_delay_ms(policy, run.record.attempt, self._rng))

    async def _perform(self, run: Run) -> Outcome | None:
        record = run.record
        if record.task == OPENER:
            return await opened(run.desk.storage, record)
        task = self._tasks.get(record.task)
        if task is None:
            _log.warning("No task of this name is known to this worker.", extra=run.extra)
            return self._unroutable.outcome(record, self._tasks)
        if not run.held.live(run.desk.clock()):
            # The claim was answered so late that others may have the job any moment.
            return Released()
        if record.remembers:
            await run.load_steps()
        # A batch has a time-out of its own, which begins with its handler.
        timer = None if isinstance(task, BatchTask) else self._timer(run)
        try:
            outputs = await self._outputs(run) if record.depends_on else {}
            return await self._call(task, run, outputs)
        finally:
            if timer is not None:
                timer.cancel()

    async def _call(self, task: Task[Any, object], run: Run, outputs: Mapping[str, bytes | Failure]) -> Outcome:
        try:
            check_readable(run.record.payload, *outputs.values())
        except PayloadInvalid as error:
            return unreadable(error)
        if task.kind == "process" and not self._middleware:
            return await self._in_process(task, run, outputs)
        try:
            args, kwargs = task.decode(run.record.payload, outputs)
        except PayloadInvalid as error:
            return unreadable(error)
        if not self._middleware:
            context = Context(run) if task.takes_context else None
            return succeeded(task, await self._handled(task, run, context, args, kwargs))
        context = Context(run)

        async def last(_: RunCall) -> object:
            if task.kind == "process":
                return _result(task, await self._in_process(task, run, outputs))
            return await self._handled(task, run, context, args, kwargs)

        return succeeded(task, await chained(self._middleware, last)(RunCall(run.record, task, context)))

    async def _handled(
        self,
        task: Task[Any, object],
        run: Run,
        context: Context | None,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
    ) -> object:
        """What the handler returns, wherever it runs but in a process."""
        if isinstance(task, BatchTask):
            return await self._batches.enter(task, run, args[0])
        if task.kind == "thread":
            return await self._in_thread(run, partial(task.function, *args, **kwargs))
        if task.takes_context:
            args = (context, *args)
        # Any: `function` is one of all signatures; that it is a coroutine function was checked when it became a task.
        handler: Any = task.function
        return await handler(*args, **kwargs)

    async def _in_thread(self, run: Run, call: Callable[[], object]) -> object:
        submitted = self._threads.submit(call)
        run.work = submitted.done
        try:
            await asyncio.wait({submitted.done})
        except asyncio.CancelledError:
            submitted.call_back()
            raise
        return submitted.done.result()

    async def _in_process(self, task: Task[Any, object], run: Run, outputs: Mapping[str, bytes | Failure]) -> Outcome:
        record = run.record
        request = Request(task.function.__module__, task.name, record.payload, dict(outputs), record.attempt)
        outcome = outcome_of(await self._processes.call(msgspec.msgpack.encode(request)))
        return self._deferred(run, outcome) if isinstance(outcome, Deferral) else outcome

    async def _outputs(self, run: Run) -> dict[str, bytes | Failure]:
        """The results of the jobs whose outputs are among the arguments."""
        try:
            ids = upstream(run.record.payload)
        except PayloadInvalid:
            return {}  # reading the arguments meets it again, and says so
        outputs: dict[str, bytes | Failure] = {}
        for job_id, record in zip(ids, await run.jobs(ids), strict=True):
            if record is None:
                raise ResultGone(job_id)
            if record.state is State.SUCCEEDED:
                outputs[job_id] = result_of(record)
            else:
                outputs[job_id] = Failure.of(record)
        return outputs

    def _timer(self, run: Run) -> asyncio.TimerHandle | None:
        # Not asyncio.timeout: a time-out ends a run by the same way as a cancel, a lost lease and a shutdown, and a
        # handler that does not heed it is found in the same way.
        timeout_ms = run.record.timeout_ms
        if timeout_ms is None:
            return None
        return asyncio.get_running_loop().call_later(timeout_ms / 1000, run.stop, Stop.TIMEOUT)

    def _raised(self, run: Run, error: BaseException) -> Outcome | None:
        if isinstance(error, Left | _FailedInProcess):
            return error.outcome
        if run.parked:
            dropped.tell_raised(run, error)
            return None
        own = (leaf for leaf in leaves(error) if isinstance(leaf, LeaseLost) and leaf.job_id == run.lease.job_id)
        lost = next(own, None)
        if lost is not None or run.lost_because is not None:
            _log.warning("The run is given up: %s", lost or run.lost_because, extra=run.extra)
            return None
        if run.why is not None:
            return self._stopped(run, run.why)
        task = self._tasks[run.record.task]
        deferral = deferral_of(task.retry, error)
        if deferral is not None:
            return self._deferred(run, deferral)
        # The text of an exception may hold what the job works on; it is stored with the job, not logged.
        _log.info("The run failed: %s", type(error).__name__, extra=run.extra)
        return failed(task, run.record.attempt, error, self._rng)

    def _deferred(self, run: Run, deferral: Deferral) -> Outcome:
        outcome = deferred(run.record, deferral, self._rng)
        what = "its quota is used up" if outcome.close_route else f"it comes back in {outcome.delay_ms / 1000:.1f} s"
        _log.info("The run is deferred, %s: %s", what, deferral.error.type, extra=run.extra)
        return outcome

    def _stopped(self, run: Run, why: Stop) -> Outcome | None:
        match why:
            case Stop.CANCEL:
                return Cancelled()
            case Stop.SHUTDOWN:
                return Released()
            case Stop.TIMEOUT:
                task, record = self._tasks[run.record.task], run.record
                return timed_out(task, record.attempt, record.timeout_ms or 0, self._rng)
            case Stop.LOST:
                return None
            case _:
                assert_never(why)

    async def _flushed(self, run: Run, outcome: Outcome | None) -> Outcome | None:
        """The outcome, once all that the run emitted is stored; a success that cannot show its stream is none."""
        if outcome is None:
            return None
        try:
            try:
                await _in_time(run, run.flush)
            except asyncio.CancelledError:
                # It was meant for a handler that has ended; it does not come twice.
                await _in_time(run, run.flush)
        except _ToldToStop:
            return self._stopped(run, run.why) if run.why and isinstance(outcome, Succeeded) else outcome
        except TooLarge as error:
            return Died(job_error(error, Cause.RESULT)) if isinstance(outcome, Succeeded) else outcome
        except Exception as error:  # noqa: BLE001 - the stream could not be stored, for whatever reason
            if isinstance(outcome, Succeeded):
                return failed(self._tasks[run.record.task], run.record.attempt, error, self._rng)
        return outcome

    async def _sealed(self, run: Run, outcome: Outcome | None) -> Outcome | None:
        """The outcome with its result as it will be stored. By itself: one that cannot be kept is to harm no other."""
        if not isinstance(outcome, Succeeded) or not is_coded(run.desk.storage):
            return outcome
        seal = partial(run.sealed_result, outcome.result)
        try:
            try:
                return Succeeded(await _in_time(run, seal))
            except asyncio.CancelledError:
                if run.why is None:
                    raise
                # What was paid for counts, if it can be kept soon.
                return Succeeded(await _in_time(run, seal))
        except _ToldToStop:
            return self._stopped(run, run.why) if run.why else None
        except TooLarge as error:
            return Died(job_error(error, Cause.RESULT))
        except Exception as error:  # noqa: BLE001 - a codec refuses it, for whatever reason
            return failed(self._tasks[run.record.task], run.record.attempt, error, self._rng)


class _ToldToStop(Exception):
    """A run that was told to stop waits for nobody for longer than PATIENCE_S. Spec: OUTAGE-3"""


async def _in_time(run: Run, call: Callable[[], Awaitable[_T]]) -> _T:
    """Make a call of a run whose handler is over; of one that was told to stop, within PATIENCE_S."""
    deadline = asyncio.timeout(None if run.why is None else PATIENCE_S)
    try:
        async with deadline:
            return await call()
    except TimeoutError as error:
        if deadline.expired():
            raise _ToldToStop from error
        raise


class _FailedInProcess(ProcessFailed):
    """A process has answered no result, but an outcome that stands as it is if nobody catches this."""

    def __init__(self, outcome: Outcome, text: str) -> None:
        super().__init__(text)
        self.outcome = outcome


# Any: a worker runs tasks of all signatures.
def _result(task: Task[Any, object], outcome: Outcome) -> object:
    """What a handler has returned in its process."""
    if isinstance(outcome, Succeeded):
        return task.decode_result(outcome.result)
    error = outcome.error if isinstance(outcome, Retried | Died | Deferred) else None
    raise _FailedInProcess(outcome, f"{error.type}: {error.message}" if error else type(outcome).__name__)
