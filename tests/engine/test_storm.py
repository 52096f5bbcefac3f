"""Workers that call a provider in bad weather: whatever is lost, the books are right in the end, and no job is stuck.

As in the simulation of whole workers, one seed is one run. The provider refuses some calls for their rate, fails
some, and the budget has room for only a part of them until somebody grants more.
"""

import asyncio
from collections import Counter
from random import Random
from typing import Any

import pytest

import aiq
from aiq.bounds import MAX_PAGE
from aiq.model import BudgetSpec, LimitSpec, State, UsageFilter, UsageRow
from tests.engine.test_simulation import Fleet, Voyage
from tests.engine.world import World, virtually

JOBS = 24
PARTS = 2
INPUT, OUTPUT, MAX_OUTPUT = 100, 150, 200


class ProviderError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status_code = status
        self.headers = {"retry-after": "3"}


class Asking(Voyage):
    """Jobs that call a provider, and what it saw of them."""

    def __init__(self, world: World, rng: Random) -> None:
        self.rng = rng
        self.seen: Counter[str] = Counter()
        """Calls that have reached the provider, by job."""
        super().__init__(world)

    def _tasks(self) -> list[aiq.Task[Any, object]]:
        again = aiq.task(lease=4, retry=aiq.Retry(attempts=50, first_delay=0.5, max_delay=2), max_stalls=50)

        async def ask(ctx: aiq.Context) -> int:
            async with ctx.call(input=INPUT, max_output=MAX_OUTPUT, model="m") as call:
                self.seen[ctx.job_id] += 1
                call.report(aiq.Usage(input=INPUT))
                await asyncio.sleep(self.rng.uniform(0, 6))
                luck = self.rng.random()
                if luck < 0.15:
                    raise ProviderError(429 if luck < 0.1 else 500)
                call.settle(aiq.Usage(input=INPUT, output=OUTPUT))
            return OUTPUT

        @again(name="asks")
        async def asks(ctx: aiq.Context, number: int) -> int:
            if number % 2:
                async with asyncio.TaskGroup() as group:
                    parts = [group.create_task(ctx.step(f"part-{n}", ask, ctx)) for n in range(PARTS)]
                return sum(part.result() for part in parts)
            return sum([await ctx.step(f"part-{n}", ask, ctx) for n in range(PARTS)])

        return [asks]

    async def board(self) -> list[str]:
        [asks] = self.tasks
        limit = LimitSpec(name="gpt", requests=120, tokens=30_000, concurrency=6)
        await self.world.storage.put_limits([limit])
        await self.world.storage.put_budgets([BudgetSpec(id="team", caps={"tokens": 4_000})])
        estimate = aiq.Estimate(input=INPUT, max_output=MAX_OUTPUT, model="m")
        made = [asks.job(n).using(limits=["gpt"], budget="team", estimate=estimate) for n in range(JOBS)]
        return await self.world.enqueue(*made)


async def grant(world: World) -> None:
    for number in range(200):
        await asyncio.sleep(10)
        await world.storage.grant("team", f"grant-{number}", {"tokens": 1_000})


async def used(world: World, query: UsageFilter) -> Counter[str]:
    found: Counter[str] = Counter()
    cursor, rows = None, list[UsageRow]()
    while True:
        page = await world.storage.usage(query, cursor=cursor, limit=MAX_PAGE)
        rows += page.rows
        if page.cursor is None:
            break
        cursor = page.cursor
    for row in rows:
        found[row.category] += row.tokens
    return found


async def live(world: World, seed: int) -> None:
    rng = Random(seed)
    asking = Asking(world, Random(seed))
    jobs = await asking.board()
    fleet = Fleet(asking, rng)
    granting = asyncio.create_task(grant(world))
    await fleet.weather_the_storm()
    for job in jobs:
        record = await world.until(job, State.SUCCEEDED, State.DEAD, State.CANCELLED)
        assert record.result == str(PARTS * OUTPUT).encode(), record
    for ship in fleet.ships:
        await ship.land()
    granting.cancel()
    await asyncio.wait({granting})
    await check(world, asking, jobs)


async def check(world: World, asking: Asking, jobs: list[str]) -> None:
    await world.clean()
    [limit] = await world.storage.get_limits(["gpt"])
    assert (limit.tokens_held, limit.running, limit.waiting) == (0, 0, 0)
    total = await used(world, UsageFilter())
    [budget] = await world.storage.get_budgets(["team"])
    assert not any(budget.state.held.values())
    assert budget.state.spent["tokens"] >= total["input"] + total["output"]
    for job in jobs:
        mine = await used(world, UsageFilter(job_id=job))
        # Each part was paid once at least; of a call that was cut off, all that it might have used is counted.
        assert mine["input"] >= PARTS * INPUT
        assert mine["output"] >= PARTS * OUTPUT
        assert mine["input"] <= asking.seen[job] * INPUT + 5 * INPUT
        assert mine["output"] <= asking.seen[job] * MAX_OUTPUT + 5 * MAX_OUTPUT


@pytest.mark.parametrize("seed", range(8))
def test_the_books_are_right_in_the_end_whatever_the_weather(seed: int) -> None:
    @virtually
    async def run(world: World) -> None:
        await live(world, seed)

    run()
