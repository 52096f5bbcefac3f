"""Enqueueing plain jobs by a function of the schema: it writes and answers what the step in Python does."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from aiq.backends.postgres.plain.enqueue import enqueue
from aiq.backends.postgres.storage import PostgresStorage
from aiq.backends.relational.plain.enqueue import may_be_plain
from aiq.errors import Conflict, QueueFull
from aiq.model import BudgetSpec, Enqueued, Estimate, JobSpec, QueueSettings, RouteSpec
from aiq.testing.actions import claim_one
from aiq.testing.clock import Clock
from tests.backends.lives import some_jobs
from tests.backends.postgres.whole_tables import Stepwise, opened, tables
from tests.postgres_servers import postgres_server

JOB = JobSpec(id="a", task="work", payload=b"\0\xff[]", digest="d")
NOT_PLAIN: list[dict[str, Any]] = [
    {"tenant": "acme"},
    {"unique": "one"},
    {"key": "line", "per_key": 1},
    {"depends_on": ("b",)},
    {"limits": ("l",)},
    {"routes": (RouteSpec(name="r"),)},
    {"estimate": Estimate(input=1)},
    {"budgets": ("b",)},
    {"creates": (BudgetSpec(id="b"),)},
    {"on_parent": "leave"},
]


async def by_function(storage: PostgresStorage, batch: Sequence[JobSpec]) -> list[Enqueued] | None:
    assert may_be_plain(batch, None)
    return await storage._plain(enqueue, batch, None)


@pytest.mark.parametrize("seed", range(4))
async def test_every_row_and_answer_is_that_of_the_step_in_python(seed: int) -> None:
    rng, clock = random.Random(seed), Clock()
    async with opened(clock) as (short, here), opened(clock, Stepwise) as (long, there):
        for storage in (short, long):
            await storage.configure("bounded", QueueSettings(max_ready=1_000))
            await storage.configure("lifo", QueueSettings(lifo=True))
        for step in range(12):
            batch = some_jobs(rng, clock(), step * 10)
            assert await by_function(short, batch) == await long.enqueue(batch)
            clock.advance_ms(rng.choice((0, 1, 30_000)))

        assert tables(here) == tables(there)


async def test_jobs_that_were_stored_so_run_like_others() -> None:
    clock = Clock()
    async with opened(clock) as (storage, _):
        await by_function(storage, [JOB])

        claimed = await claim_one(storage)

        assert (claimed.payload, claimed.digest, claimed.created_at_ms) == (JOB.payload, "d", clock())


@pytest.mark.parametrize("said", NOT_PLAIN, ids=[next(iter(said)) for said in NOT_PLAIN])
def test_a_job_that_brings_more_than_its_own_columns_is_not_plain(said: dict[str, Any]) -> None:
    assert not may_be_plain([JOB, replace(JOB, id="c", **said)], None)


def test_a_batch_with_the_same_job_twice_is_not_plain() -> None:
    assert not may_be_plain([JOB, replace(JOB, id="b"), JOB], None)


async def test_an_id_that_is_stored_is_left_to_the_step_and_nothing_is_written() -> None:
    async with opened(Clock()) as (storage, schema):
        await by_function(storage, [JOB])
        before = tables(schema)

        assert await by_function(storage, [replace(JOB, id="b"), JOB]) is None
        assert tables(schema) == before
        assert [one.existed for one in await storage.enqueue([JOB])] == [True]
        with pytest.raises(Conflict):
            await storage.enqueue([replace(JOB, digest="other")])


async def test_an_id_that_is_remembered_is_left_to_the_step() -> None:
    async with opened(Clock()) as (storage, schema):
        postgres_server().tell(f"INSERT INTO {schema}.aiq_tombstones VALUES (1, 'a', 'd', 'dead', 't', 'q', 1)")

        assert await by_function(storage, [JOB]) is None


async def test_a_queue_takes_as_many_as_it_has_room_for_and_the_rest_is_left_to_the_step() -> None:
    async with opened(Clock()) as (storage, _):
        await storage.configure("default", QueueSettings(max_ready=2))
        await by_function(storage, [JOB])

        assert await by_function(storage, [replace(JOB, id="b"), replace(JOB, id="c")]) is None
        assert await by_function(storage, [replace(JOB, id="b")]) is not None
        with pytest.raises(QueueFull):
            await storage.enqueue([replace(JOB, id="c")])


@pytest.mark.parametrize(
    "mark", ["INSERT INTO aiq_moving VALUES ('moved', 'elsewhere')", "INSERT INTO aiq_inbox (content) VALUES ('[]')"]
)
async def test_what_stands_against_any_step_is_left_to_the_step(mark: str) -> None:
    async with opened(Clock()) as (storage, schema):
        postgres_server().tell(f"SET search_path TO {schema}; {mark}")

        assert await by_function(storage, [JOB]) is None


async def test_who_waits_for_a_job_of_a_queue_is_told() -> None:
    async with opened(Clock()) as (storage, _):
        mark = await storage.wait({"queue:default"}, after=None, timeout_ms=0)

        await by_function(storage, [JOB])

        assert await storage.wait({"queue:default"}, after=mark, timeout_ms=60_000) != mark
