"""Steps that functions of the schema make whole: they write what the same steps write that are decided in Python."""

from random import Random
from typing import Any

import pytest

from aiq.backends.postgres import atomic
from aiq.backends.postgres.plain import exchange as plain
from aiq.backends.relational.connection import Row
from aiq.errors import LeaseLost
from aiq.model import Lease, Settled, Settlement, Succeeded
from aiq.testing.actions import claim_one, job
from aiq.testing.clock import Clock
from tests import stores
from tests.backends.lives import Course, live
from tests.backends.postgres.whole_tables import Stepwise, opened, tables

STEPS = 40


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was made by functions of the schema."""
    answers: list[object] = []

    def call(*given: Any, sure: bool) -> Row:
        row = atomic.call(*given, sure=sure)
        if row[0] is not None:
            answers.append(row)
        return row

    monkeypatch.setattr(plain, "call", call)
    return answers


@pytest.mark.parametrize("seed", range(6))
async def test_a_random_life_leaves_the_same_rows_whoever_makes_the_steps(
    clock: Clock, seed: int, made: list[object]
) -> None:
    course = Course(clock, Random(seed), rare=0.05)
    async with opened(clock) as (ours, name), opened(clock, Stepwise) as (theirs, other):
        await live(course, STEPS, ours, theirs)

        assert tables(name) == tables(other)
        assert len(made) > STEPS // 5


@pytest.mark.parametrize(
    "lease",
    [
        Lease("job", 2**70, "mine"),
        Lease("job", 1, "\ud800"),
        Lease("job", 1, "\0"),
        Lease("job\0x", 1, "mine"),
    ],
)
async def test_a_lease_that_no_database_could_store_is_lost_as_any_other(clock: Clock, lease: Lease) -> None:
    async with stores.postgres(clock) as storage:
        await storage.enqueue([job("job")])
        run = await claim_one(storage)

        answer = await storage.exchange([Settlement(lease, "1", Succeeded(b""))])
        again = await storage.exchange([Settlement(run.lease, "1", Succeeded(b""))])

        assert [type(one) for one in (*answer.settled, *again.settled)] == [LeaseLost, Settled]
