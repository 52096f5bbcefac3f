"""The worker: the process part that claims jobs and runs them."""

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Final, Self

from aiq.bounds import MAX_BATCH, MAX_NAME_CHARS
from aiq.engine.engine import Engine
from aiq.engine.settings import Settings
from aiq.engine.statistics import Statistics, Tally
from aiq.engine.unserved import Unserved
from aiq.errors import InvalidInput, TooLarge
from aiq.middleware import RunMiddleware, middleware_of
from aiq.misuse import tasks_of
from aiq.needs import limits_in
from aiq.policy import Duration, Limit, duration_ms
from aiq.queue import Queue
from aiq.rules.validation import check_count, check_name, check_opaque, check_range
from aiq.schedule import Schedule, schedules_of, store_schedules
from aiq.storage import Storage
from aiq.task import Task

__all__ = ["Statistics", "Worker"]

_log = logging.getLogger("aiq.worker")

DEFAULT_SLOTS: Final = 64
MAX_SLOTS: Final = 10_000
MAX_THREADS: Final = 64
"""The default number of threads for `def` tasks: as many as there are slots, at most this."""
MAX_NAME_BYTES: Final = 200
"""The name of a worker: with what is put behind it, it is to fit into the MAX_OPAQUE_BYTES of an id."""
CLOSING_S: Final = 15.0
"""How long a cancelled `run` still waits for its jobs to be given back."""


