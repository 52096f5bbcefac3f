"""What a worker says of itself, and that it is heard whatever its loop does."""

import asyncio
import threading
import time
from collections.abc import Callable
from random import Random

import aiq
from aiq.backends.memory.storage import open_memory
from aiq.engine.presence import BEAT_MS, Presence
from aiq.errors import Unavailable
from aiq.model import Beat, SlotUse, WorkerState, WorkerStatus
from aiq.testing import Refuse
from tests.engine.world import World, virtually

CENSUS = Beat(worker="w", slots=(SlotUse("default", 4, 1),), lent=1)


def presence(world: World, messages: list[Callable[[], None]] | None = None) -> Presence:
    post = asyncio.get_running_loop().call_soon if messages is None else messages.append
    return Presence(world.faults, lambda: CENSUS, post, clock=world.clock, rng=Random(1))


async def only(world: World) -> WorkerStatus:
    [found] = await world.storage.workers()
    return found


async def beating(world: World, one: Presence, seconds: float) -> None:
    """Let it beat for a while, and end it."""
    task = asyncio.create_task(one.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait({task})


@virtually
async def test_a_worker_tells_how_it_stands_and_for_how_long(world: World) -> None:
    one = presence(world)
    await asyncio.sleep(7)
    await one.beat()

    found = await only(world)

    assert (found.beat.slots, found.beat.lent, found.beat.up_ms) == (CENSUS.slots, 1, 7_000)
    assert found.state is WorkerState.ALIVE


@virtually
async def test_a_worker_that_beats_is_never_gone_and_costs_a_command_in_eight_seconds_at_most(world: World) -> None:
    task = asyncio.create_task(presence(world).run())
    seen, beats = [], set()
    for _ in range(300):
        await asyncio.sleep(1)
        found = await only(world)
        seen.append(found.state)
        beats.add(found.beat_at_ms)
    task.cancel()
    await asyncio.wait({task})

    assert set(seen) == {WorkerState.ALIVE}
    assert 300_000 / BEAT_MS <= len(beats) <= 300_000 / (BEAT_MS * 0.8)


@virtually
async def test_a_worker_that_ends_in_order_is_struck_off(world: World) -> None:
    await beating(world, presence(world), 25)

    assert await world.storage.workers() == []


@virtually
async def test_a_loop_that_does_not_turn_is_told_with_the_second_beat(world: World) -> None:
    messages: list[Callable[[], None]] = []
    task = asyncio.create_task(presence(world, messages).run())
    await asyncio.sleep(BEAT_MS / 1000)

    blocked = await only(world)
    while messages:
        messages.pop(0)()
    await asyncio.sleep(BEAT_MS / 1000)
    for message in messages:
        message()
    await asyncio.sleep(BEAT_MS / 1000)
    task.cancel()
    await asyncio.wait({task})

    assert (blocked.state, blocked.beat.lag_ms) == (WorkerState.BLOCKED, 3_000)


@virtually
async def test_a_beat_that_fails_is_followed_by_the_next(world: World) -> None:
    world.faults.plan(Refuse("beat"), Refuse("beat"))
    task = asyncio.create_task(presence(world).run())
    await asyncio.sleep(2.5 * BEAT_MS / 1000)
    found = await world.storage.workers()
    task.cancel()
    await asyncio.wait({task})

    assert [one.state for one in found] == [WorkerState.ALIVE]


@virtually
async def test_a_storage_that_is_away_does_not_keep_a_worker_from_ending(world: World) -> None:
    class Away:
        async def beat(self, beat: Beat) -> None:
            raise Unavailable("away")

        async def leave(self, worker: str) -> None:
            await asyncio.sleep(3_600)

        async def workers(self, *, after: str = "", limit: int = 1) -> list[WorkerStatus]:
            raise AssertionError("nobody asks")

    began = asyncio.get_running_loop().time()
    one = Presence(Away(), lambda: CENSUS, asyncio.get_running_loop().call_soon, clock=world.clock, rng=Random(1))
    await beating(world, one, 10)

    assert asyncio.get_running_loop().time() - began <= 12


async def _seen(queue: aiq.Queue, wanted: Callable[[list[WorkerStatus]], bool]) -> list[WorkerStatus]:
    """Look until it is so. In real time, since a thread is at work."""
    until = time.monotonic() + 10
    while not wanted(found := await queue.storage.workers()):
        assert time.monotonic() < until, found
        await asyncio.sleep(0.01)
    return found


def test_a_real_worker_is_seen_with_its_slots_and_leaves_no_trace() -> None:
    @aiq.task
    async def nothing() -> None: ...

    async def scene() -> None:
        queue = aiq.Queue(await open_memory("memory://"))
        async with queue:
            async with aiq.Worker(queue, tasks=[nothing], slots={"default": 3}, name="me"):
                [found] = await _seen(queue, lambda found: len(found) == 1)
                assert found.beat.worker.startswith("me:")
                assert found.beat.slots == (SlotUse("default", 3, 0),)
                assert found.beat.pid > 0
                assert found.beat.python.startswith("3.")
                assert threading.active_count() > 1
            assert await queue.storage.workers() == []

    asyncio.run(scene())
