"""Chapter 1, cancelling: at once where nobody runs the job, by request where somebody does."""

import pytest

from aiq import bounds
from aiq.errors import InvalidInput, LeaseLost, LostReason
from aiq.model import (
    CancelAnswer,
    Cancelled,
    Outcome,
    Released,
    Sleeping,
    State,
    Succeeded,
    Suspended,
    Waiting,
)
from aiq.storage import Storage, append
from aiq.testing.actions import (
    BAD,
    GOOD,
    chunks,
    claim_one,
    claim_some,
    end,
    enqueue_one,
    failed,
    get_one,
    job,
    keep_up,
    look,
    spawn,
    start,
    states,
    value,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause

S = State


@clause("CANCEL-1")
async def test_a_job_that_nobody_runs_is_cancelled_at_once_and_never_claimed(storage: Storage, clock: Clock) -> None:
    suspended = await start(storage, "suspended")
    await end(storage, suspended, Suspended("wait", "go", 50))
    parent = await start(storage, "waiting")
    await spawn(storage, parent, "child", queue="children")
    await end(storage, parent, Waiting("children", None))
    await storage.enqueue([job("ready"), job("scheduled", delay_ms=50)])
    parked = ["suspended", "waiting", "ready", "scheduled"]

    answers = await storage.cancel(parked)

    assert answers == [CancelAnswer(name, S.CANCELLED) for name in parked]
    clock.advance_ms(50)
    await keep_up(storage)
    assert await claim_some(storage, 10) == []
    assert await states(storage, *parked) == [S.CANCELLED] * 4
    assert (await get_one(storage, "ready")).finished_at_ms == clock() - 50


@clause("CANCEL-2", "LEASE-12", "STREAM-11")
async def test_the_holder_learns_of_a_cancel_at_whatever_it_does_next(storage: Storage, clock: Clock) -> None:
    run = await start(storage)
    assert not (await storage.renew([run.lease]))[0].cancel_requested

    assert await storage.cancel(["job"]) == [CancelAnswer("job", S.RUNNING, requested=True)]

    assert (await get_one(storage)).cancel_requested_at_ms == clock()
    assert (await storage.renew([run.lease]))[0].cancel_requested
    assert (await append(storage, run.lease, chunks("a"))).cancel_requested
    assert (await storage.save_step(run.lease, value("plan"))).cancel_requested


@clause("CANCEL-3", "STATE-2")
async def test_a_run_that_succeeds_before_the_cancel_is_final_has_succeeded(storage: Storage) -> None:
    run = await start(storage)
    await storage.cancel(["job"])

    assert (await end(storage, run, Succeeded(b"paid for"))).state is S.SUCCEEDED
    assert (await get_one(storage)).result == b"paid for"


OTHER_ENDS = [
    failed(),
    failed(50),
    BAD,
    Cancelled(),
    Released(),
    Released(50),
    Suspended("wait", "go"),
    Waiting("children", None),
    Sleeping("nap", 50),
]


@clause("CANCEL-4")
@pytest.mark.parametrize("outcome", OTHER_ENDS, ids=lambda outcome: type(outcome).__name__)
async def test_a_run_that_ends_otherwise_after_a_cancel_request_is_cancelled(
    storage: Storage, outcome: Outcome
) -> None:
    run = await start(storage)
    await storage.cancel(["job"])

    assert (await end(storage, run, outcome)).state is S.CANCELLED
    record = await get_one(storage)
    assert (record.state, record.lease_id, record.cause) == (S.CANCELLED, None, None)


@clause("CANCEL-4", "RETRY-7")
async def test_a_run_with_a_cancel_request_whose_lease_expires_is_cancelled_and_not_retried(
    storage: Storage, clock: Clock
) -> None:
    run = await start(storage)
    await storage.cancel(["job"])
    clock.advance_ms(run.lease_ms)

    assert await claim_some(storage, 1) == []
    assert await states(storage, "job") == [S.CANCELLED]


@clause("CANCEL-5", "LEASE-7")
async def test_a_sweep_ends_a_run_that_did_not_heed_a_cancel_within_the_grace(storage: Storage, clock: Clock) -> None:
    run = await start(storage, lease_ms=10 * bounds.CANCEL_GRACE_MS)
    await storage.cancel(["job"])

    clock.advance_ms(bounds.CANCEL_GRACE_MS - 1)
    assert (await storage.upkeep()).cancelled == 0
    clock.advance_ms(1)
    assert (await storage.upkeep()).cancelled == 1

    assert await states(storage, "job") == [S.CANCELLED]
    with pytest.raises(LeaseLost) as lost:
        await end(storage, run, GOOD)
    assert lost.value.reason is LostReason.CANCELLED


@clause("CANCEL-6", "LEASE-11")
async def test_a_forced_cancel_takes_a_running_job_from_its_holder(storage: Storage) -> None:
    run = await start(storage)

    assert await storage.cancel(["job"], force=True) == [CancelAnswer("job", S.CANCELLED)]

    before = await look(storage)
    (lost,) = await storage.renew([run.lease])
    assert isinstance(lost, LeaseLost)
    assert lost.reason is LostReason.CANCELLED
    with pytest.raises(LeaseLost):
        await end(storage, run, GOOD)
    assert await look(storage) == before


@clause("CANCEL-6")
async def test_a_forced_cancel_ends_what_was_only_asked_to_stop(storage: Storage) -> None:
    await start(storage)
    await storage.cancel(["job"])

    await storage.cancel(["job"], force=True)

    assert await states(storage, "job") == [S.CANCELLED]


@clause("CANCEL-7")
async def test_cancelling_twice_changes_nothing(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job("runs"), job("stands")])
    await claim_one(storage)
    first = await storage.cancel(["runs", "stands"])
    before = await look(storage)
    clock.advance_ms(5)

    assert await storage.cancel(["runs", "stands"]) == first
    assert await look(storage) == before