class Worker:
    """Claims jobs from a storage and runs them, as many at a time as it has slots.

        await aiq.Worker(queue, tasks=[research, search], slots={"research": 8, "default": 64}).run()

        async with aiq.Worker("sqlite:///jobs.db", tasks=[research]):   # inside another program
            ...

        await aiq.Worker(queue, tasks=[research]).run_until_idle()      # in a test

    `slots` says how many jobs of which queues run at once; a number is meant for each queue that a task names, and
    the worker serves those queues and no others. Children go to the queue that `using(queue=…)` names, else to their
    task's own, else to the line that the worker was made for: `queue.name`, or "default" for a URL. `def` tasks run
    in at most `threads` threads of their own, tasks of kind "process" in at most `processes` processes.

    Every run goes through its `middleware`, the first of which is the outermost; children go through that of the queue.

    An error that leaves `async with` stops it without grace.

    `schedules` are stored when it starts, where they are absent: what an operator changed or paused stays. Every worker
    fires all schedules of its storage, also those that it does not name.

    Limits that its tasks name, and default prices of the models of their routes, are stored when it starts, where they
    are absent.

    When it stops, it claims no more, lets handlers finish for `grace` (30 s), then cancels them and gives their
    jobs back without counting an attempt. A handler that does not end within `cancel_grace` (10 s) after it was
    cancelled is reported as stuck: its job is settled without it, its slot stays taken, and the next attempt is for
    other workers as long as that lasts. A job whose task is not known here is given back for others; after
    `unknown_grace` (300 s) it is dead. Durations are seconds, or timedeltas.

    Of a run that fails the text and traceback of the error are kept, and of a job that dies its arguments as a text, a
    few of each kind of failure. What looks like a secret is taken out first; `redact` gets what is left of each of
    these texts, and answers with what may be shown. It is called on the worker's loop, so it should be quick.

    Raises:
        InvalidInput: no tasks, two of one name, two limits of one name, a number out of range, or a `name` that no
            storage could keep, or over MAX_NAME_BYTES.
    """

    # Any: a worker runs tasks of all signatures.
    def __init__(
        self,
        queue: Queue | str | Storage,
        tasks: Iterable[Task[Any, object]],
        *,
        schedules: Iterable[Schedule[object]] = (),
        slots: int | Mapping[str, int] = DEFAULT_SLOTS,
        grace: Duration = 30,
        cancel_grace: Duration = 10,
        unknown_grace: Duration = 300,
        threads: int | None = None,
        processes: int | None = None,
        middleware: Iterable[RunMiddleware] = (),
        name: str | None = None,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        self._queue = queue if isinstance(queue, Queue) else Queue(queue)
        known = _by_name(tasks)
        sizes = _sizes(slots, known, self._queue.name)
        self._settings = Settings(
            tasks=known,
            slots=sizes,
            default_queue=self._queue.name,
            name=_name(name),
            grace_ms=duration_ms("grace", grace),
            cancel_grace_ms=duration_ms("cancel_grace", cancel_grace),
            unknown_grace_ms=duration_ms("unknown_grace", unknown_grace),
            enqueue_middleware=self._queue.middleware,
            run_middleware=middleware_of(middleware, "Worker(queue, tasks=[…], middleware=[measure])"),
            threads=_count("threads", threads, min(sum(sizes.values()), MAX_THREADS)),
            processes=_count("processes", processes, os.cpu_count() or 1),
            redact=redact,
        )
        self._schedules = schedules_of(schedules)
        self._tally = Tally()
        self._unserved = Unserved(sizes)
        self._engine: Engine | None = None
        self._serving: asyncio.Task[None] | None = None
        self._unwanted = False

    @property
    def tasks(self) -> tuple[Task[Any, object], ...]:
        """The tasks it runs."""
        return tuple(self._settings.tasks.values())

    @property
    def schedules(self) -> tuple[Schedule[object], ...]:
        """The schedules that it stores where they are absent."""
        return tuple(self._schedules)

    @property
    def default_queue(self) -> str:
        """The queue of jobs that say nothing of theirs, nor does their task."""
        return self._queue.name

    @property
    def statistics(self) -> Statistics:
        """What it has done so far, over all its runs."""
        return self._engine.statistics if self._engine is not None else self._tally.snapshot()

    async def run(self, *, handle_signals: bool = True) -> None:
        """Work until `stop`, SIGTERM or SIGINT; a second signal cuts the grace short. Can be run again.

        Signals are only handled in the main thread, where Python delivers them. Cancelling this stops without
        grace, and is raised again when the jobs have been given back.

        Raises:
            Misconfigured, Unavailable: the storage could not be opened.
            StorageError: later, when the storage is beyond repair. An outage is waited for instead.
        """
        with self._signals(wanted=handle_signals):
            await self._begin(until_idle=False)
            await self._until_over()

    async def run_until_idle(self) -> Statistics:
        """Work until nothing is running, ready or due in the queues served. For tests and scripts.

        Jobs that stand ready behind a limit are waited for. Those that wait for a signal, for a time that has not come,
        or behind a job of their key that does, stay as they are, and so do those behind a pause.
        """
        await self._begin(until_idle=True)
        await self._until_over()
        return self.statistics

    async def __aenter__(self) -> Self:
        await self._begin(until_idle=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The program is in trouble, or cancelled: it must hear of that now, and not after the grace.
        if error is not None and self._engine is not None:
            self._engine.hurry()
        # And of that alone: what ended the worker is in the log.
        with suppress(*([] if error is None else [Exception])):
            await self.stop()

    async def stop(self) -> None:
        """Claim no more, wait for running jobs within the grace, give the rest back, and return when all is done.

        Raises:
            StorageError: what ended the worker before, if it did not end well.
        """
        if self._engine is not None:
            self._engine.stop()
        else:
            # It may be starting; there is nothing to finish yet.
            self._unwanted = True
        await self._until_over()

    async def _begin(self, *, until_idle: bool) -> None:
        if self._serving is not None and not self._serving.done():
            raise InvalidInput("This worker is running already. Stop it first, or make another one.")
        started, self._unwanted = asyncio.Event(), False
        self._serving = asyncio.create_task(self._serve(started, until_idle=until_idle))
        waiting = asyncio.create_task(started.wait())
        try:
            await asyncio.wait({waiting, self._serving}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._end_now()
            raise
        finally:
            waiting.cancel()
        if self._serving.done():
            self._serving.result()

    async def _serve(self, started: asyncio.Event, *, until_idle: bool) -> None:
        async with self._queue as queue:
            self._engine = engine = Engine(queue.storage, self._settings, self._tally, self._unserved)
            if self._unwanted:
                engine.hurry()
            try:
                await queue.prepare(self._settings.tasks.values())
                await store_schedules(queue.storage, self._schedules, queue_default=queue.name, absent_only=True)
                await engine.start()
                self._tell_what_it_serves()
                started.set()
                await engine.run(until_idle=until_idle)
            except Exception as error:
                if started.is_set():
                    # Whoever started it may not look before the program ends.
                    _log.error("The worker has ended: %s: %s", type(error).__name__, error)
                raise
            finally:
                self._engine = None

    def _tell_what_it_serves(self) -> None:
        slots = ", ".join(f"{queue} ({size})" for queue, size in self._settings.slots.items())
        _log.info("Serving queues (slots): %s. Tasks: %s.", slots, ", ".join(self._settings.tasks))

    async def _until_over(self) -> None:
        if self._serving is None:
            return
        try:
            await asyncio.wait({self._serving})
        except asyncio.CancelledError:
            await self._end_now()
            raise
        if not self._serving.cancelled():
            self._serving.result()

    async def _end_now(self) -> None:
        """The caller is cancelled: what is claimed is given back first."""
        self._unwanted = True
        if self._engine is not None:
            self._engine.hurry()
        if self._serving is not None:
            await asyncio.wait({self._serving}, timeout=CLOSING_S)
            self._serving.cancel()

    @contextmanager
    def _signals(self, *, wanted: bool) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handled: list[int] = []
        if wanted and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                # Where the loop cannot do it (Windows), Ctrl-C cancels `run` as it cancels any program.
                with suppress(NotImplementedError):
                    loop.add_signal_handler(number, self._signalled, number)
                    handled.append(number)
        try:
            yield
        finally:
            for one in handled:
                loop.remove_signal_handler(one)

    def _signalled(self, number: int) -> None:
        if self._engine is None:
            # It is starting; there is nothing to finish yet.
            self._unwanted = True
        elif self._engine.stopping:
            _log.warning("%s again: giving back at once what still runs.", signal.Signals(number).name)
            self._engine.hurry()
        else:
            _log.info("%s: finishing what runs, and claiming no more.", signal.Signals(number).name)
            self._engine.stop()


# Any: as above.
def _by_name(tasks: Iterable[Task[Any, object]]) -> dict[str, Task[Any, object]]:
    known: dict[str, Task[Any, object]] = {}
    for task in tasks_of(tasks):
        if known.setdefault(task.name, task) is not task:
            raise InvalidInput(f'Two tasks are named "{task.name}". Give one of them another: @aiq.task(name="…").')
    if not known:
        raise InvalidInput("A worker needs at least one task: Worker(queue, tasks=[...]).")
    _check_limits(known.values())
    return known


# Any: as above.
def _check_limits(tasks: Iterable[Task[Any, object]]) -> None:
    """Refuse two limits of one name: only the one that is stored first would hold."""
    found: dict[str, Limit] = {}
    for limit in limits_in(*tasks):
        if found.setdefault(limit.name, limit) != limit:
            raise InvalidInput(
                f'Two limits are named "{limit.name}", with other figures. Make one, and use it in both.'
            )


# Any: as above.
def _sizes(slots: int | Mapping[str, int], tasks: Mapping[str, Task[Any, object]], default: str) -> dict[str, int]:
    sizes = dict(slots) if isinstance(slots, Mapping) else {task.queue or default: slots for task in tasks.values()}
    check_count("list of queues", len(sizes), MAX_BATCH)
    for queue, size in sizes.items():
        check_name("queue", queue)
        check_range(f"number of slots of {queue}", size, 1, MAX_SLOTS)
    if not sizes:
        raise InvalidInput('A worker needs slots for at least one queue: slots={"default": 64}.')
    return sizes


def _name(given: str | None) -> str:
    """Under which name it is seen; behind that stand its process, and as a claimer a number of its own."""
    name = given or socket.gethostname()[:MAX_NAME_CHARS]
    check_opaque("name of the worker", name)
    if (size := len(name.encode())) > MAX_NAME_BYTES:
        raise TooLarge("name of the worker", size, MAX_NAME_BYTES, "Use a shorter text.", unit=" bytes")
    return f"{name}:{os.getpid()}"


def _count(kind: str, wanted: int | None, default: int) -> int:
    count = default if wanted is None else wanted
    check_range(f"number of {kind}", count, 1, MAX_SLOTS)
    return count
