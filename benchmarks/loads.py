"""What the jobs of a benchmark carry: nothing, or limits and a budget that are too large to refuse anything."""

from typing import Final, Literal, TypeAlias, get_args

import aiq
from aiq.newjob import JobOptions

BudgetOf: TypeAlias = Literal["own", "shared"]
"""Whether each job brings a budget of its own, or all draw from one."""
BUDGETS: Final = get_args(BudgetOf)

_MODEL: Final = "bench"
_PRICES: Final = (aiq.Price(_MODEL, "input", "2.50"), aiq.Price(_MODEL, "output", "10"))
_AMPLE: Final = 1_000_000_000
"""Requests, and tokens, a minute."""
_AMPLE_USD: Final = 1_000_000
_SHARED: Final = "shared"
_NEED: Final = aiq.Estimate(input=1_000, max_output=1_000, model=_MODEL)
_USED: Final = aiq.Usage(input=900, output=500)


async def noop(number: int) -> int:
    """The least a job can do and still have a payload and a result."""
    return number


async def calling(ctx: aiq.Context, number: int) -> int:
    """The least a job can do that asks a model."""
    async with ctx.call(input=900, max_output=1_000) as call:
        call.settle(_USED)
    return number


class Load:
    """What the jobs of one round carry, and what they do. Without arguments they are plain."""

    def __init__(self, limits: int = 0, budget: BudgetOf | None = None, *, calls: bool = False) -> None:
        ample = [aiq.Limit(f"limit{number}", requests=_AMPLE, tokens=_AMPLE) for number in range(limits)]
        self.task: aiq.Task[[int], int] = aiq.task(limits=ample)(calling) if calls else aiq.task(limits=ample)(noop)
        self.options = JobOptions()
        if limits or budget:
            self.task.estimate(_need)
        if budget is not None:
            self.options["budget"] = _SHARED if budget == "shared" else aiq.Budget(usd=_AMPLE_USD)

    async def prepare(self, queue: aiq.Queue) -> None:
        """Store what all jobs share."""
        if self.options:
            await queue.admin.put_prices(_PRICES)
            await queue.admin.put_budget(aiq.Budget(_SHARED, usd=_AMPLE_USD))


def _need(number: int) -> aiq.Estimate:
    return _NEED
