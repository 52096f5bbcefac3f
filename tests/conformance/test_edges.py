"""Edges: two parties at one instant, replies that were lost, jobs that end while others look. The clock stands still.

What happens at the very end of a lease, of a wait or of a batch is in the chapter of its clause; here are the
stories in which two clauses meet.
"""

import pytest

from aiq import bounds
from aiq.errors import LeaseLost, LostReason, TooLarge
from aiq.model import (
    Band,
    Cause,
    ChunkKind,
    Died,
    JobError,
    JobRecord,
    Released,
    Sent,
    State,
    StepKind,
    Succeeded,
    Suspended,
    Waiting,
)
from aiq.storage import Storage, append, claim, read, settle
from aiq.testing.actions import (
    BAD,
    GOOD,
    changes,
    chunks,
    claim_one,
    claim_some,
    end,
    end_one,
    enqueue_one,
    failed,
    get_one,
    job,
    keep_up,
    look,
    spawn,
    start,
    states,
    wish,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause

S, K = State, ChunkKind


async def at_the_end_of_a_lease(storage: Storage, clock: Clock) -> JobRecord:
    run = await start(storage)
    clock.set_ms(run.expires_at_ms or 0)
    return run


@clause("LEASE-4", "LEASE-5")
async def test_at_the_end_of_its_lease_a_run_may_not_renew_but_may_succeed(storage: Storage, clock: Clock) -> None:
    run = await at_the_end_of_a_lease(storage, clock)

    (lost,) = await storage.renew([run.lease])
    answer = await end(storage, run, Succeeded(b"r"))

    assert isinstance(lost, LeaseLost)
    assert (answer.state, answer.late) == (S.SUCCEEDED, True)


@clause("LEASE-5", "CLAIM-1", "CLAIM-7")
async def test_at_the_end_of_a_lease_a_success_that_comes_first_wins_over_a_claim(
    storage: Storage, clock: Clock
) -> None:
    run = await at_the_end_of_a_lease(storage, clock)

    await end(storage, run, Succeeded(b"r"))

    assert await claim_some(storage, 1, worker="other") == []


@clause("LEASE-1", "LEASE-11", "CLAIM-1")
async def test_at_the_end_of_a_lease_a_claim_that_comes_first_wins_over_a_success(
    storage: Storage, clock: Clock
) -> None:
    run = await at_the_end_of_a_lease(storage, clock)
    other = await claim_one(storage, worker="other")

    with pytest.raises(LeaseLost) as lost:
        await end(storage, run, Succeeded(b"late"))

    assert lost.value.reason is LostReason.TAKEN
    assert await get_one(storage) == other


@clause("LEASE-5", "RETRY-7")
async def test_a_late_failure_is_a_failure_and_no_stall(storage: Storage, clock: Clock) -> None:
    run = await at_the_end_of_a_lease(storage, clock)

    await end(storage, run, failed())

    record = await get_one(storage)
    assert (record.failures, record.stalls, record.late) == (1, 0, True)


@clause("CLAIM-3", "STATE-2")
async def test_a_claim_sent_again_after_its_job_has_ended_does_not_lease_it_again(storage: Storage) -> None:
    await storage.enqueue([job("a"), job("b")])
    request = wish(1)
    (run,) = await claim(storage, request)
    await end(storage, run, GOOD)

    assert await claim(storage, request) == ()
    assert await states(storage, "a", "b") == [S.SUCCEEDED, S.READY]


@clause("CLAIM-3", "CLAIM-8")
async def test_a_claim_sent_again_does_not_give_a_job_that_its_worker_has_under_another_claim(
    storage: Storage,
) -> None:
    await storage.enqueue([job("a"), job("b")])
    first = wish(2, number=1)
    a, b = await claim(storage, first)
    await end(storage, a, Released())
    again = await claim_one(storage, worker="other")

    assert again.id == "a"
    assert await claim(storage, first) == (b,)


@clause("SIG-2", "STATE-5")
async def test_a_signal_that_came_first_leaves_no_trace_of_a_wait_in_the_state(storage: Storage) -> None:
    run = await start(storage)
    await storage.send("job", "go", "1", b"yes")
    before = await look(storage)

    await end(storage, run, Suspended("wait", "go"))

    assert changes(before, await look(storage))["job"].keys() == {"kept_signals", "events", "steps", "remembers"}


@clause("FLOW-14", "CANCEL-8")
async def test_a_child_that_dies_after_its_parent_was_cancelled_is_dead_and_the_parent_is_as_it_was(
    storage: Storage,
) -> None:
    parent = await start(storage, "parent")
    await spawn(storage, parent, "child", queue="children")
    await end(storage, parent, Waiting("children", None))
    child = await claim_one(storage, "children")
    await storage.cancel(["parent"])
    before = await get_one(storage, "parent")

    await end(storage, child, BAD)
    await keep_up(storage)

    assert await states(storage, "parent", "child") == [S.CANCELLED, S.DEAD]
    assert await get_one(storage, "parent") == before
    assert await storage.get_steps("parent") == []


@clause("FAN-3", "FLOW-12")
async def test_two_children_that_fail_in_one_exchange_move_their_parent_once(storage: Storage) -> None:
    parent = await start(storage, "parent")
    await spawn(storage, parent, "a", "b", "c", queue="children")
    await end(storage, parent, Waiting("children", 3))
    a, b, _ = await claim_some(storage, 3, "children")
    events = (await get_one(storage, "parent")).events

    await end(storage, b, BAD)
    await end(storage, a, BAD)
    await keep_up(storage)

    record = await get_one(storage, "parent")
    assert (record.state, record.events) == (S.READY, events + 1)
    (step,) = await storage.get_steps("parent")
    assert (step.kind, step.value) == (StepKind.CHILD_FAILED, b"b")


@clause("FLOW-13", "CANCEL-2")
async def test_the_siblings_of_a_failed_child_are_cancelled_where_they_stand(storage: Storage) -> None:
    parent = await start(storage, "parent")
    await spawn(storage, parent, "fails", "runs", "stands", queue="children")
    await spawn(storage, parent, "sleeps", delay_ms=50)
    await end(storage, parent, Waiting("children", 4))
    fails, runs = await claim_some(storage, 2, "children")

    await end(storage, fails, BAD)
    await keep_up(storage)

    assert await states(storage, "stands", "sleeps", "runs") == [S.CANCELLED, S.CANCELLED, S.RUNNING]
    assert (await get_one(storage, "runs")).cancel_requested_at_ms is not None
    await end(storage, runs, Succeeded(b"in time"))
    assert await states(storage, "runs", "parent") == [S.SUCCEEDED, S.READY]


@clause("STREAM-1", "STREAM-4", "STREAM-9")
async def test_a_reader_at_the_fortieth_item_is_told_that_all_of_them_are_void(storage: Storage) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks(*(f"old {n}" for n in range(40))))
    await end(storage, run, failed())
    run = await claim_one(storage)

    await append(storage, run.lease, chunks("new 1", "new 2"))

    page = (await read(storage, "job", after=40)).chunks
    assert [(chunk.number, chunk.kind, chunk.data) for chunk in page] == [
        (41, K.RESET, b'{"void":[[1,40]]}'),
        (42, K.DATA, b"new 1"),
        (43, K.DATA, b"new 2"),
    ]


