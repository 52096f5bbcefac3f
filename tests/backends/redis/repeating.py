"""What whoever gets `Unavailable` does."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiq.errors import Unavailable

_Answer = TypeVar("_Answer")


async def repeated(call: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """Call again, with the same ids, until there is an answer."""
    while True:
        try:
            return await call()
        except Unavailable:
            continue
