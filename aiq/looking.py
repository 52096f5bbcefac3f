"""Readers of one stream look at it together: what one of them waits for and reads is there for all.

A thousand readers of a job would else ask the storage a thousand times for each of its items. Nobody waits for company,
and nobody for a slow reader: those who have come to the same item share one look, and a reader who is behind makes his
own until he has caught up. They share it by one Queue in one loop. Those who begin while others do share one more look
at what is there already, and so do those who ask at the end how the job has ended.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias
from weakref import WeakValueDictionary, ref

from aiq.bounds import MAX_BATCH
from aiq.coded import beneath, decoded
from aiq.errors import twin
from aiq.model import JobRecord, Read, StreamPage
from aiq.questions import questions
from aiq.storage import Storage, job_topic, stream_topic

POLL_MS: Final = 1_000
"""A lost wake-up costs a waiting handle at most this long."""

_JOBS_OF_A_MARK: Final = MAX_BATCH // 2
"""Of so many jobs one mark is taken: each is two topics."""


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
    """Read the items behind a number that are there already. Those who begin while others do share one more look.

    Raises:
        NotFound: no such job.
    """
    # The mark comes first, so that no change falls between the look and a wait.
    mark = await _mark(storage, job_id)
    return Look(await read_on(storage, job_id, after), mark)


async def read_on(storage: Storage, job_id: str, after: int) -> StreamPage:
    """Read the items behind a number. Those who ask for the same while that is under way share one more read, which
    begins later: nothing that they know of is missed. What is asked of other jobs meanwhile goes with it.

    Raises:
        NotFound, Gone: there is no such page.
    """

    async def read(_: Sequence[None]) -> list[StreamPage]:
        return [await _page(storage, job_id, after)]

    return await questions(storage, ("page", job_id, after), read).answer(None)


async def read_end(storage: Storage, job_id: str) -> JobRecord | None:
    """Read how a job has ended; those who ask meanwhile share one more read."""

    async def read(_: Sequence[None]) -> list[JobRecord | None]:
        return await storage.get([job_id])

    return await questions(storage, ("end", job_id), read).answer(None)


async def next_look(storage: Storage, job_id: str, after: int, mark: str) -> Look:
    """Wait until the job may have changed since a look that found nothing behind `after`, and read on from there.

    Where others wait for the same, this is theirs, too. Whoever comes to it late misses nothing: it ends with the first
    item behind `after`, and its mark is older than what was read with it. A look that fails is an error of whoever made
    it; the others share one more, and where that fails, too, each hears of its error.

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
                raise twin(turn.error)
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
    # Where nobody waits for anything else, nobody is woken with us.
    return Look(await _page(storage, job_id, after, at_once=len(_turns) == 1), mark)


async def _page(storage: Storage, job_id: str, after: int, *, at_once: bool = False) -> StreamPage:
    """What is asked of several jobs meanwhile is one read, and each decodes his own page."""
    plain = beneath(storage)
    page = await questions(plain, "page", plain.read).answer(Read(job_id, after), at_once=at_once)
    return await decoded(storage, job_id, page)


async def _confirmed(storage: Storage, job_id: str, after: int, found: Look) -> Look:
    """What another has found. An item that is new to us was read after we came; an end without one may be that of a
    generation before a redrive that we know of already."""
    if found.page.state.terminal and not found.page.chunks:
        return Look(await read_on(storage, job_id, after), found.mark)
    return found


async def _mark(storage: Storage, job_id: str) -> str:
    """A mark, the same for all who ask for one meanwhile, whatever their jobs."""

    async def mark(job_ids: Sequence[str]) -> list[str]:
        marks: list[str] = []
        for start in range(0, len(job_ids), _JOBS_OF_A_MARK):
            some = job_ids[start : start + _JOBS_OF_A_MARK]
            topics = {topic for one in some for topic in _topics(one)}
            marks += [await storage.wait(topics, after=None, timeout_ms=0)] * len(some)
        return marks

    return await questions(storage, "mark", mark).answer(job_id)


def _topics(job_id: str) -> set[str]:
    return {stream_topic(job_id), job_topic(job_id)}
