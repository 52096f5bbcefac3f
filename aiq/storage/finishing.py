"""What a cancelled caller waits for: a step that has begun is wholly there, or not at all, before he hears of it."""

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def finished(future: asyncio.Future[T]) -> None:
    """Wait until it is done, however often we are cancelled meanwhile: the caller will raise the first of these."""
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue
    if not future.cancelled():
        future.exception()
