"""Upkeep in Redis: each operation one call of the script of its name, and an audit of many."""

from aiq.backends.redis import wire
from aiq.backends.redis.auditing import audited
from aiq.backends.redis.door import Door
from aiq.backends.redis.facts import server_facts
from aiq.backends.redis.server import ask
from aiq.bounds import MAX_PAGE, MAX_SWEEP
from aiq.model import Fact, QueueSettings, QueueStatus, Upkept, Violation
from aiq.rules.facts import clock_fact, moving_fact
from aiq.rules.limits import of_queue
from aiq.rules.validation import check_limit, check_name, check_settings, check_weight


class UpkeepFace(Door):
    """See `aiq.storage.Upkeep`."""

    async def upkeep(self, limit: int = MAX_SWEEP) -> Upkept:
        """See `aiq.storage.Upkeep`."""
        check_limit(limit, MAX_SWEEP)
        return wire.heard(Upkept, (await self._step("upkeep", {"limit": limit})).value)

    async def pause(self, queue: str) -> None:
        """See `aiq.storage.Upkeep`."""
        check_name("queue", queue)
        await self._step("pause", {"queue": queue})

    async def resume(self, queue: str) -> None:
        """See `aiq.storage.Upkeep`."""
        check_name("queue", queue)
        await self._step("resume", {"queue": queue})

    async def configure(self, queue: str, settings: QueueSettings) -> QueueStatus:
        """See `aiq.storage.Upkeep`."""
        check_settings(queue, settings)
        args = {"queue": queue, "settings": wire.said(settings), "limit": wire.said(of_queue(queue, settings))}
        return wire.heard(QueueStatus, (await self._step("configure", args)).value)

    async def get_queue(self, queue: str) -> QueueStatus:
        """See `aiq.storage.Upkeep`."""
        check_name("queue", queue)
        return wire.heard(QueueStatus, (await self._step("get_queue", {"queue": queue})).value)

    async def weigh(self, tenant: str, weight: int) -> None:
        """See `aiq.storage.Upkeep`."""
        check_weight(tenant, weight)
        await self._step("weigh", {"tenant": tenant, "weight": weight})

    async def audit(self, limit: int = MAX_PAGE) -> list[Violation]:
        """See `aiq.storage.Upkeep`."""
        check_limit(limit)
        return await audited(self._step, limit)

    async def facts(self) -> list[Fact]:
        """See `aiq.storage.Upkeep`."""
        told = (await self._step("facts")).value
        now_ms = told["now_ms"]
        clock = clock_fact(told.get("newest_ms", now_ms), now_ms)
        moving = moving_fact(
            told.get("moved_to"), told.get("loading"), f"remove all keys that begin with {self._prefix}"
        )
        return [*server_facts(await ask(self._client), self._client.address), clock, moving]
