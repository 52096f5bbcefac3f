"""Where handlers run that are no coroutines: threads of our own, and processes of their own.

Not asyncio's default executor: name look-ups share it, and handlers that fill it would cut the worker off from its
storage. Not concurrent.futures either: it waits for its threads when the program exits, so that one stuck handler
keeps the process alive; and one process that is killed breaks its whole pool, and every job in it.
"""

import asyncio
import atexit
import contextvars
import logging
import multiprocessing
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar
from weakref import WeakSet

from aiq.engine import child

_T = TypeVar("_T")
_log = logging.getLogger("aiq.worker")

EXIT_PATIENCE_S: Final = 1.0


class Threads:
    """At most `size` daemon threads, started when they are needed."""

    def __init__(self, size: int, name: str) -> None:
        self._size, self._name = size, name
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._started = 0

    def submit(self, work: Callable[[], _T]) -> "Call[_T]":
        """Run `work` in a thread, in a context of its own."""
        call = Call(work)
        self._work.put(call.run)
        if not self._idle.acquire(blocking=False) and self._started < self._size:
            self._started += 1
            threading.Thread(target=self._serve, name=f"{self._name}-{self._started}", daemon=True).start()
        return call

    def close(self) -> None:
        """Let idle threads end, and busy ones when they are done; nobody waits for them."""
        for _ in range(self._started):
            self._work.put(None)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()
            self._idle.release()


class Call(Generic[_T]):
    """A function on its way to a thread. It can be called back until it has begun, and not any more after that."""

    def __init__(self, work: Callable[[], _T]) -> None:
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._begins = threading.Lock()
        self.done: asyncio.Future[_T] = self._loop.create_future()
        """What it returned or raised. Wait for it with `asyncio.wait`: cancelling it would stop nothing."""

    def call_back(self) -> None:
        """Nobody wants the answer any more: if it has not begun, it never will, and `done` is cancelled."""
        if self._begins.acquire(blocking=False):
            self.done.cancel()

    def run(self) -> None:
        """Do the work, in the thread."""
        if not self._begins.acquire(blocking=False):
            return
        try:
            tell = partial(_set_result, self.done, contextvars.Context().run(self._work))
        except BaseException as error:  # noqa: BLE001 - the run that waits for it decides, as for any handler
            tell = partial(_set_error, self.done, error)
        try:
            self._loop.call_soon_threadsafe(tell)
        except RuntimeError:
            _log.debug("A handler's thread ended after its worker.")


def _set_result(future: "asyncio.Future[_T]", value: _T) -> None:
    if not future.done():
        future.set_result(value)


# Any: it never has a result.
def _set_error(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if not future.done():
        # A future refuses StopIteration, which would end the generator that waits for it.
        future.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)
        # Whoever was cancelled while he waited does not come back for it.
        future.exception()


class ProcessDied(RuntimeError):
    """The process of a handler ended before it answered: it was killed, ran out of memory, or called os._exit."""


class Processes:
    """At most `size` processes, one job in each at a time; one that dies takes only its own job with it."""

    def __init__(self, size: int) -> None:
        self._places = asyncio.Semaphore(size)
        self._threads = Threads(size, "aiq-process")
        self._idle: list[_Child] = []

    async def call(self, request: bytes) -> bytes:
        """Have a request answered by `engine.child`. Cancelling it kills the process.

        Raises:
            ProcessDied: there is no answer, and the next request gets a new process.
        """
        async with self._places:
            worker = self._free()
            call = self._threads.submit(partial(worker.call, request))
            try:
                await asyncio.wait({call.done})
            except asyncio.CancelledError:
                worker.kill()
                raise
            result = call.done.result()
            self._idle.append(worker)
            return result

    def _free(self) -> "_Child":
        """An idle process that lives still, or a new one."""
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive():
                return worker
            worker.let_go()
        return _Child()

    def close(self) -> None:
        """End idle processes; those that work were killed with their runs."""
        for worker in self._idle:
            worker.let_go()
        while self._idle:
            self._idle.pop().end()
        self._threads.close()


_living: Final[WeakSet[BaseProcess]] = WeakSet()


@atexit.register
def _kill_at_exit() -> None:
    """End those whom nobody has seen off. `multiprocessing` would wait for them, who do not heed its SIGTERM."""
    for process in list(_living):
        process.kill()


class _Child:
    """One process and our end of the pipe to it."""

    def __init__(self) -> None:
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._killed = False

    def call(self, request: bytes) -> bytes:
        """Ask, and wait for the answer. Blocks, so it is called in a thread."""
        try:
            return self._sent(request).recv_bytes()
        except (EOFError, OSError) as error:
            raise ProcessDied(f"The process of the handler {self._end()} before it answered.") from error

    def _sent(self, request: bytes) -> Connection:
        if self._pipe is not None:
            try:
                self._pipe.send_bytes(request)
            except OSError:
                # It has died while it was idle, and has not read it.
                self._pipe.close()
            else:
                return self._pipe
        pipe = self._start()
        pipe.send_bytes(request)
        return pipe

    def is_alive(self) -> bool:
        """Whether it is there, once it was started."""
        return self._process is not None and self._process.is_alive()

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self._killed = True
        if self._process is not None:
            self._process.kill()

    def let_go(self) -> None:
        """Close our end; when it is idle it sees that, and ends by itself."""
        if self._pipe is not None:
            self._pipe.close()

    def end(self) -> None:
        """See it off, at most EXIT_PATIENCE_S."""
        if self._process is not None:
            self._process.join(EXIT_PATIENCE_S)
            self._process.kill()

    def _start(self) -> Connection:
        # Spawned and not forked: a fork copies locks that threads of this process hold, and never releases them.
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=child.serve, args=(theirs,), name="aiq-handler", daemon=True)
        process.start()
        _living.add(process)
        theirs.close()
        self._process, self._pipe = process, ours
        if self._killed:
            process.kill()
        return ours

    def _end(self) -> str:
        if self._process is None:
            return "could not be reached"
        self._process.join(EXIT_PATIENCE_S)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            return "closed its pipe"
        return f"was ended by signal {-code}" if code < 0 else f"exited with code {code}"
