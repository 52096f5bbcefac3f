"""Chapter 16: another generation for jobs that wait for others."""

import pytest

from aiq.bounds import MAX_DEPENDENCIES
from aiq.errors import TooLarge
from aiq.model import (
    Cause,
    State,
    Waiting,
)
from aiq.rules.fingerprints import OF_CAUSE
from aiq.storage import Storage
from aiq.testing.actions import (
    BAD,
    GOOD,
    claim_one,
    end,
    end_one,
    enqueue_one,
    fan_out,
    get_one,
    job,
    keep_up,
    look,
    spawn,
    start,
    states,
)
from aiq.testing.burials import (
    PRINT,
    deadly,
    reasons,
    redrive,
    revive,
    run_again,
    the_group,
)
from aiq.testing.marks import clause

CHILD_FAILED = deadly(cause=Cause.CHILD)


@clause("DEAD-14")
async def test_a_child_whose_parent_has_ended_is_refused(storage: Storage) -> None:
    await fan_out(storage, "child")
    await end_one(storage, BAD, "children")
    await end_one(storage, CHILD_FAILED)
    before = await look(storage)

    assert reasons(await redrive(storage, "child")) == ["parent_terminal"]
    assert await look(storage) == before


@clause("DEAD-14")
async def test_a_child_that_is_detached_runs_alone(storage: Storage) -> None:
    await fan_out(storage, "child")
    await end_one(storage, BAD, "children")
    await end_one(storage, CHILD_FAILED)
    parent = await get_one(storage, "parent")

    again = await revive(storage, "child", detach=True)
    await end_one(storage, GOOD, "children")
    await keep_up(storage)

    assert again.parent_id is None
    assert await get_one(storage, "parent") == parent
    assert await states(storage, "child") == [State.SUCCEEDED]
    assert await storage.audit() == []


@clause("DEAD-14")
async def test_a_child_whose_parent_goes_on_is_redriven_and_counts_once(storage: Storage) -> None:
    await fan_out(storage, "one", "two")
    await end_one(storage, BAD, "children")

    await revive(storage, "one")
    await end_one(storage, GOOD, "children")
    await end_one(storage, GOOD, "children")

    parent = await get_one(storage, "parent")
    assert (parent.state, await states(storage, "one", "two")) == (State.READY, [State.SUCCEEDED] * 2)
    assert await storage.audit() == []


@clause("DEAD-15")
async def test_a_job_that_never_ran_is_refused_while_its_dependency_is_dead(storage: Storage) -> None:
    await enqueue_one(storage, "first")
    await enqueue_one(storage, "second", depends_on=("first",))
    await end_one(storage, deadly())
    await keep_up(storage)

    assert reasons(await redrive(storage, "second")) == ["upstream"]
    assert await storage.audit() == []


@clause("DEAD-15")
async def test_a_job_that_never_ran_waits_for_a_dependency_that_is_redriven(storage: Storage) -> None:
    await enqueue_one(storage, "good")
    await enqueue_one(storage, "first")
    await enqueue_one(storage, "second", depends_on=("first", "good"))
    await end_one(storage, GOOD)
    await end_one(storage, deadly())
    await keep_up(storage)

    answers = await redrive(storage, "first", "second")
    waiting = await get_one(storage, "second")
    assert reasons(answers) == ["redriven", "redriven"]
    assert (waiting.state, waiting.pending) == (State.WAITING, 1)
    assert await storage.audit() == []

    await end_one(storage, GOOD)
    assert (await claim_one(storage)).id == "second"
    assert await storage.audit() == []


@clause("DEAD-15")
async def test_a_job_that_never_ran_is_ready_when_its_dependencies_have_succeeded_since(storage: Storage) -> None:
    await enqueue_one(storage, "first")
    await enqueue_one(storage, "second", depends_on=("first",))
    await end_one(storage, deadly())
    await keep_up(storage)
    await end(storage, await run_again(storage, "first"), GOOD)

    assert (await revive(storage, "second", id="then")).state is State.READY