@clause("STREAM-9", "STREAM-8")
async def test_a_reader_between_two_runs_sees_the_first_and_that_the_job_is_not_over(storage: Storage) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("a"))
    await end(storage, run, failed())

    page = await read(storage, "job")

    assert ([chunk.data for chunk in page.chunks], page.state) == ([b"a"], S.READY)


@clause("RETRY-11", "RETRY-3")
async def test_a_run_whose_result_is_too_large_can_fail_instead(storage: Storage) -> None:
    run = await start(storage)
    with pytest.raises(TooLarge):
        await end(storage, run, Succeeded(b"x" * (bounds.MAX_RESULT_BYTES + 1)))

    await end(storage, run, Died(JobError(type="TooLarge", message="m", cause=Cause.RESULT)))

    record = await get_one(storage)
    assert (record.state, record.cause, record.result) == (S.DEAD, Cause.RESULT, None)


@clause("CANCEL-3", "CANCEL-4")
async def test_a_cancel_and_a_success_end_in_whichever_was_first(storage: Storage) -> None:
    await storage.enqueue([job("a"), job("b")])
    a, b = await claim_some(storage, 2)

    await end(storage, a, GOOD)
    await storage.cancel(["a"], force=True)
    await storage.cancel(["b"], force=True)
    with pytest.raises(LeaseLost):
        await end(storage, b, GOOD)

    assert await states(storage, "a", "b") == [S.SUCCEEDED, S.CANCELLED]


@clause("CANCEL-5", "CANCEL-4")
async def test_a_run_that_is_asked_to_stop_and_expires_before_the_grace_is_cancelled_by_its_expiry(
    storage: Storage, clock: Clock
) -> None:
    run = await start(storage, lease_ms=10)
    await storage.cancel(["job"])
    clock.advance_ms(10)

    done = await storage.upkeep()

    assert (done.revoked, done.cancelled) == (1, 0)
    record = await get_one(storage)
    assert (record.state, record.finished_at_ms, record.cause) == (S.CANCELLED, clock(), None)
    assert run.fence == record.fence


