"""The register of workers in Redis: each operation one call of the script of its name."""

from aiq.backends.redis import wire
from aiq.backends.redis.door import Door
from aiq.bounds import MAX_PAGE
from aiq.model import Beat, WorkerStatus
from aiq.rules.checks import check_limit, check_opaque
from aiq.rules.workers import check_beat, status_of


class WorkersFace(Door):
    """See `aiq.storage.Workers`."""

    async def beat(self, beat: Beat) -> None:
        """See `aiq.storage.Workers`."""
        check_beat(beat)
        await self._step("beat", {"beat": wire.said(beat)})

    async def leave(self, worker: str) -> None:
        """See `aiq.storage.Workers`."""
        check_opaque("name of a worker", worker)
        await self._step("leave", {"worker": worker})

    async def workers(self, *, after: str = "", limit: int = MAX_PAGE) -> list[WorkerStatus]:
        """See `aiq.storage.Workers`."""
        check_limit(limit)
        told = (await self._step("workers", {"after": after, "limit": limit})).value
        return [
            status_of(wire.heard(Beat, one["beat"]), one["started_at_ms"], one["beat_at_ms"], told["now_ms"])
            for one in told["workers"]
        ]
