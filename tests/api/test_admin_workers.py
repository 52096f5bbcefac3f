"""Who works, as an operator reads it."""

import asyncio

import aiq
from aiq.bounds import MAX_PAGE
from aiq.model import Beat, SlotUse, WorkerState


def test_workers_are_told_in_seconds_however_many_there_are() -> None:
    async def scene() -> None:
        async with aiq.Queue("memory://") as queue:
            for n in range(MAX_PAGE + 1):
                beat = Beat(worker=f"w-{n:03}", lag_ms=1_500, slots=(SlotUse("default", 4, 1),), blocked=n == 7)
                await queue.storage.beat(beat)
            found = await queue.admin.workers()

        assert [one.name for one in found] == [f"w-{n:03}" for n in range(MAX_PAGE + 1)]
        assert (found[0].lag, found[0].slots) == (1.5, {"default": (1, 4)})
        assert [one.name for one in found if one.state is WorkerState.BLOCKED] == ["w-007"]

    asyncio.run(scene())
