"""Upkeep of the reference: each operation one transition under the lock."""

from aiq.backends.memory.audit import audit
from aiq.backends.memory.configure import configure, get_queue
from aiq.backends.memory.door import Door
from aiq.backends.memory.facts import facts
from aiq.backends.memory.pause import pause, resume
from aiq.backends.memory.upkeep import upkeep
from aiq.backends.memory.weigh import weigh
from aiq.bounds import MAX_PAGE, MAX_SWEEP
from aiq.model import Fact, QueueSettings, QueueStatus, Upkept, Violation


class UpkeepFace(Door):
    """See `aiq.storage.Upkeep`."""

    async def upkeep(self, limit: int = MAX_SWEEP) -> Upkept:
        """See `aiq.storage.Upkeep`."""
        return await self._run(upkeep, limit)

    async def pause(self, queue: str) -> None:
        """See `aiq.storage.Upkeep`."""
        await self._run(pause, queue)

    async def resume(self, queue: str) -> None:
        """See `aiq.storage.Upkeep`."""
        await self._run(resume, queue)

    async def configure(self, queue: str, settings: QueueSettings) -> QueueStatus:
        """See `aiq.storage.Upkeep`."""
        return await self._run(configure, queue, settings)

    async def get_queue(self, queue: str) -> QueueStatus:
        """See `aiq.storage.Upkeep`."""
        return await self._look(get_queue, queue)

    async def weigh(self, tenant: str, weight: int) -> None:
        """See `aiq.storage.Upkeep`."""
        await self._run(weigh, tenant, weight)

    async def audit(self, limit: int = MAX_PAGE) -> list[Violation]:
        """See `aiq.storage.Upkeep`."""
        return await self._look(audit, limit)

    async def facts(self) -> list[Fact]:
        """See `aiq.storage.Upkeep`."""
        return await self._look(facts)
