"""Other processes of a benchmark: each runs a module of ours, says when it is up, and ends with its parent."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def process(module: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A module as a process that is up, and ends with the block."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    await child.stdout.readline()
    try:
        yield child
    finally:
        child.stdin.close()
        await child.wait()


async def until_left() -> None:
    """What such a process does when it is up: wait until its parent lets go of it."""
    print("up", flush=True)
    await asyncio.to_thread(sys.stdin.read)
