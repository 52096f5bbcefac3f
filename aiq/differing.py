"""What code names otherwise than a storage has it: limits, budgets, prices and schedules, which operators change."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, TypeVar

from aiq.misuse import check_kind
from aiq.needs import limits_in, parts
from aiq.policy import Budget, Limit, Price
from aiq.reports import Difference
from aiq.schedule import Schedule, ScheduleReport, told_apart
from aiq.storage import Storage
from aiq.task import Task

T = TypeVar("T")
# Any: tasks of all signatures.
InCode: TypeAlias = Limit | Budget | Price | Schedule[object] | Task[Any, object]
"""What code may name that is stored, and a task for its limits."""


async def differences(storage: Storage, code: Iterable[InCode], queue: str = "default") -> list[Difference]:
    """The limits, budgets, prices and schedules, and the limits of tasks, that are stored otherwise than code names
    them. `queue` is that of schedules whose job says nothing of its queue."""
    check_kind("list of limits, budgets, prices, schedules or tasks", code, Iterable, "[GPT]")
    named = list(code)
    for one in named:
        check_kind("policy", one, Limit | Budget | Price | Schedule | Task, 'aiq.Limit("gpt", requests=600)')
    limits = {limit.name: limit for one in named for limit in _limits_of(one)}
    budgets = [one for one in named if isinstance(one, Budget)]
    prices = [one for one in named if isinstance(one, Price)]
    schedules = [one for one in named if isinstance(one, Schedule)]
    return [
        *await _of_limits(storage, list(limits.values())),
        *await _of_budgets(storage, budgets),
        *await _of_prices(storage, prices),
        *await _of_schedules(storage, schedules, queue),
    ]


def _limits_of(one: InCode) -> Iterable[Limit]:
    if isinstance(one, Task):
        return limits_in(one)
    if isinstance(one, Schedule):
        return limits_in(one.job)
    return (one,) if isinstance(one, Limit) else ()


async def _of_limits(storage: Storage, limits: Sequence[Limit]) -> list[Difference]:
    found: list[Difference] = []
    for batch in parts(limits):
        statuses = await storage.get_limits([limit.name for limit in batch])
        stored = {status.spec.name: status.spec for status in statuses}
        for limit in batch:
            stands = stored.get(limit.name)
            if stands != limit.spec():
                found.append(Difference(code=Limit.of(limit.spec()), stored=Limit.of(stands) if stands else None))
    return found


async def _of_budgets(storage: Storage, budgets: Sequence[Budget]) -> list[Difference]:
    found: list[Difference] = []
    for batch in parts(budgets):
        stored = {status.spec.id: status.spec for status in await storage.get_budgets([one.spec().id for one in batch])}
        for budget in batch:
            stands = stored.get(budget.spec().id)
            if stands != budget.spec():
                found.append(Difference(code=budget, stored=Budget.of(stands) if stands else None))
    return found


async def _of_prices(storage: Storage, prices: Sequence[Price]) -> list[Difference]:
    found: list[Difference] = []
    for price in prices:
        row = price.row()
        rows = await storage.get_prices(price.model)
        stands = next((one for one in rows if (one.category, one.from_ms) == (row.category, row.from_ms)), None)
        if stands != row:
            found.append(Difference(code=price, stored=Price.of(stands) if stands else None))
    return found


async def _of_schedules(storage: Storage, schedules: Sequence[Schedule[object]], queue: str) -> list[Difference]:
    found: list[Difference] = []
    for schedule in schedules:
        stands = next(iter(await storage.get_schedules([schedule.name])), None)
        parts = () if stands is None else told_apart(schedule.spec(queue), stands.spec)
        if stands is None or parts:
            stored = None if stands is None else ScheduleReport.of(stands)
            found.append(Difference(code=schedule, stored=stored, parts=parts))
    return found
