"""Readers of one stream look at it together: what one of them waits for and reads is there for all.

A thousand readers of a job would else ask the storage a thousand times for each of its items. Nobody waits for company,
and nobody for a slow reader: those who have come to the same item share one look, and a reader who is behind makes his
own until he has caught up. They share it by one Queue in one loop. What each still asks for himself is a mark and what
is there already when he begins, and at the end how the job has ended.
"""

import asyncio
from typing import Final, NamedTuple, TypeAlias
from weakref import WeakValueDictionary, ref

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

    __slots__ = ("__weakref__", "error", "found", "is_over", "next")

    def __init__(self) -> None:
        self.found: Look | None = None
        self.error: Exception | None = None
        """To what it came instead."""
        self.is_over = asyncio.Event()
        self.next: _Turn | None = None
        """That of who went on where it came to nothing. It may be over before all have heard that this one is."""


_Place: TypeAlias = tuple[ref[Storage], ref[asyncio.AbstractEventLoop], str, int]

_turns: Final[WeakValueDictionary[_Place, _Turn]] = WeakValueDictionary()
"""Those under way, at most one for each reader. They are held by their readers alone, so that those of a loop that is
closed before they have ended go with it."""


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
    item behind `after`, and its mark is older than what was read with it. A look that fails is an error of whoever made
    it; the others share one more, and where that fails, too, its error.

    Raises:
        NotFound: the job is gone.
        Moved: nothing will happen here any more.
    """
    loop = asyncio.get_running_loop()
    place, before, has_failed = (ref(storage), ref(loop), job_id, after), None, False
    turn = _turns.get(place)
    while turn is not None:
        await turn.is_over.wait()
        if turn.found is not None:
            return await _confirmed(storage, job_id, after, turn.found)
        if turn.error is not None:
            if has_failed:
                raise turn.error
            has_failed = True
        # One of the others goes on: whoever made it has left, or has heard of an error that may be over.
        before, turn = turn, turn.next or _turns.get(place)
    turn = _turns[place] = _Turn()
    if before is not None:
        before.next = turn
    try:
        turn.found = await _look(storage, job_id, after, mark)
        return turn.found
    except Exception as error:
        turn.error = error
        raise
    finally:
        _turns.pop(place, None)
        # In a loop that was closed meanwhile nobody waits any more.
        if not loop.is_closed():
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
