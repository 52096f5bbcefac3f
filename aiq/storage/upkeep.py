"""What any worker does now and then, and what operators say of queues and tenants."""

from collections.abc import Sequence
from typing import Protocol

from aiq.bounds import MAX_PAGE, MAX_SWEEP
from aiq.model import Fact, QueueSettings, QueueStatus, Upkept, Violation


class Upkeep(Protocol):
    """What any worker does now and then, so that no leader is needed."""

    async def upkeep(self, limit: int = MAX_SWEEP) -> Upkept:
        """Do a bounded amount of what is due, at most `limit` of each kind, oldest first.

        Promotes due jobs (T2), revokes expired leases (T9), ends timed-out waits (T13), ends running jobs
        that did not heed a cancel within CANCEL_GRACE_MS (T16), ends jobs whose deadline has passed or asks them to
        stop (T23, T15), applies the outbox of wide fan-ins, gives jobs whose patience with a route is over their next
        one (T19), makes held jobs ready whose budget has begun a new window (T22).

        Forgets, after RESERVATION_KEPT_MS: calls that are closed, parts of limits that are at rest, windows of budgets
        that are over with the ids of their grants, lines and pools in which nothing stands. Budgets ("job:ID" and
        "flow:ID" go with their jobs) and what was learned of tasks stay.

        Removes what retention no longer keeps: jobs that have ended with all that belongs to them (T18), results,
        steps, signals and streams of jobs that stay, events, minutes, use by minute.

        Says how many schedules are due, which callers fire: a storage knows no calendar.

        Safe to run anywhere at the same time. A row that cannot be handled does not stop the others.

        Spec: TIME-4, TIME-8, LIVE-2, FAN-8, CANCEL-5, SIG-8, DEADLINE-3
        """
        ...

    async def pause(self, queue: str) -> None:
        """Give out no job of `queue` from now on. Running ones go on. Spec: CLAIM-7, STORE-4"""
        ...

    async def resume(self, queue: str) -> None:
        """Undo `pause`, at once. Spec: STORE-4"""
        ...

    async def configure(self, queue: str, settings: QueueSettings) -> QueueStatus:
        """Set what bounds a queue, in the place of what was set before. Jobs that stand or run are left alone.

        Raises:
            InvalidInput: a number is out of range.
        Spec: QUEUE-1, QUEUE-2
        """
        ...

    async def get_queue(self, queue: str) -> QueueStatus:
        """Read what bounds a queue, and how it stands."""
        ...

    async def weigh(self, tenant: str, weight: int) -> None:
        """Give a tenant a share of `weight` per mille of the usual one, from its next job on. Spec: FAIR-5"""
        ...

    async def audit(self, limit: int = MAX_PAGE) -> list[Violation]:
        """Look for anything that a clause forbids; an empty list is a clean bill. Reads only.

        Spec: STATE-3
        """
        ...

    async def facts(self) -> Sequence[Fact]:
        """Look at what this storage stands on (versions, settings, disk, clock), and say what is wrong with it.

        Reads only, and answers within a second or so whatever is stored. Spec: FACT-1
        """
        ...
