"""Batches in bad weather: whatever is lost, each item comes to its own end, and nothing is held in the end."""

import asyncio
from random import Random
from typing import Any

import pytest

import aiq
from aiq.model import State
from tests.engine.test_simulation import Fleet, Voyage
from tests.engine.world import World, virtually

JOBS = 40
CANCELLED = 5
LIMIT = aiq.Limit("embeddings", concurrency=6)


class Embedding(Voyage):
    """Jobs of a batch task whose handler fails now and then, as a whole or for one item."""

    def __init__(self, world: World, rng: Random) -> None:
        self.rng = rng
        super().__init__(world)

    def _tasks(self) -> list[aiq.Task[Any, object]]:
        again = aiq.batch_task(lease=4, retry=aiq.Retry(attempts=50, first_delay=0.5, max_delay=2), max_stalls=50)

        @again(name="embed", size=3, linger=1, timeout=30)
        async def embed(ctx: aiq.BatchContext, numbers: list[int]) -> list[int | Exception]:
            async with ctx.call(model="m") as call:
                await asyncio.sleep(self.rng.uniform(0, 6))
                if self.rng.random() < 0.1:
                    raise ConnectionError("no answer")
                call.settle(aiq.Usage(input=len(numbers)))
            return [ValueError("unlucky") if self.rng.random() < 0.1 else 2 * number for number in numbers]

        return [embed]

    async def board(self) -> list[str]:
        await self.world.storage.put_limits([LIMIT.spec()])
        [embed] = self.tasks
        estimate = aiq.Estimate(input=1, model="m")
        return await self.world.enqueue(
            *(embed.job(n).using(limits=["embeddings"], estimate=estimate) for n in range(JOBS))
        )


async def cancel_some(world: World, jobs: list[str], rng: Random) -> None:
    for job in jobs:
        await asyncio.sleep(rng.uniform(0, 20))
        await world.storage.cancel([job])


async def live(world: World, seed: int) -> None:
    rng = Random(seed)
    voyage = Embedding(world, Random(seed))
    jobs = await voyage.board()
    fleet = Fleet(voyage, rng)
    cancelling = asyncio.create_task(cancel_some(world, jobs[-CANCELLED:], Random(seed)))
    await fleet.weather_the_storm()
    await cancelling
    for number, job in enumerate(jobs):
        record = await world.until(job, State.SUCCEEDED, State.DEAD, State.CANCELLED)
        if record.state is State.CANCELLED:
            assert number >= JOBS - CANCELLED
        else:
            assert (record.state, record.result) == (State.SUCCEEDED, str(2 * number).encode()), record
    for ship in fleet.ships:
        await ship.land()
    await world.clean()
    [limit] = await world.storage.get_limits(["embeddings"])
    assert (limit.running, limit.waiting) == (0, 0)


@pytest.mark.parametrize("seed", range(8))
def test_each_item_comes_to_its_end_whatever_the_weather(seed: int) -> None:
    @virtually
    async def run(world: World) -> None:
        await live(world, seed)

    run()
