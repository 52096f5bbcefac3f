"""Processes of a run: started together, told when time begins, and asked at the end what they know."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import msgspec

GIVE_UP_S: Final = 30.0
"""A process that has not ended so long after it was told to is killed."""


@dataclass(frozen=True, slots=True)
class Process:
    """A Python process that speaks lines of text."""

    handle: asyncio.subprocess.Process

    async def line(self) -> str:
        """Read its next line.

        Raises:
            RuntimeError: it ended without one; what it wrote to standard error says why.
        """
        assert self.handle.stdout is not None
        line = await self.handle.stdout.readline()
        if not line:
            raise RuntimeError("A process of the benchmark ended too early; its error is above.")
        return line.decode()

    def write(self, text: str) -> None:
        """Give it a line."""
        assert self.handle.stdin is not None
        self.handle.stdin.write(f"{text}\n".encode())

    async def result(self) -> dict[str, list[str]]:
        """Tell it that the run is over, and read what it knows."""
        assert self.handle.stdin is not None
        self.handle.stdin.close()
        async with asyncio.timeout(GIVE_UP_S):
            return msgspec.json.decode(await self.line(), type=dict[str, list[str]])


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[Process]:
    """A process `python -m …`, which does not outlive the block."""
    handle = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Process(handle)
    finally:
        await _end(handle)


async def _end(handle: asyncio.subprocess.Process) -> None:
    assert handle.stdin is not None
    handle.stdin.close()
    if handle.returncode is None:
        handle.terminate()
    try:
        async with asyncio.timeout(GIVE_UP_S):
            await handle.wait()
    except TimeoutError:
        handle.kill()
        await handle.wait()


async def results(processes: Sequence[Process]) -> dict[str, list[str]]:
    """Ask all at once, and put what they know together."""
    found: dict[str, list[str]] = {}
    for one in await asyncio.gather(*(process.result() for process in processes)):
        for name, values in one.items():
            found.setdefault(name, []).extend(values)
    return found
