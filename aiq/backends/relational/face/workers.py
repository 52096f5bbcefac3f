"""Workers: checked here, and made one step of the store."""

from aiq.backends.relational.door import Door
from aiq.backends.relational.workers import put_beat, remove_worker, workers
from aiq.bounds import MAX_PAGE
from aiq.model import Beat, WorkerStatus
from aiq.rules.validation import check_limit, check_opaque
from aiq.rules.workers import check_beat


class WorkersFace(Door):
    """See `aiq.storage.Workers`."""

    async def beat(self, beat: Beat) -> None:
        """See `aiq.storage.Workers`."""
        check_beat(beat)
        await self._note(put_beat, beat)

    async def leave(self, worker: str) -> None:
        """See `aiq.storage.Workers`."""
        check_opaque("name of a worker", worker)
        await self._go_on(remove_worker, worker)

    async def workers(self, *, after: str = "", limit: int = MAX_PAGE) -> list[WorkerStatus]:
        """See `aiq.storage.Workers`."""
        check_limit(limit)
        return await self._read(workers, after, limit)
