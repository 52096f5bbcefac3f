"""What must stand in a storage before the jobs that name it: their limits, and prices of their models.

What code names is stored where it is absent, and never over what stands: a deploy undoes no operator's change.
"""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol, TypeVar

from aiq.bounds import MAX_BATCH
from aiq.model import JobSpec, LimitSpec, PriceRow
from aiq.policy import Limit, Route
from aiq.prices import default_prices
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
    """What is known to stand in one storage, so that each thing is asked for once."""

    def __init__(self) -> None:
        self._limits: set[str] = set()
        self._models: set[str] = set()

    async def meet(self, storage: Storage, named: Iterable[Named], models: Iterable[str]) -> None:
        """Store the limits, and the default prices of the models, that are not known to stand; nothing if all are.

        It can be repeated, and any number of producers may do it at once.

        Raises:
            Conflict("by"): a limit is stored with another `by`.
        """
        limits = {spec.name: spec for one in named for spec in limits_in(one) if spec.name not in self._limits}
        for batch in parts(limits.values()):
            await storage.put_limits(batch, absent_only=True)
            self._limits.update(spec.name for spec in batch)
        for model in {model for model in models if model and model not in self._models}:
            await _put_prices(storage, model)
            self._models.add(model)


async def _put_prices(storage: Storage, model: str) -> None:
    # In a thread, because the table of prices takes long to import.
    rows: list[PriceRow] = await asyncio.to_thread(default_prices, model)
    if rows:
        await storage.put_prices(rows, absent_only=True)


def limits_in(one: Named) -> Iterator[LimitSpec]:
    """The limits that a task or job brings with it; those that it only names are stored already."""
    for limits in (one.limits, *(route.limits for route in one.routes)):
        yield from (limit.spec() for limit in limits if isinstance(limit, Limit))


def models_of(spec: JobSpec) -> Iterator[str]:
    """The models that a job may call."""
    yield from (route.model for route in spec.routes)
    if spec.estimate is not None:
        yield spec.estimate.model


def parts(items: Iterable[T]) -> Iterator[list[T]]:
    """What one call takes, again and again."""
    rest = iter(items)
    while part := list(islice(rest, MAX_BATCH)):
        yield part
