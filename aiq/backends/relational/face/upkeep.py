"""Upkeep: checked here, and made one step of the store."""

from dataclasses import replace

from aiq.backends.relational.audit import audit
from aiq.backends.relational.configure import configure
from aiq.backends.relational.door import Door
from aiq.backends.relational.get_queue import get_queue
from aiq.backends.relational.pause import pause, resume
from aiq.backends.relational.upkeep import look, upkeep
from aiq.backends.relational.weigh import weigh
from aiq.bounds import MAX_PAGE, MAX_SWEEP
from aiq.model import Fact, QueueSettings, QueueStatus, Upkept, Violation
from aiq.rules.validation import check_limit, check_name, check_settings, check_weight


class UpkeepFace(Door):
    """See `aiq.storage.Upkeep`."""

    async def upkeep(self, limit: int = MAX_SWEEP) -> Upkept:
        """See `aiq.storage.Upkeep`."""
        check_limit(limit, MAX_SWEEP)
        found = await self._peek(look)
        if not (found.due or found.jobs or found.rest):
            return Upkept(next_due_ms=found.next_due_ms)
        done = await self._write(upkeep, limit, found)
        return replace(done, next_due_ms=(await self._peek(look)).next_due_ms)

    async def pause(self, queue: str) -> None:
        """See `aiq.storage.Upkeep`."""
        check_name("queue", queue)
        await self._write(pause, queue)

    async def resume(self, queue: str) -> None:
        """See `aiq.storage.Upkeep`."""
        check_name("queue", queue)
        await self._write(resume, queue)

    async def configure(self, queue: str, settings: QueueSettings) -> QueueStatus:
        """See `aiq.storage.Upkeep`."""
        check_settings(queue, settings)
        return await self._write(configure, queue, settings)

    async def get_queue(self, queue: str) -> QueueStatus:
        """See `aiq.storage.Upkeep`."""
        check_name("queue", queue)
        return await self._read(get_queue, queue)

    async def weigh(self, tenant: str, weight: int) -> None:
        """See `aiq.storage.Upkeep`."""
        check_weight(tenant, weight)
        await self._write(weigh, tenant, weight)

    async def audit(self, limit: int = MAX_PAGE) -> list[Violation]:
        """See `aiq.storage.Upkeep`."""
        check_limit(limit)
        return await self._read_all(audit, limit)

    async def facts(self) -> list[Fact]:
        """See `aiq.storage.Upkeep`."""
        return await self._read(self._facts)