@clause("CANCEL-7")
@pytest.mark.parametrize("force", [False, True])
async def test_cancelling_an_ended_job_reports_its_state(storage: Storage, force: bool) -> None:
    await end(storage, await start(storage, "good"), GOOD)
    await end(storage, await start(storage, "bad"), BAD)
    before = await look(storage)

    assert await storage.cancel(["bad", "good", "ghost"], force=force) == [
        CancelAnswer("bad", S.DEAD),
        CancelAnswer("good", S.SUCCEEDED),
        CancelAnswer("ghost", None),
    ]
    assert await look(storage) == before


@clause("CANCEL-8")
@pytest.mark.parametrize("end_of_parent", ["cancelled", "dead"])
async def test_children_go_with_their_parent(storage: Storage, end_of_parent: str) -> None:
    parent = await start(storage, "parent")
    await spawn(storage, parent, "runs", queue="children")
    runs = await claim_one(storage, "children")
    await spawn(storage, parent, "stands", queue="children")
    await spawn(storage, parent, "done", queue="done")
    await end(storage, await claim_one(storage, "done"), GOOD)
    if end_of_parent == "cancelled":
        await storage.cancel(["parent"], force=True)
    else:
        await end(storage, parent, BAD)

    await keep_up(storage)

    assert await states(storage, "stands", "runs", "done") == [S.CANCELLED, S.RUNNING, S.SUCCEEDED]
    assert (await storage.renew([runs.lease]))[0].cancel_requested


@clause("CANCEL-8")
async def test_grandchildren_go_with_their_grandparent(storage: Storage) -> None:
    parent = await start(storage, "parent")
    await spawn(storage, parent, "child")
    child = await claim_one(storage)
    await spawn(storage, child, "grandchild")
    await end(storage, child, Waiting("children", None))
    await end(storage, parent, Waiting("children", None))

    await storage.cancel(["parent"])
    await keep_up(storage)

    assert await states(storage, "parent", "child", "grandchild") == [S.CANCELLED] * 3


@clause("CANCEL-8")
async def test_the_children_of_a_parent_that_succeeds_are_left_alone(storage: Storage) -> None:
    parent = await start(storage, "parent")
    await spawn(storage, parent, "child")
    await end(storage, parent, GOOD)
    await keep_up(storage)

    assert await states(storage, "child") == [S.READY]


@clause("CANCEL-9")
@pytest.mark.parametrize("end_of_parent", ["cancelled", "dead"])
async def test_a_child_that_is_to_be_left_outlives_its_parent(storage: Storage, end_of_parent: str) -> None:
    parent = await start(storage, "parent")
    await spawn(storage, parent, "goes")
    await spawn(storage, parent, "stays", on_parent="leave")
    if end_of_parent == "cancelled":
        await storage.cancel(["parent"], force=True)
    else:
        await end(storage, parent, BAD)

    await keep_up(storage)

    assert await states(storage, "goes", "stays") == [S.CANCELLED, S.READY]
    assert (await get_one(storage, "stays")).on_parent == "leave"


@clause("CANCEL-9", "ENQ-8")
@pytest.mark.parametrize("word", ["leave", "drop"])
async def test_a_job_without_a_parent_says_nothing_of_one(storage: Storage, word: str) -> None:
    with pytest.raises(InvalidInput):
        await storage.enqueue([job("good"), job("bad", on_parent=word)])

    assert await states(storage, "good") == [None]


@clause("CANCEL-1", "STORE-9")
async def test_a_cancelled_job_keeps_what_it_had(storage: Storage) -> None:
    run = await start(storage)
    await storage.save_step(run.lease, value("plan"))
    await end(storage, run, failed(message="first"))
    await enqueue_one(storage, "other", queue="other")

    await storage.cancel(["job"])

    record = await get_one(storage)
    assert (record.failures, [error.message for error in record.errors]) == (1, ["first"])
    assert [step.key for step in await storage.get_steps("job")] == ["plan"]
