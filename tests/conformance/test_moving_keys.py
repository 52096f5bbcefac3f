"""Chapter 20: ordered keys where their storage moves."""

import asyncio
from collections.abc import Iterator

import pytest

from aiq.model import Redrive, Target, Waiting
from aiq.storage import Storage, claim
from aiq.testing.actions import BAD, GOOD, claim_one, end, get_one, job, start, wish
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.moves import move, reference


@pytest.fixture(params=["from", "into"])
def ways(
    request: pytest.FixtureRequest, runner: asyncio.Runner, storage: Storage, clock: Clock
) -> Iterator[tuple[Storage, Storage]]:
    """From the storage under test into the reference, and the other way round."""
    other = runner.run(reference(clock))
    yield (storage, other) if request.param == "from" else (other, storage)
    runner.run(other.close())


@clause("MOVE-1")
async def test_jobs_of_one_key_keep_their_turns_where_they_move(ways: tuple[Storage, Storage]) -> None:
    source, goal = ways
    names = ["first", "second", "third"]
    await source.enqueue([job(name, key="talk", per_key=1) for name in names])
    first = await claim_one(source)

    await move(source, goal)
    await end(goal, first, GOOD)
    second = await claim_one(goal)

    assert (first.id, second.id) == ("first", "second")
    assert await claim(goal, wish(5)) == ()
    await end(goal, second, GOOD)
    assert (await claim_one(goal)).id == "third"


@clause("MOVE-1", "KEY-13")
async def test_children_stand_before_their_parent_where_it_has_moved(ways: tuple[Storage, Storage]) -> None:
    source, goal = ways
    parent = await start(source, "parent", key="talk", per_key=1)
    await source.enqueue([job("later", key="talk", per_key=1)])
    kept = job("child", child_of="children", key="talk", per_key=1, on_parent="leave")
    await source.enqueue([kept], parent=parent.lease)
    await end(source, parent, Waiting("children", None))

    await move(source, goal)
    child = await claim_one(goal)
    assert (child.id, child.on_parent) == ("child", "leave")
    await goal.enqueue([job("grandchild", child_of="more", key="talk", per_key=1)], parent=child.lease)
    await end(goal, child, Waiting("more", None))

    for name in ("grandchild", "child", "parent", "later"):
        run = await claim_one(goal)
        assert run.id == name
        await end(goal, run, GOOD)


@clause("MOVE-1")
async def test_an_ordered_job_that_has_ended_is_ordered_where_it_has_moved(ways: tuple[Storage, Storage]) -> None:
    source, goal = ways
    await end(source, await start(source, "dead", key="talk", per_key=2), BAD)

    await move(source, goal)
    assert (await get_one(goal, "dead")).per_key == 2
    await goal.redrive(Redrive(id="again", targets=(Target("dead", 1),)))

    assert await goal.audit() == []
    assert (await claim_one(goal)).id == "dead"