@clause("DEAD-26")
async def test_jobs_with_more_dependencies_than_one_step_counts_again_are_redriven_in_parts(storage: Storage) -> None:
    first = [f"first {n:03}" for n in range(MAX_DEPENDENCIES // 100)]
    wide = [f"wide {n:03}" for n in range(101)]
    await storage.enqueue([job(name) for name in first])
    await storage.enqueue([job(name, depends_on=tuple(first)) for name in wide[:100]])
    await enqueue_one(storage, wide[100], depends_on=tuple(first))
    await storage.cancel(wide)

    with pytest.raises(TooLarge, match="several parts"):
        await redrive(storage, *wide)
    assert await states(storage, *wide) == [State.CANCELLED] * 101

    assert reasons(await redrive(storage, *wide[:100])) == ["redriven"] * 100
    assert reasons(await redrive(storage, wide[100])) == ["redriven"]
    assert [(record.state, record.pending) for record in await storage.get(wide) if record] == [
        (State.WAITING, 100)
    ] * 101


@clause("DEAD-15")
async def test_a_job_that_continues_is_redriven_whatever_its_dependency_did(storage: Storage) -> None:
    await enqueue_one(storage, "first")
    await enqueue_one(storage, "second", depends_on=("first",), on_upstream="continue")
    await storage.cancel(["second"])
    await end_one(storage, deadly())

    assert (await revive(storage, "second")).state is State.READY


@clause("DEAD-15")
async def test_a_dependency_that_dies_again_takes_the_redriven_job_along(storage: Storage) -> None:
    await enqueue_one(storage, "first")
    await enqueue_one(storage, "second", depends_on=("first",))
    await end_one(storage, deadly())
    await keep_up(storage)
    await redrive(storage, "first", "second")

    await end_one(storage, deadly())
    await keep_up(storage)

    assert await states(storage, "first", "second") == [State.DEAD, State.DEAD]
    assert await storage.audit() == []


@clause("DEAD-16")
async def test_a_parent_that_died_of_its_children_waits_again_for_those_that_did_not_succeed(storage: Storage) -> None:
    await fan_out(storage, "good", "bad", "worse")
    await end_one(storage, GOOD, "children")
    await end_one(storage, BAD, "children")
    await end_one(storage, BAD, "children")
    await end_one(storage, CHILD_FAILED)

    parent = await revive(storage, "parent")
    assert (parent.state, parent.wait_key, parent.pending) == (State.WAITING, "children", 2)
    assert await storage.audit() == []
    await keep_up(storage)
    assert await states(storage, "good", "bad", "worse") == [State.SUCCEEDED, State.READY, State.READY]
    assert await storage.audit() == []

    await end_one(storage, GOOD, "children")
    assert (await get_one(storage, "parent")).state is State.WAITING
    await end_one(storage, GOOD, "children")

    assert (await claim_one(storage)).id == "parent"
    assert [step.key for step in await storage.get_steps("parent")] == ["children"]
    assert await storage.audit() == []


@clause("DEAD-16")
async def test_a_child_that_was_detached_and_has_failed_again_is_redriven_with_its_parent(storage: Storage) -> None:
    await fan_out(storage, "child", "other")
    await end_one(storage, BAD, "children")
    await end_one(storage, BAD, "children")
    await end_one(storage, CHILD_FAILED)
    await revive(storage, "child", detach=True)
    await end_one(storage, BAD, "children")

    await revive(storage, "parent", id="then")
    await keep_up(storage)

    assert await states(storage, "parent", "child", "other") == [State.WAITING, State.READY, State.READY]
    assert await storage.audit() == []


@clause("DEAD-16")
async def test_a_parent_that_was_cancelled_while_it_waited_waits_again(storage: Storage) -> None:
    await fan_out(storage, "one", "two")
    await storage.cancel(["parent"])
    await keep_up(storage)
    assert await states(storage, "one", "two") == [State.CANCELLED, State.CANCELLED]

    await revive(storage, "parent")
    await keep_up(storage)

    assert await states(storage, "parent", "one", "two") == [State.WAITING, State.READY, State.READY]
    assert await storage.audit() == []


@clause("DEAD-16")
async def test_a_parent_that_is_redriven_before_its_children_were_cancelled_keeps_them(storage: Storage) -> None:
    await fan_out(storage, "one")
    await storage.cancel(["parent"])

    await revive(storage, "parent")
    await keep_up(storage)

    assert await states(storage, "one") == [State.READY]
    assert await storage.audit() == []


@clause("DEAD-16")
async def test_children_that_a_run_saw_fail_stay_as_they_are(storage: Storage) -> None:
    await fan_out(storage, "bad")
    await end_one(storage, BAD, "children")
    await end_one(storage, deadly(cause=Cause.HANDLER))

    parent = await revive(storage, "parent")
    await keep_up(storage)

    assert (parent.state, await states(storage, "bad")) == (State.READY, [State.DEAD])
    assert [step.key for step in await storage.get_steps("parent")] == ["children"]


@clause("DEAD-16")
async def test_children_of_children_are_redriven_too(storage: Storage) -> None:
    await fan_out(storage, "middle")
    middle = await claim_one(storage, "children")
    await spawn(storage, middle, "leaf", queue="leaves")
    await end(storage, middle, Waiting("children", None))
    await end_one(storage, BAD, "leaves")
    await end_one(storage, CHILD_FAILED, "children")
    await end_one(storage, CHILD_FAILED)

    await revive(storage, "parent")
    await keep_up(storage)

    assert await states(storage, "parent", "middle", "leaf") == [State.WAITING, State.WAITING, State.READY]
    assert await storage.audit() == []
    await end_one(storage, GOOD, "leaves")
    await end_one(storage, GOOD, "children")
    assert (await claim_one(storage)).id == "parent"


@clause("DEAD-16")
async def test_a_child_that_depends_on_another_waits_for_it_again(storage: Storage) -> None:
    parent = await start(storage, "parent")
    batch = [
        job("z first", child_of="children", queue="children"),
        job("a second", child_of="children", queue="children", depends_on=("z first",)),
    ]
    await storage.enqueue(batch, parent=parent.lease)
    await end(storage, parent, Waiting("children", None))
    await end_one(storage, BAD, "children")
    await keep_up(storage)
    await end_one(storage, CHILD_FAILED)

    await revive(storage, "parent")
    await keep_up(storage)

    assert await states(storage, "z first", "a second") == [State.READY, State.WAITING]
    assert await storage.audit() == []


@clause("DEAD-16")
async def test_many_children_are_redriven_a_sweep_at_a_time(storage: Storage) -> None:
    names = [f"child {n:03}" for n in range(5)]
    await fan_out(storage, *names)
    for _ in names:
        await end_one(storage, BAD, "children")
    await end_one(storage, CHILD_FAILED)
    await revive(storage, "parent")

    assert (await storage.upkeep(limit=2)).outbox == 2
    assert (await states(storage, *names)).count(State.READY) == 2
    await keep_up(storage)

    assert await states(storage, *names) == [State.READY] * 5
    assert await storage.audit() == []


@clause("DEAD-16")
async def test_a_parent_cancelled_before_its_children_were_redriven_leaves_nothing_open(storage: Storage) -> None:
    await fan_out(storage, "child")
    await end_one(storage, BAD, "children")
    await end_one(storage, CHILD_FAILED)
    await revive(storage, "parent")

    await storage.cancel(["parent"])
    await keep_up(storage)

    assert await states(storage, "parent", "child") == [State.CANCELLED, State.DEAD]
    assert await storage.audit() == []


@clause("DEAD-2")
async def test_a_child_that_died_of_its_dependency_stands_in_that_group_until_it_is_redriven(storage: Storage) -> None:
    await enqueue_one(storage, "first")
    await enqueue_one(storage, "second", depends_on=("first",))
    await end_one(storage, deadly())
    await keep_up(storage)
    await redrive(storage, "first", "second")

    assert (await the_group(storage, OF_CAUSE["upstream"])).dead == 0
    assert (await the_group(storage, PRINT)).dead == 0
    assert await storage.audit() == []
