"""Chapter 18: ordered keys and children: nobody waits for a key that waits for it."""

from dataclasses import replace
from typing import Any

import pytest

from aiq.model import Cause, Died, JobError, JobRecord, Redrive, State, Target, Waiting
from aiq.storage import Storage
from aiq.testing.actions import BAD, GOOD, claim_one, end, job, keep_up, start, states
from aiq.testing.marks import clause
from aiq.testing.ordering import begin, given, line_up, ordered

PARKS = pytest.mark.parametrize("while_parked", ["hold", "free"])
TALK = {"key": "talk", "per_key": 1}


async def run_all(storage: Storage) -> list[str]:
    """End well whatever is given, one after the other; the ids in the order of their starts."""
    ran: list[str] = []
    for _ in range(50):
        await keep_up(storage)
        for name in await given(storage):
            ran.append(name)
            run = await storage.get([name])
            assert run[0] is not None
            await end(storage, run[0], GOOD)
    return ran


async def spawn_some(storage: Storage, parent: JobRecord, *names: str, **options: Any) -> None:
    """Store children of a run."""
    await storage.enqueue([job(name, child_of="children", **options) for name in names], parent=parent.lease)


async def await_child(storage: Storage, parent: JobRecord, *names: str, **options: Any) -> None:
    """Let a run spawn children and wait for them."""
    await spawn_some(storage, parent, *names, **options)
    await end(storage, parent, Waiting("children", None))


@clause("KEY-13")
@PARKS
async def test_children_go_with_the_key_of_their_parked_parent_before_all_that_came_later(
    storage: Storage, while_parked: str
) -> None:
    run = await begin(storage, while_parked=while_parked)
    await line_up(storage, "second")
    await await_child(storage, run, "child 1", "child 2", **TALK)

    assert await run_all(storage) == ["child 1", "child 2", "first", "second"]


@clause("KEY-13")
@PARKS
async def test_children_of_children_go_before_the_next_child(storage: Storage, while_parked: str) -> None:
    run = await begin(storage, while_parked=while_parked)
    await await_child(storage, run, "child 1", "child 2", **TALK, while_parked=while_parked)
    child = await claim_one(storage)
    await await_child(storage, child, "grandchild", **TALK)

    assert await run_all(storage) == ["grandchild", "child 1", "child 2", "first"]


@clause("KEY-13")
async def test_a_grandchild_has_the_key_that_its_parent_does_not_have(storage: Storage) -> None:
    run = await begin(storage)
    await line_up(storage, "second")
    await await_child(storage, run, "plain")
    await await_child(storage, await claim_one(storage), "grandchild", **TALK)

    assert await run_all(storage) == ["grandchild", "plain", "first", "second"]


@clause("KEY-13", "KEY-17")
@PARKS
async def test_two_parents_whose_children_have_the_key_of_the_other_both_end(
    storage: Storage, while_parked: str
) -> None:
    one = await begin(storage, "one", key="a", while_parked=while_parked)
    two = await begin(storage, "two", key="b", while_parked=while_parked)
    await await_child(storage, two, "of two", key="a", per_key=1)
    await await_child(storage, one, "of one", key="b", per_key=1)

    assert sorted(await run_all(storage)) == ["of one", "of two", "one", "two"]


@clause("KEY-13", "KEY-17")
async def test_a_job_that_depends_on_a_parent_does_not_stop_its_children(storage: Storage) -> None:
    parent = await start(storage, "parent")
    await line_up(storage, "after", depends_on=("parent",))
    await await_child(storage, parent, "child", **TALK)

    assert await run_all(storage) == ["child", "parent", "after"]


@clause("KEY-13", "KEY-17")
async def test_a_child_that_depends_on_its_sibling_does_not_stop_the_children_of_that(storage: Storage) -> None:
    parent = await start(storage, "parent")
    await storage.enqueue(
        [
            replace(ordered("sibling", child_of="children"), key=None, per_key=0),
            ordered("waits", child_of="children", depends_on=("sibling",)),
        ],
        parent=parent.lease,
    )
    await end(storage, parent, Waiting("children", None))
    await await_child(storage, await claim_one(storage), "grandchild", **TALK)

    assert await run_all(storage) == ["grandchild", "sibling", "waits", "parent"]


@clause("KEY-13", "KEY-16", "KEY-17", "DEAD-16")
@PARKS
async def test_a_redriven_parent_lets_its_children_go_first(storage: Storage, while_parked: str) -> None:
    parent = await begin(storage, while_parked=while_parked, max_attempts=1)
    await await_child(storage, parent, "child", **TALK, max_attempts=1)
    await end(storage, await claim_one(storage), BAD)
    await end(storage, await claim_one(storage), Died(JobError(type="E", message="m", cause=Cause.CHILD)))
    await line_up(storage, "second")
    await storage.redrive(Redrive(id="again", targets=(Target("first", 1),)))
    await keep_up(storage)

    assert await run_all(storage) == ["second", "child", "first"]


@clause("KEY-6")
async def test_a_parked_job_takes_one_place_from_those_behind_it(storage: Storage) -> None:
    parent = await begin(storage, per_key=2)
    await await_child(storage, parent, "child", queue="children")
    await line_up(storage, "second", "third", per_key=2)

    assert await given(storage) == ["second"]


@clause("KEY-1", "KEY-6")
async def test_a_parked_job_that_goes_on_waits_until_a_place_is_free(storage: Storage) -> None:
    parent = await begin(storage)
    await spawn_some(storage, parent, "child 1", "child 2", **TALK)
    await end(storage, parent, Waiting("children", 1, "leave"))
    await end(storage, await claim_one(storage), GOOD)
    assert await states(storage, "first") == [State.READY]

    assert await given(storage) == ["child 2"]
    assert await given(storage) == []


@clause("KEY-16")
async def test_a_child_that_is_detached_by_a_redrive_stands_for_itself(storage: Storage) -> None:
    parent = await start(storage, "parent")
    await spawn_some(storage, parent, "child", **TALK, max_attempts=1)
    await end(storage, await claim_one(storage), BAD)
    await end(storage, parent, GOOD)
    await begin(storage, "runs")
    await line_up(storage, "second")
    await storage.redrive(Redrive(id="again", targets=(Target("child", 1),), detach=True))
    await storage.cancel(["runs"], force=True)

    assert await given(storage) == ["second"]
