"""The processes that the program starts: a worker that is replaced whenever it dies, and the simulator."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

ROOT: Final = Path(__file__).resolve().parent.parent.parent
"""Where `examples` is a package; a child is told by PYTHONPATH."""
START_S: Final = 60.0
STOP_S: Final = 15.0
DONE: Final = "has done its work"
"""How a process ended that nothing has disturbed."""
MAX_WORKERS: Final = 50
"""Somebody may be playing with `kill -9`; beyond this it is a fault."""


class ProcessFailed(Exception):
    """A process that we need ended, or was never ready; the text has its last words.

    `killed` says that a signal ended it: there is nothing wrong with the program, and another one may start.
    """

    def __init__(self, message: str, *, killed: bool = False) -> None:
        super().__init__(message)
        self.killed = killed


class Child:
    """A process that ends with us: it watches its standard input, whose other end we hold. See `tether`.

    `ready` is what it said of itself when it was ready; `hear` gets what it writes to stderr, a line at a time.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, ready: Mapping[str, object], hear: Callable[[str], None]
    ) -> None:
        self._process, self.ready = process, ready
        self._hearing = asyncio.create_task(_relay(process, hear))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    def kill(self) -> None:
        """SIGKILL: it can neither hear nor refuse it."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> str:
        """Wait until it has ended, and say how."""
        status = await self._process.wait()
        if status == 0:
            return DONE
        return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    async def stop(self) -> None:
        """Let it end in its own way, and insist if it does not."""
        await _end(self._process)
        await self._hearing


async def start(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], hear: Callable[[str], None]
) -> Child:
    """Start `python -m module`, and wait until it says, by a line of JSON, that it is ready.

    Raises:
        ProcessFailed: see there.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={**environment, "PYTHONPATH": path},
        # Ctrl-C is for us alone; we end our children, in order.
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        async with asyncio.timeout(START_S):
            ready = json.loads(await process.stdout.readline())
    except asyncio.CancelledError:
        process.stdin.close()
        raise
    except (TimeoutError, ValueError) as error:
        await _end(process)
        # If it was silent for too long, the signal was ours.
        killed = isinstance(error, ValueError) and (process.returncode or 0) < 0
        raise ProcessFailed(f"{module} did not start: {await _last_words(process)}", killed=killed) from error
    return Child(process, ready, hear)


class Crew:
    """One worker at a time, for as long as it is entered: whatever ends it, another one takes over.

    `bury` is awaited after a worker has died and before the next one starts, when nobody writes to the storage.
    """

    def __init__(
        self, hire: Callable[[], Awaitable[Child]], bury: Callable[[], Awaitable[None]], tell: Callable[[str], None]
    ) -> None:
        self._hire, self._bury, self._tell = hire, bury, tell
        self._worker: Child | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the worker; None while there is none."""
        return self._worker.pid if self._worker is not None else None

    async def keep_working(self) -> NoReturn:
        """Start a worker, and another one whenever it dies. Ends by cancellation only, and then leaves none behind.

        Raises:
            ProcessFailed: a worker cannot even begin, or too many have died.
        """
        try:
            for number in range(1, MAX_WORKERS + 1):
                how = await self._one(number)
                self._tell(f"Worker {number} {how}")
                await self._bury()
        finally:
            if self._worker is not None:
                await self._worker.stop()
        raise ProcessFailed(f"{MAX_WORKERS} workers have died. Something other than a demonstration is wrong.")

    async def _one(self, number: int) -> str:
        """Let one worker work until it has ended, and say how it did."""
        try:
            self._worker = await self._hire()
        except ProcessFailed as error:
            if error.killed:
                return "was killed before it was ready."
            raise
        self._tell(f"Worker {number} is at work (pid {self._worker.pid}).")
        how = await self._worker.ended()
        self._worker = None
        return f"{how}. What it was doing can be claimed again when its leases end."

    def kill(self) -> int | None:
        """Kill the worker, and say which process that was; None if there is no worker."""
        if self._worker is not None:
            self._worker.kill()
        return self.pid


async def _end(process: asyncio.subprocess.Process) -> None:
    """Let a process end by what it was promised; insist if it does not. Cut short, it still ends by itself."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _last_words(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    lines = (await process.stderr.read()).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


async def _relay(process: asyncio.subprocess.Process, hear: Callable[[str], None]) -> None:
    """Hand on what a child writes to stderr, a line at a time, until it has ended."""
    assert process.stderr is not None
    while line := await process.stderr.readline():
        hear(line.decode(errors="replace").rstrip())
