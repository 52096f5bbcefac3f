"""When housekeeping is done, and when not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from aiq.engine.upkeep import FRUITLESS_MS, IDLE_MS, SPREAD_MS, Upkeep
from aiq.errors import Corrupt, Unavailable
from aiq.model import Upkept
from tests.engine.world import World, virtually


class Scripted:
    """Answers what it is given, then that nothing is due; and notes when it was asked."""

    def __init__(self, *answers: Upkept | Exception) -> None:
        self._answers = list(answers)
        self.asked_ms: list[int] = []

    async def upkeep(self, limit: int = 1) -> Upkept:
        self.asked_ms.append(round(asyncio.get_running_loop().time() * 1000))
        answer = self._answers.pop(0) if self._answers else Upkept()
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def under_way(upkeep: Upkeep) -> AsyncIterator[None]:
    """Within the block it goes on, and has begun."""
    task = asyncio.create_task(upkeep.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def run_for(upkeep: Upkeep, seconds: float) -> None:
    async with under_way(upkeep):
        await asyncio.sleep(seconds)


@virtually
async def test_an_idle_worker_looks_a_few_times_a_minute(world: World) -> None:
    storage = Scripted()

    await run_for(Upkeep(storage, clock=world.clock, rng=Random(1)), 600)

    gaps = [late - early for early, late in zip(storage.asked_ms, storage.asked_ms[1:], strict=False)]
    assert all(IDLE_MS * 4 // 5 <= gap <= IDLE_MS for gap in gaps)
    assert len(set(gaps)) > 10


@virtually
async def test_what_is_due_is_done_when_it_is_due_and_soon_after(world: World) -> None:
    storage = Scripted(Upkept(next_due_ms=1_234))
    upkeep = Upkeep(storage, clock=world.clock, rng=Random(1))
    async with under_way(upkeep):
        upkeep.due_in(0)

        await asyncio.sleep(2)

    first, second = storage.asked_ms
    assert 1_234 <= second - first <= 1_234 + SPREAD_MS


@virtually
async def test_a_newer_answer_of_the_storage_counts_also_when_it_is_later(world: World) -> None:
    storage = Scripted()
    upkeep = Upkeep(storage, clock=world.clock, rng=Random(1))
    async with under_way(upkeep):
        upkeep.due_in(500)
        upkeep.due_in(2_000)

        await asyncio.sleep(1.9)
        assert storage.asked_ms == []
        await asyncio.sleep(0.2)
        assert len(storage.asked_ms) == 1


@virtually
async def test_what_an_exchange_says_while_a_round_is_under_way_outlives_its_answer(world: World) -> None:
    class Overtaken(Scripted):
        async def upkeep(self, limit: int = 1) -> Upkept:
            if not self.asked_ms:
                upkeep.due_in(300)
                upkeep.due_in(4_000)
            return await super().upkeep(limit)

    storage = Overtaken(Upkept(promoted=1))
    upkeep = Upkeep(storage, clock=world.clock, rng=Random(1))
    async with under_way(upkeep):
        upkeep.due_in(0)

        await asyncio.sleep(1)

    first, second = storage.asked_ms
    assert 300 <= second - first <= 300 + SPREAD_MS


@virtually
async def test_a_worker_that_never_rests_looks_as_often_as_one_that_does(world: World) -> None:
    # An exchange knows nothing of what is over, and says again and again that nothing is due.
    storage = Scripted()
    upkeep = Upkeep(storage, clock=world.clock, rng=Random(1))
    async with under_way(upkeep):
        for _ in range(600):
            await asyncio.sleep(0.1)
            upkeep.due_in(None)

    assert len(storage.asked_ms) >= 60_000 // IDLE_MS


@virtually
async def test_an_exchange_with_nothing_due_does_not_put_off_what_a_round_has_left_over(world: World) -> None:
    storage = Scripted(*[Upkept(purged=64, next_due_ms=10)] * 20)
    upkeep = Upkeep(storage, clock=world.clock, rng=Random(1))
    async with under_way(upkeep):
        upkeep.due_in(0)
        for _ in range(200):
            await asyncio.sleep(0.01)
            upkeep.due_in(None)

    assert len(storage.asked_ms) >= 20


@virtually
async def test_a_full_round_is_followed_by_the_next_at_once(world: World) -> None:
    storage = Scripted(*[Upkept(revoked=256, next_due_ms=0)] * 4)
    upkeep = Upkeep(storage, clock=world.clock, rng=Random(1))
    async with under_way(upkeep):
        upkeep.due_in(0)

        await asyncio.sleep(1)

    assert storage.asked_ms == [0] * 5


@virtually
async def test_a_storage_that_always_has_something_due_and_never_does_it_is_not_asked_in_a_hot_loop(
    world: World,
) -> None:
    storage = Scripted(*[Upkept(next_due_ms=0)] * 1_000)
    upkeep = Upkeep(storage, clock=world.clock, rng=Random(1))
    async with under_way(upkeep):
        upkeep.due_in(0)

        await asyncio.sleep(10)

    assert len(storage.asked_ms) <= 10_000 // FRUITLESS_MS + 1


@virtually
async def test_an_outage_is_waited_for_with_growing_pauses_of_at_most_five_seconds(world: World) -> None:
    storage = Scripted(*[Unavailable("away")] * 20)

    await run_for(Upkeep(storage, clock=world.clock, rng=Random(1)), 600)

    gaps = [late - early for early, late in zip(storage.asked_ms[:21], storage.asked_ms[1:21], strict=False)]
    assert max(gaps) <= 5_000 + SPREAD_MS
    assert gaps[0] < 200
    assert len(storage.asked_ms) > 20


@virtually
async def test_a_storage_beyond_repair_ends_upkeep(world: World) -> None:
    upkeep = Upkeep(Scripted(Corrupt("torn")), clock=world.clock, rng=Random(1))

    with pytest.raises(Corrupt):
        await upkeep.run()
