"""Limits of the reference: each operation one transition under the lock."""

from collections.abc import Sequence

from aiq.backends.memory.acquire import acquire
from aiq.backends.memory.door import Door
from aiq.backends.memory.get_limits import get_limits
from aiq.backends.memory.put_limits import put_limits
from aiq.backends.memory.report import report
from aiq.backends.memory.throttled import throttled
from aiq.bounds import MAX_PAGE
from aiq.errors import LeaseLost
from aiq.model import Acquired, CallRequest, LimitSpec, LimitStatus, Report, Reported, Throttle


class LimitsFace(Door):
    """See `aiq.storage.Limits`."""

    async def put_limits(self, limits: Sequence[LimitSpec], *, absent_only: bool = False) -> list[LimitSpec]:
        """See `aiq.storage.Limits`."""
        return await self._run(put_limits, limits, absent_only=absent_only)

    async def get_limits(
        self, names: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> list[LimitStatus]:
        """See `aiq.storage.Limits`."""
        return await self._look(get_limits, names, after, limit)

    async def acquire(self, calls: Sequence[CallRequest]) -> list[Acquired]:
        """See `aiq.storage.Limits`."""
        return await self._run(acquire, calls)

    async def report(self, reports: Sequence[Report]) -> list[Reported | LeaseLost]:
        """See `aiq.storage.Limits`."""
        return await self._run(report, reports)

    async def throttled(self, throttles: Sequence[Throttle]) -> None:
        """See `aiq.storage.Limits`."""
        await self._run(throttled, throttles)
