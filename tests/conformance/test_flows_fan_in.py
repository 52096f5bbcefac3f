"""Chapter 5, fan-in: each end counts once, and whoever waits moves once."""

import pytest

from aiq import bounds
from aiq.model import JobRecord, Outcome, State, StepKind, Waiting
from aiq.storage import Storage, settle
from aiq.testing.actions import (
    BAD,
    GOOD,
    changes,
    claim_one,
    claim_some,
    end,
    end_one,
    enqueue_one,
    failed,
    fan_out,
    get_one,
    job,
    keep_up,
    look,
    spawn,
    start,
    states,
    the_wait,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause

S = State


async def end_child(storage: Storage, outcome: Outcome = GOOD) -> None:
    await end_one(storage, outcome, "children")


@clause("FAN-1", "STATE-6")
async def test_a_child_that_is_settled_twice_counts_once(storage: Storage) -> None:
    await fan_out(storage, "a", "b")
    run = await claim_one(storage, "children")

    for _ in range(3):
        await settle(storage, run.lease, GOOD, settlement_id="1")

    assert (await get_one(storage, "parent")).pending == 1
    assert await states(storage, "parent") == [S.WAITING]


@clause("FAN-2", "FAN-8")
async def test_the_end_of_a_job_flips_a_sweep_of_edges_and_upkeep_the_rest(storage: Storage) -> None:
    total = bounds.MAX_FLIPS + 10
    await enqueue_one(storage, "root")
    specs = [job(f"leaf {n:03}", depends_on=("root",)) for n in range(total)]
    for part in (specs[bounds.MAX_BATCH :], specs[: bounds.MAX_BATCH]):
        await storage.enqueue(part)

    await end_one(storage, GOOD)

    assert (await storage.count())["default"] == {S.SUCCEEDED: 1, S.READY: bounds.MAX_FLIPS, S.WAITING: 10}
    assert await states(storage, "leaf 255", "leaf 256") == [S.READY, S.WAITING]
    assert (await storage.exchange(())).next_due_ms == 0
    await keep_up(storage)
    assert (await storage.count())["default"] == {S.SUCCEEDED: 1, S.READY: total}


@clause("FAN-2", "FLOW-3")
async def test_deaths_of_a_wide_fan_are_applied_a_limit_at_a_time(storage: Storage) -> None:
    await storage.enqueue([job("root"), *(job(f"leaf {n}", depends_on=("root",)) for n in range(5))])
    await end_one(storage, BAD)

    done = [(await storage.upkeep(2)).outbox for _ in range(4)]

    assert done == [2, 2, 1, 0]
    assert (await storage.count())["default"] == {S.DEAD: 6}


@clause("FAN-3")
async def test_a_parent_runs_once_for_each_of_its_waits(storage: Storage) -> None:
    parent = await start(storage, "parent")
    for key in ("first", "second"):
        await spawn(storage, parent, f"{key} a", f"{key} b", key=key, queue="children")
        await end(storage, parent, Waiting(key, 1, "leave"))
        await end_child(storage)
        parent = await claim_one(storage)
        await end_child(storage)
        assert await claim_some(storage, 5) == []

    assert parent.fence == 3
    assert [step.key for step in await storage.get_steps("parent")] == ["first", "second"]


@clause("FAN-4", "FLOW-9")
async def test_a_child_of_another_key_does_not_end_a_wait(storage: Storage) -> None:
    parent = await start(storage, "parent")
    await spawn(storage, parent, "mine", key="mine", queue="mine")
    await spawn(storage, parent, "other", key="other", queue="other")
    await end(storage, parent, Waiting("mine", None))

    await end_one(storage, GOOD, "other")

    assert await states(storage, "parent") == [S.WAITING]
    await end_one(storage, GOOD, "mine")
    assert await states(storage, "parent") == [S.READY]


@clause("FAN-5", "ENQ-2")
async def test_a_run_that_spawns_again_finds_the_same_children(storage: Storage) -> None:
    parent = await start(storage, "parent")
    await spawn(storage, parent, "a", "b", queue="children", digest="d")
    await end(storage, parent, failed())
    parent = await claim_one(storage)
    before = await look(storage)
    await spawn(storage, parent, "a", "b", queue="children", digest="d")
    assert await look(storage) == before

    answers = await storage.enqueue(
        [job(name, child_of="children", queue="children", digest="d") for name in ("a", "b", "c")], parent.lease
    )

    assert [answer.existed for answer in answers] == [True, True, False]
    assert changes(before, await look(storage)).keys() == {"parent", "c"}
    await end(storage, parent, Waiting("children", None))
    assert (await get_one(storage, "parent")).pending == 3


BAD_ENDS = ["dead", "cancelled", "expired", "upstream"]


@clause("FAN-6")
@pytest.mark.parametrize("how", BAD_ENDS)
async def test_a_parent_moves_when_its_last_child_ends_however_it_does(
    storage: Storage, clock: Clock, how: str
) -> None:
    parent = await start(storage, "parent")
    needs = ("upstream",) if how == "upstream" else ()
    upstream = job("upstream", child_of="others", queue="others")
    child = job("child", child_of="children", queue="children", max_attempts=1, depends_on=needs)
    await storage.enqueue([upstream, child], parent.lease)
    await end(storage, parent, Waiting("children", 1))
    if how == "dead":
        await end_child(storage, BAD)
    elif how == "cancelled":
        await storage.cancel(["child"])
    elif how == "expired":
        run = await claim_one(storage, "children")
        clock.advance_ms(run.lease_ms)
    else:
        await storage.cancel(["upstream"])

    await keep_up(storage)

    assert await states(storage, "parent") == [S.READY]
    assert await the_wait(storage) == (StepKind.CHILD_FAILED, ["child"])


async def fan_out_widely(storage: Storage, name: str, width: int) -> None:
    """As `fan_out`, with more children than one batch takes."""
    parent = await start(storage, name)
    for n in range(0, width, bounds.MAX_BATCH):
        names = [f"{name} {m}" for m in range(n, n + bounds.MAX_BATCH)]
        await spawn(storage, parent, *names, queue=f"{name}-children")
    await end(storage, parent, Waiting("children", width))


@clause("FAN-2", "FAN-1")
async def test_a_wide_fan_in_counts_each_child_once(storage: Storage) -> None:
    width = 2 * bounds.MAX_BATCH
    await fan_out_widely(storage, "parent", width)

    for left in range(width, 0, -bounds.MAX_BATCH):
        assert (await get_one(storage, "parent")).pending == left
        await end_all(storage, await claim_some(storage, bounds.MAX_BATCH, "parent-children"))

    assert await states(storage, "parent") == [S.READY]
    assert await the_wait(storage) == (StepKind.CHILDREN, [])


async def end_all(storage: Storage, runs: list[JobRecord]) -> None:
    for run in runs:
        await end(storage, run, GOOD)


@clause("FAN-8")
async def test_upkeep_repeated_after_a_fan_in_changes_nothing(storage: Storage) -> None:
    await storage.enqueue([job("root"), *(job(f"leaf {n}", depends_on=("root",)) for n in range(3))])
    await end_one(storage, BAD)
    await keep_up(storage)
    before = await look(storage)

    assert (await storage.upkeep()).total == 0
    assert await look(storage) == before
