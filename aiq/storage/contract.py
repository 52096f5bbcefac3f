"""The whole contract, and operations of which only a part, or one of many, is wanted."""

from collections.abc import Sequence
from typing import Protocol, Self

from aiq.bounds import MAX_PAGE
from aiq.errors import LeaseLost, TooLarge
from aiq.model import (
    Append,
    Appended,
    Capability,
    ClaimRequest,
    JobRecord,
    Lease,
    NewChunk,
    Outcome,
    Read,
    Settled,
    Settlement,
    StreamPage,
)
from aiq.storage.budgets import Budgets
from aiq.storage.dead import DeadLetters
from aiq.storage.events import Events
from aiq.storage.jobs import Jobs
from aiq.storage.keys import Keys
from aiq.storage.limits import Limits
from aiq.storage.moving import Moving
from aiq.storage.schedules import Schedules
from aiq.storage.signals import Signals
from aiq.storage.steps import Steps
from aiq.storage.streams import AppendRefused, ReadRefused, Streams
from aiq.storage.upkeep import Upkeep
from aiq.storage.wakeups import Wakeups
from aiq.storage.workers import Workers


class Storage(
    Jobs,
    DeadLetters,
    Events,
    Upkeep,
    Keys,
    Steps,
    Signals,
    Streams,
    Limits,
    Budgets,
    Schedules,
    Wakeups,
    Workers,
    Moving,
    Protocol,
):
    """Everything a backend offers, and its own life. Opened by `aiq.backends.open_storage(url)`."""

    @property
    def url(self) -> str:
        """The address it was opened with, fit for a log: secrets are masked."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this storage has of the three things that are not mandatory."""
        ...

    async def sibling(self) -> Self:
        """Open the same storage again for another thread and event loop. Close it apart. Spec: STORE-7"""
        ...

    async def close(self) -> None:
        """Let go of connections and threads. Calling it twice is fine; other calls afterwards are not."""
        ...


async def all_records(
    storage: Jobs, job_ids: Sequence[str], answered: Sequence[JobRecord | None] = ()
) -> list[JobRecord | None]:
    """Read jobs to the last one, however many answers that takes. `answered` is what was said of the first of them."""
    records = list(answered)
    while len(records) < len(job_ids):
        records += await storage.get(job_ids[len(records) :])
    return records


async def claim(storage: Jobs, request: ClaimRequest) -> tuple[JobRecord, ...]:
    """An exchange that settles nothing."""
    return (await storage.exchange((), request)).claimed


async def append(storage: Streams, lease: Lease, chunks: Sequence[NewChunk]) -> Appended:
    """An append of one run, whose refusal is raised.

    Raises:
        LeaseLost, Conflict, TooLarge: nothing was added. See `Streams.append`.
    """
    (answer,) = await storage.append([Append(lease, chunks)])
    if isinstance(answer, AppendRefused):
        raise answer
    return answer


async def read(storage: Streams, job_id: str, *, after: int = 0, limit: int = MAX_PAGE) -> StreamPage:
    """A read of one job, whose refusal is raised.

    Raises:
        NotFound, Gone: there is no such page. See `Streams.read`.
    """
    (answer,) = await storage.read([Read(job_id, after)], limit=limit)
    if isinstance(answer, ReadRefused):
        raise answer
    return answer


async def settle(storage: Jobs, lease: Lease, outcome: Outcome, *, settlement_id: str) -> Settled:
    """An exchange of one settlement, whose refusal is raised.

    Raises:
        LeaseLost: the run does not own the job any more.
        TooLarge: the result is over MAX_RESULT_BYTES; the job still runs.
    """
    answer = (await storage.exchange((Settlement(lease, settlement_id, outcome),))).settled[0]
    if isinstance(answer, LeaseLost | TooLarge):
        raise answer
    return answer
