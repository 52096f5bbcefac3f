"""Other processes of a benchmark: each runs a module of ours, says when it is up, and ends with its parent."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager


@asynccontextmanager
async def process(module: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A module as a process that is up, and ends with the block."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        await line_of(child)
        yield child
    finally:
        child.stdin.close()
        await child.wait()


async def line_of(child: asyncio.subprocess.Process) -> bytes:
    """The next line that a process says."""
    assert child.stdout is not None
    line = await child.stdout.readline()
    if not line:
        raise SystemExit("A process of this benchmark has ended before its time; what it said stands above.")
    return line


def check_alive(children: Iterable[asyncio.subprocess.Process]) -> None:
    """Nothing is measured by a process that has ended."""
    if any(child.returncode is not None for child in children):
        raise SystemExit("A process of this benchmark has ended meanwhile. The figures of this run mean nothing.")


async def until_left() -> None:
    """What such a process does when it is up: wait until its parent lets go of it."""
    print("up", flush=True)
    await asyncio.to_thread(sys.stdin.read)