@clause("STORE-4", "CLAIM-9")
async def test_what_expires_in_a_paused_queue_is_revoked_and_waits(storage: Storage, clock: Clock) -> None:
    run = await start(storage)
    await storage.pause("default")
    clock.advance_ms(run.lease_ms)

    assert await claim_some(storage, 1) == []

    assert await states(storage, "job") == [S.READY]
    await storage.resume("default")
    assert (await claim_one(storage)).fence == 2


@clause("CLAIM-6", "ENQ-6")
async def test_an_old_instant_gives_no_precedence(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job("now"), job("past", at_ms=0), job("just now", at_ms=clock())])

    assert [run.id for run in await claim_some(storage, 3)] == ["now", "past", "just now"]


@clause("CLAIM-6")
async def test_jobs_of_one_instant_are_told_apart_by_the_storage(storage: Storage) -> None:
    for name in ("z", "a", "m"):
        await enqueue_one(storage, name, band=Band.HIGH)

    runs = await claim_some(storage, 3)

    assert [run.id for run in runs] == ["z", "a", "m"]
    assert [run.position for run in runs] == [1, 2, 3]


@clause("STATE-6", "FAN-1", "CLAIM-3")
async def test_a_success_whose_reply_was_lost_is_no_lost_lease(storage: Storage, clock: Clock) -> None:
    run = await start(storage)
    await enqueue_one(storage, "waits", depends_on=("job",))
    first = await settle(storage, run.lease, Succeeded(b"r"), settlement_id="1")
    await end_one(storage, GOOD)
    clock.advance_ms(bounds.DEFAULT_LEASE_MS)
    before = await look(storage)

    assert await settle(storage, run.lease, Succeeded(b"r"), settlement_id="1") == first
    assert await look(storage) == before


@clause("STATE-6", "SIG-1")
async def test_a_wait_whose_reply_was_lost_and_that_is_over_by_now_is_not_begun_again(storage: Storage) -> None:
    run = await start(storage)
    waiting = Suspended("wait", "go")
    first = await settle(storage, run.lease, waiting, settlement_id="1")
    await storage.send("job", "go", "1", b"yes")
    again = await claim_one(storage)

    assert await settle(storage, run.lease, waiting, settlement_id="1") == first
    assert await get_one(storage) == again


@clause("SIG-7", "CANCEL-1")
async def test_a_suspended_job_that_was_cancelled_neither_times_out_nor_takes_a_signal(
    storage: Storage, clock: Clock
) -> None:
    await end(storage, await start(storage), Suspended("wait", "go", 10))
    assert await storage.send("job", "stop", "1", b"") == Sent(bound=False)
    await storage.cancel(["job"])
    clock.advance_ms(10)

    assert (await storage.upkeep()).timed_out == 0

    assert await states(storage, "job") == [S.CANCELLED]
    assert await storage.get_steps("job") == []


@clause("FLOW-9", "FAN-1")
async def test_a_child_that_is_tried_again_counts_when_it_has_ended_for_good(storage: Storage) -> None:
    parent = await start(storage, "parent")
    await spawn(storage, parent, "child", queue="children", max_attempts=2)
    await end(storage, parent, Waiting("children", 1))

    await end_one(storage, failed(), "children")
    assert (await get_one(storage, "parent")).pending == 1
    await end_one(storage, GOOD, "children")

    assert await states(storage, "parent") == [S.READY]


@clause("FLOW-10", "LEASE-5")
async def test_a_late_wait_whose_children_have_ended_is_over_at_once(storage: Storage, clock: Clock) -> None:
    parent = await start(storage, "parent")
    await spawn(storage, parent, "child", queue="children")
    await end_one(storage, GOOD, "children")
    clock.advance_ms(parent.lease_ms)

    answer = await end(storage, parent, Waiting("children", 1))

    assert (answer.state, answer.late) == (S.READY, True)


@clause("FLOW-11", "FAN-4")
async def test_a_parent_that_failed_and_runs_again_waits_for_the_same_children(storage: Storage) -> None:
    parent = await start(storage, "parent", max_attempts=3)
    await spawn(storage, parent, "child", queue="children")
    await end(storage, parent, failed())
    parent = await claim_one(storage)
    assert (await end(storage, parent, Waiting("children", 1))).state is S.WAITING

    await end_one(storage, GOOD, "children")

    (step,) = await storage.get_steps("parent")
    assert (step.kind, step.fence) == (StepKind.CHILDREN, 2)


@clause("FLOW-3", "FLOW-6")
async def test_a_job_that_waits_for_a_dead_one_and_is_cancelled_first_stays_cancelled(storage: Storage) -> None:
    await storage.enqueue([job("a"), job("last", depends_on=("a",))])
    await end_one(storage, BAD)
    await storage.cancel(["last"])
    before = await get_one(storage, "last")

    await keep_up(storage)

    assert await get_one(storage, "last") == before
