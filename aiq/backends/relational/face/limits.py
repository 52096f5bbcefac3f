"""Limits: checked here, and made one step of the store."""

from collections.abc import Sequence

from aiq.backends.relational.acquire import acquire
from aiq.backends.relational.door import Door
from aiq.backends.relational.get_limits import get_limits
from aiq.backends.relational.put_limits import put_limits
from aiq.backends.relational.report import report
from aiq.backends.relational.throttled import throttled
from aiq.bounds import MAX_BATCH, MAX_PAGE
from aiq.errors import LeaseLost
from aiq.model import Acquired, CallRequest, LimitSpec, LimitStatus, Report, Reported, Throttle
from aiq.rules.limits import check_limit as check_limit_spec
from aiq.rules.validation import check_calls, check_count, check_limit, check_reports, check_throttles


class LimitsFace(Door):
    """See `aiq.storage.Limits`."""

    async def put_limits(self, limits: Sequence[LimitSpec], *, absent_only: bool = False) -> list[LimitSpec]:
        """See `aiq.storage.Limits`."""
        check_count("list of limits", len(limits), MAX_BATCH)
        for spec in limits:
            check_limit_spec(spec)
        return await self._write(put_limits, limits, absent_only=absent_only)

    async def get_limits(
        self, names: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> list[LimitStatus]:
        """See `aiq.storage.Limits`."""
        check_limit(limit)
        check_count("list of limits", len(names), MAX_PAGE)
        return await self._read(get_limits, names, after, limit)

    async def acquire(self, calls: Sequence[CallRequest]) -> list[Acquired]:
        """See `aiq.storage.Limits`."""
        check_calls(calls)
        return await self._go_on(acquire, calls)

    async def report(self, reports: Sequence[Report]) -> list[Reported | LeaseLost]:
        """See `aiq.storage.Limits`."""
        check_reports(reports)
        return await self._go_on(report, reports)

    async def throttled(self, throttles: Sequence[Throttle]) -> None:
        """See `aiq.storage.Limits`."""
        check_throttles(throttles)
        await self._go_on(throttled, throttles)
