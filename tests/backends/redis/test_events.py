"""The numbers of a job's events: some in its record, older ones in a list, the oldest in none."""

from random import Random

import pytest

from aiq.model import Event, Keep, Released, RetentionSpec
from aiq.storage import Storage
from aiq.testing.actions import claim_one, end, enqueue_one
from aiq.testing.clock import Clock
from tests import stores

ROUNDS = 120


async def pages(storage: Storage, limit: int) -> list[tuple[int, str]]:
    found: list[Event] = []
    while page := await storage.events_of("job", after=found[-1].number if found else 0, limit=limit):
        found += page
    return [(event.number, event.row) for event in found]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_events_of_a_job_are_those_that_are_kept_however_the_log_is_trimmed(clock: Clock, seed: int) -> None:
    rng = Random(seed)
    async with stores.redis(clock) as namespace, stores.memory(clock) as memory:
        for storage in (namespace, memory):
            await enqueue_one(storage, "job")
        for number in range(ROUNDS):
            keep, trims, other = rng.choice((1, 10, 40, 70, 200)), rng.random() < 0.2, rng.random() < 0.5
            for storage in (namespace, memory):
                await end(storage, await claim_one(storage), Released())
                if other:
                    await enqueue_one(storage, f"other {number}", queue="other")
                if trims:
                    await storage.put_retention(RetentionSpec(events=Keep(count=keep)))
                    await storage.upkeep()
            for limit in (7, 256):
                assert await pages(namespace, limit) == await pages(memory, limit)
        assert await namespace.audit() == []
