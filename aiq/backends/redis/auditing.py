"""Looking for anything that a clause forbids, slice by slice: no script looks at more than a few hundred jobs.

What is found of a job is found in one step, and so is true. Spec: STATE-3
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiq.backends.redis.door import Answer
from aiq.model import Violation

SLICE: Final = 256
"""Jobs, or rows of another kind, that one step looks at, or about so many."""


_PARTS: Final = ("jobs", "keys", "unique", "groups", "deaths", "following")
"""The tables that are looked at."""


async def audited(step: Callable[[str, Any], Awaitable[Answer]], limit: int) -> list[Violation]:
    """Name at most `limit` violations."""
    found: list[Violation] = []
    for part in _PARTS:
        cursor = "0"
        while len(found) < limit:
            told = (await step("audit", {"part": part, "cursor": cursor, "slice": SLICE})).value
            found += [Violation(*one) for one in told["violations"]]
            cursor = told["cursor"]
            if cursor == "0":
                break
    return found[:limit]
