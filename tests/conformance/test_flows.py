"""Chapter 5: dependencies, children, fan-in."""

from dataclasses import replace

import pytest

from aiq.errors import Conflict, FlowInvalid, LeaseLost
from aiq.model import (
    Cause,
    Lane,
    Outcome,
    Released,
    Settled,
    State,
    StepKind,
    Waiting,
)
from aiq.storage import Storage
from aiq.testing.actions import (
    BAD,
    GOOD,
    claim_one,
    claim_some,
    end,
    end_one,
    enqueue_one,
    fan_out,
    get_one,
    job,
    keep_up,
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


@clause("FLOW-1", "FAN-4")
async def test_a_job_waits_until_each_of_its_dependencies_has_ended(storage: Storage) -> None:
    await storage.enqueue([job("a"), job("b"), job("last", depends_on=("a", "b"))])
    assert (await get_one(storage, "last")).pending == 2

    await end_one(storage, GOOD)
    assert await states(storage, "last") == [S.WAITING]
    assert (await get_one(storage, "last")).pending == 1
    assert [run.id for run in await claim_some(storage, 5)] == ["b"]


@clause("FLOW-2")
async def test_a_job_whose_last_dependency_ended_well_is_ready_behind_the_others(storage: Storage) -> None:
    await storage.enqueue([job("a"), job("last", depends_on=("a",)), job("b")])
    await end_one(storage, GOOD)

    record = await get_one(storage, "last")
    assert (record.state, record.lane, record.pending) == (S.READY, Lane.FRESH, 0)
    assert [run.id for run in await claim_some(storage, 5)] == ["b", "last"]


@clause("FLOW-2")
async def test_a_job_whose_instant_is_still_ahead_is_scheduled_when_its_dependencies_have_ended(
    storage: Storage, clock: Clock
) -> None:
    made_at = clock()
    await storage.enqueue([job("a"), job("delayed", depends_on=("a",), delay_ms=100)])
    await storage.enqueue([job("dated", depends_on=("a",), at_ms=made_at + 50)])
    clock.advance_ms(50)
    await end_one(storage, GOOD)

    assert await states(storage, "delayed", "dated") == [S.SCHEDULED, S.READY]
    assert (await get_one(storage, "delayed")).due_ms == made_at + 100


@clause("FLOW-3")
@pytest.mark.parametrize("bad_end", ["dead", "cancelled"])
async def test_a_job_whose_dependency_ended_badly_dies_and_is_never_ready(storage: Storage, bad_end: str) -> None:
    await storage.enqueue([job("a"), job("b"), job("last", depends_on=("a", "b"))])
    if bad_end == "dead":
        await end_one(storage, BAD)
    else:
        await storage.cancel(["a"])
    await end_one(storage, GOOD)
    assert await states(storage, "last") == [S.WAITING]

    assert (await storage.upkeep()).outbox == 1

    record = await get_one(storage, "last")
    assert (record.state, record.cause) == (S.DEAD, Cause.UPSTREAM)
    (error,) = record.errors
    assert (error.type, error.cause) == ("UpstreamFailed", Cause.UPSTREAM)
    assert "a" in error.message.split()


@clause("FLOW-3", "FAN-3")
async def test_two_dependencies_that_fail_kill_a_job_once(storage: Storage) -> None:
    await storage.enqueue([job("a"), job("b"), job("last", depends_on=("a", "b"))])
    await end_one(storage, BAD)
    await end_one(storage, BAD)
    await keep_up(storage)

    record = await get_one(storage, "last")
    assert (record.state, record.events, len(record.errors)) == (S.DEAD, 2, 1)


@clause("FLOW-4", "LIVE-2")
async def test_a_death_upstream_goes_down_the_whole_chain(storage: Storage) -> None:
    chain = [job("0"), *(job(str(n), depends_on=(str(n - 1),)) for n in range(1, 6))]
    await storage.enqueue(chain)
    await end_one(storage, BAD)

    await keep_up(storage)

    assert await states(storage, *(str(n) for n in range(6))) == [S.DEAD] * 6
    assert (await get_one(storage, "5")).cause is Cause.UPSTREAM


@clause("FLOW-5")
async def test_a_job_that_continues_runs_when_all_have_ended_however_they_did(storage: Storage) -> None:
    await storage.enqueue([job("a"), job("b"), job("c")])
    await enqueue_one(storage, "last", depends_on=("a", "b", "c"), on_upstream="continue")
    await end_one(storage, BAD)
    await storage.cancel(["b"])
    await end_one(storage, GOOD)
    await keep_up(storage)

    assert [run.id for run in await claim_some(storage, 5)] == ["last"]


@clause("FLOW-6")
async def test_what_ended_before_counts_at_once(storage: Storage) -> None:
    await storage.enqueue([job("good"), job("bad")])
    await end_one(storage, GOOD)
    await end_one(storage, BAD)

    answers = await storage.enqueue(
        [
            job("runs", depends_on=("good",)),
            job("goes on", depends_on=("good", "bad"), on_upstream="continue"),
            job("dies", depends_on=("good", "bad")),
            job("later", depends_on=("good",), delay_ms=1),
        ]
    )

    assert [answer.state for answer in answers] == [S.READY, S.READY, S.WAITING, S.SCHEDULED]
    await keep_up(storage)
    assert await states(storage, "dies") == [S.DEAD]


@clause("FLOW-7", "FLOW-1")
async def test_a_batch_may_hold_a_whole_graph(storage: Storage) -> None:
    await storage.enqueue(
        [job("top"), job("l", depends_on=("top",)), job("r", depends_on=("top",)), job("end", depends_on=("l", "r"))]
    )
    order = [(await end_one(storage, GOOD)).id for _ in range(4)]

    assert order == ["top", "l", "r", "end"]


@clause("FLOW-1", "FAN-1")
async def test_a_dependency_named_twice_counts_once(storage: Storage) -> None:
    await storage.enqueue([job("a"), job("last", depends_on=("a", "a"))])
    assert (await get_one(storage, "last")).pending == 1

    await end_one(storage, GOOD)

    assert await states(storage, "last") == [S.READY]


@clause("FLOW-8")
async def test_a_child_knows_its_parent_and_its_key(storage: Storage) -> None:
    parent = await start(storage, "parent")
    await spawn(storage, parent, "child")

    child = await get_one(storage, "child")

    assert (child.parent_id, child.child_of, child.state) == ("parent", "children", S.READY)
    assert (await get_one(storage, "parent")).state is S.RUNNING


@clause("FLOW-9", "FLOW-11")
async def test_a_parent_that_waits_for_all_is_ready_when_the_last_has_ended(storage: Storage) -> None:
    await fan_out(storage, "a", "b", "c")
    await enqueue_one(storage, "other")
    await end_child(storage)
    await end_child(storage, BAD)
    assert await states(storage, "parent") == [S.WAITING]
    assert (await get_one(storage, "parent")).pending == 1

    await end_child(storage)

    parent = await claim_one(storage)
    assert (parent.id, parent.lane, parent.wait_key, parent.remembers, parent.pending) == (
        "parent",
        Lane.RETURNED,
        None,
        True,
        0,
    )
    assert await the_wait(storage) == (StepKind.CHILDREN, [])


@clause("FLOW-9", "FLOW-12", "FLOW-13")
async def test_a_wait_for_all_to_succeed_is_hopeless_at_the_first_bad_end(storage: Storage) -> None:
    await fan_out(storage, "a", "b", "c", need=3)
    await end_child(storage)

    await end_child(storage, BAD)

    assert await states(storage, "parent") == [S.READY]
    assert await the_wait(storage) == (StepKind.CHILD_FAILED, ["b"])
    await keep_up(storage)
    assert await states(storage, "c") == [S.CANCELLED]


@clause("FLOW-9", "FLOW-12", "FLOW-13")
async def test_a_wait_for_some_is_over_when_they_have_succeeded_and_names_them(storage: Storage) -> None:
    await fan_out(storage, "a", "b", "c", "d", need=2)
    a, b, c, d = await claim_some(storage, 4, "children")
    await end(storage, c, GOOD)
    await end(storage, a, BAD)
    assert await states(storage, "parent") == [S.WAITING]

    await end(storage, b, GOOD)

    assert await the_wait(storage) == (StepKind.CHILDREN, ["c", "b"])
    await keep_up(storage)
    assert (await storage.renew([d.lease]))[0].cancel_requested


@clause("FLOW-9", "FLOW-12")
async def test_a_wait_for_some_is_hopeless_when_too_few_are_left(storage: Storage) -> None:
    await fan_out(storage, "a", "b", "c", need=2)
    await end_child(storage, BAD)
    assert await states(storage, "parent") == [S.WAITING]

    await end_child(storage, BAD)

    assert await the_wait(storage) == (StepKind.CHILD_FAILED, ["a"])


@clause("FLOW-13")
async def test_children_that_a_run_leaves_go_on(storage: Storage) -> None:
    await fan_out(storage, "a", "b", need=1, rest="leave")
    await end_child(storage)
    await keep_up(storage)

    assert await states(storage, "parent", "b") == [S.READY, S.READY]
    await end_child(storage)
    assert (await claim_one(storage)).id == "parent"


@clause("FLOW-10")
@pytest.mark.parametrize("need", [None, 0])
async def test_a_parent_without_children_is_ready_at_once(storage: Storage, need: int | None) -> None:
    parent = await start(storage, "parent")

    assert await end(storage, parent, Waiting("children", need)) == Settled(S.READY)

    assert await the_wait(storage) == (StepKind.CHILDREN, [])
    assert (await claim_one(storage)).lane is Lane.RETURNED


@clause("FLOW-10")
@pytest.mark.parametrize(
    ("need", "kind"), [(None, StepKind.CHILDREN), (1, StepKind.CHILDREN), (2, StepKind.CHILD_FAILED)]
)
async def test_a_parent_whose_children_ended_before_it_waited_is_ready_at_once(
    storage: Storage, need: int | None, kind: StepKind
) -> None:
    parent = await start(storage, "parent")
    await spawn(storage, parent, "a", "b", queue="children")
    await end_child(storage)
    await end_child(storage, BAD)

    assert (await end(storage, parent, Waiting("children", need))).state is S.READY
    assert (await the_wait(storage))[0] is kind


@clause("FLOW-10", "SIG-6")
async def test_a_wait_that_is_remembered_is_not_waited_for_again(storage: Storage) -> None:
    await fan_out(storage, "a")
    await end_child(storage)
    parent = await claim_one(storage)
    before = await the_wait(storage)

    assert (await end(storage, parent, Waiting("children", None))).state is S.READY
    assert await the_wait(storage) == before


@clause("FLOW-11", "STEP-6")
async def test_the_wait_bears_the_fence_of_the_run_that_waited(storage: Storage) -> None:
    await enqueue_one(storage, "parent")
    await end_one(storage, Released())
    parent = await claim_one(storage)
    await spawn(storage, parent, "a", queue="children")
    await end(storage, parent, Waiting("children", None))
    await end_child(storage)

    assert [step.fence for step in await storage.get_steps("parent")] == [2]


@clause("FLOW-14")
@pytest.mark.parametrize("child_ends", [GOOD, BAD])
async def test_an_ended_parent_is_not_changed_by_a_child_that_ends_later(storage: Storage, child_ends: Outcome) -> None:
    parent = await start(storage, "parent")
    await spawn(storage, parent, "child", queue="children")
    await storage.cancel(["parent"], force=True)
    before = await get_one(storage, "parent")

    await end_child(storage, child_ends)
    await keep_up(storage)

    assert await get_one(storage, "parent") == before


@clause("LEASE-6", "FLOW-8")
async def test_a_zombie_cannot_spawn(storage: Storage, clock: Clock) -> None:
    zombie = await start(storage, "parent")
    clock.advance_ms(zombie.lease_ms)
    await claim_one(storage)

    with pytest.raises(LeaseLost):
        await spawn(storage, zombie, "child")

    assert await states(storage, "child") == [None]


@clause("FLOW-15")
async def test_a_child_may_not_depend_on_a_job_that_may_wait_for_its_parent(storage: Storage) -> None:
    parent = await start(storage, "parent")
    await enqueue_one(storage, "later", depends_on=("parent",))

    with pytest.raises(FlowInvalid):
        await storage.enqueue([job("child", child_of="children", depends_on=("later",))], parent.lease)

    assert await states(storage, "child") == [None]


@clause("FLOW-16")
@pytest.mark.parametrize("stands", ["alone", "under another key", "under another parent", "earlier in the batch"])
async def test_a_job_that_stands_elsewhere_is_no_child_of_this_wait(storage: Storage, stands: str) -> None:
    parent, other = await start(storage, "parent"), await start(storage, "other")
    child = job("child", child_of="children")
    batch = [job("sibling", child_of="children"), child]
    if stands == "alone":
        await storage.enqueue([replace(child, child_of=None)])
    elif stands == "earlier in the batch":
        batch.insert(0, replace(child, child_of="others"))
    else:
        owner, key = (parent, "others") if stands == "under another key" else (other, "children")
        await storage.enqueue([replace(child, child_of=key)], owner.lease)

    with pytest.raises(Conflict) as refusal:
        await storage.enqueue(batch, parent.lease)

    assert refusal.value.reason == "parent"
    assert await states(storage, "sibling") == [None]


@clause("FLOW-2", "FAN-1", "FLOW-15")
async def test_a_job_may_depend_on_jobs_and_be_a_child_at_once(storage: Storage) -> None:
    parent = await start(storage, "parent")
    await storage.enqueue(
        [
            job("first", child_of="children", queue="children"),
            job("second", child_of="children", queue="children", depends_on=("first",)),
        ],
        parent.lease,
    )
    await end(storage, parent, Waiting("children", 2))

    await end_child(storage)
    assert await states(storage, "parent", "second") == [S.WAITING, S.READY]
    await end_child(storage)

    assert await states(storage, "parent") == [S.READY]
