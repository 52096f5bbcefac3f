"""Whether a worker that has nothing to do will have something by itself."""

from collections.abc import Iterable
from typing import Final

from aiq.bounds import MAX_PAGE
from aiq.errors import NotFound
from aiq.model import Gate, JobFilter, State, Why
from aiq.storage import Storage

_BEHIND: Final = frozenset({Gate.PAUSE, Gate.KEY, Gate.TURN, Gate.BAND})
"""Behind somebody's word, a job of the same key that waits itself, or other jobs, which are looked at as well."""


async def any_to_come(storage: Storage, queues: Iterable[str]) -> bool:
    """Whether a job stands ready that this worker will be given by itself, as behind a limit.

    One in a paused queue, or behind a paused key or a job of its key that is parked, will not. Of a queue MAX_PAGE
    ready jobs are looked at; where there are more, it may be one of them.
    """
    for queue in queues:
        counts = await storage.count(queue)
        ready, running = (counts.get(queue, {}).get(state, 0) for state in (State.READY, State.RUNNING))
        if ready and running:
            # By another worker. It may be what the others stand behind.
            return True
        if ready and not (await storage.get_queue(queue)).paused and (ready > MAX_PAGE or await _any(storage, queue)):
            return True
    return False


async def _any(storage: Storage, queue: str) -> bool:
    wanted, cursor = JobFilter(queue=queue, states=frozenset({State.READY})), None
    while True:
        page = await storage.list(wanted, cursor=cursor)
        for job in page:
            if job.key is None or await _opens(storage, job.id):
                return True
        if page.cursor is None:
            return False
        cursor = page.cursor


async def _opens(storage: Storage, job_id: str) -> bool:
    try:
        why: Why = await storage.explain(job_id)
    except NotFound:
        return False
    return why.gate not in _BEHIND or why.opens_in_ms is not None
