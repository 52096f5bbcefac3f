"""Readers of one stream look at it together: what one of them waits for and reads is there for all.

A thousand readers of a job would else ask the storage a thousand times for each of its items. Nobody waits for company,
and nobody for a slow reader: those who have come to the same item share one look, and a reader who is behind makes his
own until he has caught up.
"""

import asyncio
from typing import Final, NamedTuple

from aiq.model import StreamPage
from aiq.storage import Storage, job_topic, stream_topic

POLL_MS: Final = 1_000
"""A lost wake-up costs a waiting handle at most this long."""


class Look(NamedTuple):
    """What was found, and a mark that was taken before."""

    page: StreamPage
    mark: str


class _Turn:
    """A look that somebody makes for all who have come to the same item."""

    __slots__ = ("found", "is_over", "is_vain")

    def __init__(self) -> None:
        self.found: Look | None = None
        self.is_vain = False
        """Whether it came to an error."""
        self.is_over = asyncio.Event()


_turns: Final[dict[tuple[int, int, str, int], _Turn]] = {}
"""Those under way, at most one for each reader. Whoever makes one holds its storage and its loop, by whose ids it is
known, so that nothing else has these meanwhile."""


async def first_look(storage: Storage, job_id: str, after: int) -> Look:
    """Read the items behind a number that are there already.

    Raises:
        NotFound: no such job.
    """
    # The mark comes first, so that no change falls between the look and a wait.
    mark = await storage.wait(_topics(job_id), after=None, timeout_ms=0)
    return Look(await storage.read(job_id, after=after), mark)


async def next_look(storage: Storage, job_id: str, after: int, mark: str) -> Look:
    """Wait until the job may have changed since a look that found nothing behind `after`, and read on from there.

    Where others wait for the same, this is theirs, too. Whoever comes to it late misses nothing: it ends with the first
    item behind `after`, and its mark is older than what was read with it.

    Raises:
        NotFound: the job is gone.
        Moved: nothing will happen here any more.
    """
    key = (id(storage), id(asyncio.get_running_loop()), job_id, after)
    while (turn := _turns.get(key)) is not None:
        await turn.is_over.wait()
        if turn.is_vain:
            # Each is to hear of it by an error of his own.
            return await _look(storage, job_id, after, mark)
        if turn.found is not None:
            return await _confirmed(storage, job_id, after, turn.found)
        # Whoever made it has left. One of the others goes on.
    turn = _turns[key] = _Turn()
    try:
        turn.found = await _look(storage, job_id, after, mark)
        return turn.found
    except Exception:
        turn.is_vain = True
        raise
    finally:
        del _turns[key]
        turn.is_over.set()


async def _look(storage: Storage, job_id: str, after: int, mark: str) -> Look:
    mark = await storage.wait(_topics(job_id), after=mark, timeout_ms=POLL_MS)
    return Look(await storage.read(job_id, after=after), mark)


async def _confirmed(storage: Storage, job_id: str, after: int, found: Look) -> Look:
    """What another has found. An item that is new to us was read after we came; an end without one may be that of a
    generation before a redrive that we know of already."""
    if found.page.state.terminal and not found.page.chunks:
        return Look(await storage.read(job_id, after=after), found.mark)
    return found


def _topics(job_id: str) -> set[str]:
    return {stream_topic(job_id), job_topic(job_id)}
