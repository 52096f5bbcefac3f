"""What bounds a queue, and the shares of its tenants."""

import math
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Final

from aiq.admin.room import Room
from aiq.bounds import MAX_AMOUNT, MAX_CONCURRENCY, MAX_PERIOD_MS
from aiq.errors import InvalidInput
from aiq.job import until_known
from aiq.model import QueueSettings
from aiq.policy import per_mille, whole
from aiq.reports import QueueReport
from aiq.rules.validation import check_name, check_opaque

_SLOWEST: Final = Fraction(1000, MAX_PERIOD_MS)
_MOST_SECONDS: Final = 10
"""A rate above one job a second is counted in periods of at most so many seconds: 2.5 is 5 in 2."""


class QueueAdmin(Room):
    """The part of `Admin` that is about queues and tenants."""

    async def configure(
        self,
        queue: str,
        *,
        max_ready: int | None = None,
        concurrency: int | None = None,
        rate: float | Decimal | None = None,
        lifo: bool = False,
    ) -> QueueReport:
        """Set what bounds a queue, all of it: what is left out is not bounded any more.

        `max_ready` bounds the jobs that have not started: an enqueue of more waits or is refused. `concurrency` bounds
        those that run, `rate` how many start in a second (0.1 is one in ten seconds), over all workers. `lifo` gives
        the newest first, of the jobs that become ready from then on; such a queue refuses jobs with an ordered key.
        """
        check_name("queue", queue)
        jobs, period_ms = (None, 1000) if rate is None else _starts(rate)
        settings = QueueSettings(
            max_ready=None if max_ready is None else whole("max_ready", max_ready, 1, MAX_AMOUNT),
            concurrency=None if concurrency is None else whole("concurrency", concurrency, 1, MAX_CONCURRENCY),
            rate=jobs,
            rate_per_ms=period_ms,
            lifo=lifo,
        )
        return QueueReport.of(await until_known(partial(self._storage.configure, queue, settings)))

    async def queue(self, queue: str) -> QueueReport:
        """What bounds a queue, and how it stands."""
        check_name("queue", queue)
        return QueueReport.of(await self._storage.get_queue(queue))

    async def put_tenant(self, tenant: str, *, weight: float) -> None:
        """Give a tenant `weight` times the usual share, from its next job on: 3 for three times, at most 1,000."""
        check_opaque("tenant", tenant)
        milli = per_mille("weight of a tenant", weight, low=1)
        await until_known(partial(self._storage.weigh, tenant, milli))


def _starts(rate: float | Decimal) -> tuple[int, int]:
    """A rate in jobs a second as whole jobs in whole ms. Few at a time, since so many may start at once."""
    if not _is_finite(rate):
        raise InvalidInput(f"rate is {rate!r:.100}; pass how many jobs start in a second, 50 or 0.1.")
    if not _SLOWEST <= rate <= MAX_CONCURRENCY:
        raise InvalidInput(
            f"rate is {rate!r:.100}; it must be from one job in 31 days to {MAX_CONCURRENCY:,} jobs a second."
        )
    exact = Fraction(rate)
    if exact < 1:
        return 1, round(1000 / exact)
    near = exact.limit_denominator(_MOST_SECONDS)
    return near.numerator, near.denominator * 1000


def _is_finite(value: object) -> bool:
    if isinstance(value, Decimal):
        return value.is_finite()
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)
