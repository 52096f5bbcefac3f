"""Rates and concurrencies, and the calls that they admit."""

from collections.abc import Sequence
from typing import Protocol

from aiq.bounds import MAX_PAGE
from aiq.errors import LeaseLost
from aiq.model import Acquired, CallRequest, LimitSpec, LimitStatus, Report, Reported, Throttle


class Limits(Protocol):
    """Rates and concurrencies, shared by all queues of a storage. Spec: chapter 10."""

    async def put_limits(self, limits: Sequence[LimitSpec], *, absent_only: bool = False) -> list[LimitSpec]:
        """Store limits by name, and answer with what stands now. What is left of each goes with the change, at most
        its new burst. With `absent_only` one that is stored stays as it is.

        Raises:
            Conflict("by"): a stored limit would change its `by`; make one of another name.
            InvalidInput: a number is out of range, or the limit bounds nothing.
        Spec: LIMIT-1, LIMIT-2, LIMIT-3
        """
        ...

    async def get_limits(
        self, names: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> list[LimitStatus]:
        """Read limits with what is left of them: those named (what is not stored is left out), or all in the order of
        their names, those after `after`. One with a `by` is told once, without amounts, or with as many of its parts
        as fit."""
        ...

    async def acquire(self, calls: Sequence[CallRequest]) -> list[Acquired]:
        """Reserve for calls of running jobs, each wholly or not at all; a call that must wait stands in line.

        The first call of a run on its job's limits adopts what the claim reserved. Spec: CALL-1 to CALL-8
        """
        ...

    async def report(self, reports: Sequence[Report]) -> list[Reported | LeaseLost]:
        """Say what calls have used, so far or in the end. Each unit is counted once, whatever is repeated.

        A run that lost its job may still report a call that it had reserved: that corrects the ledger, and never
        the job. Spec: USAGE-1 to USAGE-6, LEASE-1
        """
        ...

    async def throttled(self, throttles: Sequence[Throttle]) -> None:
        """Pause limits after a 429, for everybody, and slow them down. Unknown names are left out. Spec: LIMIT-10"""
        ...
