"""Chapter 3: failures, stalls, releases, death."""

import pytest

from aiq import bounds
from aiq.errors import TooLarge
from aiq.model import (
    Cause,
    Died,
    JobError,
    Lane,
    Outcome,
    Released,
    Retried,
    Sleeping,
    State,
    Succeeded,
    Suspended,
    Waiting,
)
from aiq.rules.fingerprints import OF_CAUSE
from aiq.storage import Storage
from aiq.testing.actions import (
    GOOD,
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
    start,
    states,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause

S = State


@clause("RETRY-1")
async def test_a_failed_run_is_tried_again_after_the_delay_it_names(storage: Storage, clock: Clock) -> None:
    run = await start(storage)

    assert (await end(storage, run, failed(50))).state is S.SCHEDULED

    record = await get_one(storage)
    assert (record.failures, record.stalls, record.due_ms, record.lane) == (1, 0, clock() + 50, Lane.FRESH)
    assert (record.lease_id, record.owner, record.expires_at_ms) == (None, None, None)
    clock.advance_ms(49)
    assert await claim_some(storage, 1) == []
    clock.advance_ms(1)
    assert (await claim_one(storage)).attempt == 2


@clause("RETRY-1")
async def test_a_failed_run_without_a_delay_goes_behind_those_that_are_ready(storage: Storage) -> None:
    run = await start(storage)
    await enqueue_one(storage, "other")

    assert (await end(storage, run, failed())).state is S.READY

    assert [run.id for run in await claim_some(storage, 2)] == ["other", "job"]


@clause("RETRY-2")
@pytest.mark.parametrize("attempts", [1, 2, 3])
async def test_a_job_is_dead_when_its_last_attempt_fails(storage: Storage, attempts: int) -> None:
    await enqueue_one(storage, max_attempts=attempts)
    for _ in range(attempts - 1):
        await end_one(storage, failed())
        assert await states(storage, "job") == [S.READY]

    await end_one(storage, Retried(JobError(type="E", message="last", cause=Cause.TIMEOUT), 50))

    record = await get_one(storage)
    assert (record.state, record.failures, record.cause) == (S.DEAD, attempts, Cause.TIMEOUT)
    assert record.due_ms is None


@clause("RETRY-3")
async def test_a_run_declared_dead_is_dead_with_attempts_left(storage: Storage, clock: Clock) -> None:
    run = await start(storage, max_attempts=5)
    clock.advance_ms(7)

    await end(storage, run, Died(JobError(type="Fatal", message="m", cause=Cause.PAYLOAD)))

    record = await get_one(storage)
    assert (record.state, record.failures, record.cause) == (S.DEAD, 1, Cause.PAYLOAD)
    assert record.finished_at_ms == clock()


@clause("RETRY-4")
@pytest.mark.parametrize("outcome", [failed, Released], ids=["retry", "release"])
async def test_a_delay_below_zero_is_none(storage: Storage, outcome: type[Released]) -> None:
    run = await start(storage)

    assert (await end(storage, run, outcome(-5))).state is S.READY


@clause("RETRY-4")
@pytest.mark.parametrize(
    "outcome",
    [failed(bounds.MAX_DELAY_MS + 1), Released(bounds.MAX_DELAY_MS + 1), Sleeping("nap", bounds.MAX_DELAY_MS + 1)],
    ids=["retry", "release", "sleep"],
)
async def test_a_delay_over_its_bound_is_the_bound(storage: Storage, clock: Clock, outcome: Outcome) -> None:
    run = await start(storage)

    await end(storage, run, outcome)

    assert (await get_one(storage)).due_ms == clock() + bounds.MAX_DELAY_MS


@clause("RETRY-5")
@pytest.mark.parametrize(
    "outcome",
    [Released(), Released(10), Sleeping("nap", 10), Suspended("wait", "go", 10), Waiting("children", None)],
    ids=["release", "release with delay", "sleep", "suspend", "wait"],
)
async def test_what_is_no_failure_is_not_counted(storage: Storage, clock: Clock, outcome: Outcome) -> None:
    run = await start(storage, max_attempts=1)

    await end(storage, run, outcome)
    clock.advance_ms(10)
    await keep_up(storage)

    again = await claim_one(storage)
    assert (again.id, again.fence, again.failures, again.stalls, again.errors) == ("job", 2, 0, 0, ())


@clause("RETRY-5")
async def test_waiting_for_children_is_no_failure(storage: Storage) -> None:
    await fan_out(storage, "child")
    waiting = await get_one(storage, "parent")

    await end_one(storage, GOOD, "children")

    for record in (waiting, await claim_one(storage)):
        assert (record.id, record.failures, record.stalls, record.errors) == ("parent", 0, 0, ())


@clause("RETRY-6")
async def test_a_released_job_goes_first_among_its_like(storage: Storage) -> None:
    await storage.enqueue([job("a"), job("b"), job("c")])
    a, b = await claim_some(storage, 2)

    await end(storage, b, Released())
    await end(storage, a, Released())

    assert (await get_one(storage, "a")).lane is Lane.RETURNED
    assert [run.id for run in await claim_some(storage, 3)] == ["b", "a", "c"]


@clause("RETRY-6")
async def test_a_job_released_with_a_delay_goes_first_when_it_is_due(storage: Storage, clock: Clock) -> None:
    run = await start(storage)
    await enqueue_one(storage, "other")

    assert (await end(storage, run, Released(10))).state is S.SCHEDULED

    assert (await get_one(storage)).due_ms == clock() + 10
    clock.advance_ms(10)
    assert [run.id for run in await claim_some(storage, 2)] == ["job", "other"]


@clause("RETRY-7")
async def test_an_expired_lease_costs_a_failure_and_a_stall_and_the_job_goes_first(
    storage: Storage, clock: Clock
) -> None:
    run = await start(storage)
    await enqueue_one(storage, "other")
    clock.advance_ms(run.lease_ms)

    again = await claim_one(storage)

    assert (again.id, again.failures, again.stalls, again.lane) == ("job", 1, 1, Lane.RETURNED)


@clause("RETRY-7")
async def test_a_failure_is_no_stall(storage: Storage, clock: Clock) -> None:
    run = await start(storage, max_attempts=10, max_stalls=2)
    await end(storage, run, failed())
    run = await claim_one(storage)
    clock.advance_ms(run.lease_ms)

    assert [run.stalls for run in await claim_some(storage, 1)] == [1]


@clause("RETRY-8")
async def test_an_expired_lease_without_an_attempt_left_is_death(storage: Storage, clock: Clock) -> None:
    run = await start(storage, max_attempts=2, max_stalls=10)
    await end(storage, run, failed())
    run = await claim_one(storage)
    clock.advance_ms(run.lease_ms)

    await storage.upkeep()

    record = await get_one(storage)
    assert (record.state, record.cause, record.failures, record.stalls) == (S.DEAD, Cause.STALLED, 2, 1)


@clause("RETRY-8")
async def test_a_job_that_stalls_too_often_is_dead_with_attempts_left(storage: Storage, clock: Clock) -> None:
    await enqueue_one(storage, max_attempts=10, max_stalls=2)
    for _ in range(2):
        run = await claim_one(storage)
        clock.advance_ms(run.lease_ms)

    assert await claim_some(storage, 1) == []
    record = await get_one(storage)
    assert (record.state, record.cause, record.failures, record.stalls) == (S.DEAD, Cause.STALLED, 2, 2)


@clause("RETRY-9")
async def test_a_job_of_one_attempt_is_never_run_twice(storage: Storage, clock: Clock) -> None:
    run = await start(storage, max_attempts=1)
    clock.advance_ms(run.lease_ms)

    assert await claim_some(storage, 1) == []
    assert await states(storage, "job") == [S.DEAD]


@clause("RETRY-10")
async def test_every_failure_is_written_down_with_its_time_fence_and_attempt(storage: Storage, clock: Clock) -> None:
    run = await start(storage, max_attempts=3)
    await end(storage, run, Released())
    run = await claim_one(storage)
    clock.advance_ms(3)
    told = JobError(type="ValueError", message="no", traceback="line 1", cause=Cause.RESULT)
    await end(storage, run, Retried(told, 0))
    run = await claim_one(storage)
    clock.advance_ms(run.lease_ms)
    await storage.upkeep()

    first, second = (await get_one(storage)).errors

    assert first == JobError(
        type="ValueError",
        message="no",
        traceback="line 1",
        cause=Cause.RESULT,
        fingerprint=OF_CAUSE["result"],
        at_ms=clock() - run.lease_ms,
        fence=2,
        attempt=1,
    )
    assert (second.type, second.cause, second.at_ms, second.fence, second.attempt) == (
        "LeaseExpired",
        Cause.STALLED,
        clock(),
        3,
        2,
    )


@clause("RETRY-12")
async def test_the_texts_of_an_error_are_stored_as_they_come(storage: Storage) -> None:
    run = await start(storage)
    texts = {"message": "key sk-abcdefghijklmnop", "traceback": "token=abcdefghijklmnop\n", "pattern": "key <n>"}
    await end(storage, run, Died(JobError(type="E", **texts)))

    (error,) = (await get_one(storage)).errors
    assert {name: getattr(error, name) for name in texts} == texts


@clause("RETRY-10", "RETRY-3")
async def test_the_error_of_a_death_is_written_down_too(storage: Storage) -> None:
    run = await start(storage)

    await end(storage, run, Died(JobError(type="Fatal", message="m", cause=Cause.PAYLOAD)))

    (error,) = (await get_one(storage)).errors
    assert (error.type, error.cause, error.fence, error.attempt) == ("Fatal", Cause.PAYLOAD, 1, 1)


@clause("RETRY-10")
async def test_the_newest_errors_are_kept(storage: Storage) -> None:
    await enqueue_one(storage, max_attempts=100)
    for n in range(bounds.MAX_ERRORS + 2):
        await end_one(storage, failed(0, f"error {n}"))

    messages = [error.message for error in (await get_one(storage)).errors]

    assert messages == [f"error {n}" for n in range(2, bounds.MAX_ERRORS + 2)]


@clause("RETRY-10")
async def test_an_error_that_is_too_long_or_cannot_be_written_is_cut_and_kept(storage: Storage) -> None:
    run = await start(storage)
    told = JobError(type="E", message="é" * bounds.MAX_ERROR_BYTES, traceback="a\ud800b\0c" + "t" * 100_000)

    await end(storage, run, Retried(told, 0))

    (error,) = (await get_one(storage)).errors
    assert error.message == "é" * (bounds.MAX_ERROR_BYTES // 2)
    assert error.traceback.startswith("a\\ud800b\\0ct")
    assert len(error.traceback.encode()) == bounds.MAX_ERROR_BYTES


@clause("RETRY-11", "STORE-9")
async def test_a_result_that_is_too_large_is_refused_and_the_job_still_runs(storage: Storage) -> None:
    run = await start(storage)

    with pytest.raises(TooLarge):
        await end(storage, run, Succeeded(b"x" * (bounds.MAX_RESULT_BYTES + 1)))

    assert await get_one(storage) == run
    await end(storage, run, Succeeded(b"x" * bounds.MAX_RESULT_BYTES))
    assert await states(storage, "job") == [S.SUCCEEDED]
