"""What must stand in a storage before the jobs that name it: their limits, and prices of their models.

What code names is stored where it is absent, and never over what stands: a deploy undoes no operator's change.
"""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol, TypeVar

from aiq.bounds import MAX_BATCH
from aiq.model import JobSpec
from aiq.policy import Limit, Route
from aiq.prices import default_prices, load
from aiq.storage import Storage

T = TypeVar("T")


class Named(Protocol):
    """What names limits: a task, or a job that is not stored yet."""

    @property
    def limits(self) -> tuple[Limit | str, ...]:
        """Those that are taken on every route."""
        ...

    @property
    def routes(self) -> tuple[Route, ...]:
        """The routes, each with limits of its own."""
        ...


class Needs:
    """What is known to stand in one storage, so that each thing is asked for once.

    The table of default prices takes a quarter of a second to import. That is done in a thread, but not in a worker
    that is at work: its leases are renewed meanwhile, and a loop that is simulated has no threads.
    """

    def __init__(self, *, threads: bool = True) -> None:
        self._threads = threads
        self._limits: set[str] = set()
        self._models: set[str] = set()

    async def meet(self, storage: Storage, limits: Iterable[Limit], models: Iterable[str]) -> None:
        """Store the limits, and the default prices of the models, that are not known to stand; nothing if all are.

        It can be repeated, and any number of producers may do it at once.

        Raises:
            Conflict("by"): a limit is stored with another `by`.
        """
        new = {limit.name: limit for limit in limits if limit.name not in self._limits}
        for batch in parts(new.values()):
            await storage.put_limits([limit.spec() for limit in batch], absent_only=True)
            self._limits.update(limit.name for limit in batch)
        for model in {model for model in models if model and model not in self._models}:
            rows = await asyncio.to_thread(default_prices, model) if self._threads else default_prices(model)
            if rows:
                await storage.put_prices(rows, absent_only=True)
            self._models.add(model)

    async def look_ahead(self) -> None:
        """Have the table of default prices at hand before the first call. In the middle of work it would hold up all
        calls of a process that were admitted and not sent yet, while their provider fills a bucket that is full."""
        await asyncio.to_thread(load)


def limits_in(*named: Named) -> Iterator[Limit]:
    """The limits that tasks or jobs bring with them; those that they only name are stored already."""
    for one in named:
        for limits in (one.limits, *(route.limits for route in one.routes)):
            yield from (limit for limit in limits if isinstance(limit, Limit))


def models_in(specs: Iterable[JobSpec]) -> Iterator[str]:
    """The models that jobs may call."""
    for spec in specs:
        yield from (route.model for route in spec.routes)
        if spec.estimate is not None:
            yield spec.estimate.model


def parts(items: Iterable[T]) -> Iterator[list[T]]:
    """What one call takes, again and again."""
    rest = iter(items)
    while part := list(islice(rest, MAX_BATCH)):
        yield part
