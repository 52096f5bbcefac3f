"""Workers of the reference: each operation one transition under the lock."""

from aiq.backends.memory.door import Door
from aiq.backends.memory.workers import put_beat, remove_worker, workers
from aiq.bounds import MAX_PAGE
from aiq.model import Beat, WorkerStatus


class WorkersFace(Door):
    """See `aiq.storage.Workers`."""

    async def beat(self, beat: Beat) -> None:
        """See `aiq.storage.Workers`."""
        await self._run(put_beat, beat)

    async def leave(self, worker: str) -> None:
        """See `aiq.storage.Workers`."""
        await self._run(remove_worker, worker)

    async def workers(self, *, after: str = "", limit: int = MAX_PAGE) -> list[WorkerStatus]:
        """See `aiq.storage.Workers`."""
        return await self._look(workers, after, limit)
