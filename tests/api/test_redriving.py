"""Many jobs are redriven a step at a time, and no step looks at more than its bound."""

import pytest

import aiq
from aiq.bounds import MAX_DEPENDENCIES
from aiq.model import Cause, JobFilter, State, Waiting
from aiq.rules import redriving
from aiq.testing import Faulty
from aiq.testing.actions import BAD, end, end_one, enqueue_one, job, spawn, start, states
from aiq.testing.burials import deadly


async def test_jobs_that_depend_on_more_than_one_step_looks_at_are_redriven_as_many_as_fit(
    queue: aiq.Queue, storage: Faulty
) -> None:
    first = [f"first {n:03}" for n in range(MAX_DEPENDENCIES // 100)]
    wide = [f"wide {n:03}" for n in range(101)]
    await storage.enqueue([job(name) for name in first])
    await storage.enqueue([job(name, depends_on=tuple(first)) for name in wide[:100]])
    await enqueue_one(storage, wide[100], depends_on=tuple(first))
    await storage.cancel(wide)

    outcomes = await queue.admin.redrive(JobFilter(states=frozenset({State.CANCELLED})))

    assert (outcomes.done, outcomes.stopped) == (tuple(wide), None)


async def test_so_are_parents_of_more_children_that_failed(
    queue: aiq.Queue, storage: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redriving, "MAX_DEPENDENCIES", 2)
    parents = ["one", "two", "three"]
    for name in parents:
        run = await start(storage, name)
        await spawn(storage, run, f"child of {name}", queue="children")
        await end(storage, run, Waiting("children", None))
        await end_one(storage, BAD, "children")
        await end_one(storage, deadly(cause=Cause.CHILD))

    outcomes = await queue.admin.redrive(JobFilter(queue="default"))

    assert (outcomes.done, outcomes.stopped) == (("one", "two", "three"), None)
    assert await states(storage, *parents) == [State.WAITING] * 3
