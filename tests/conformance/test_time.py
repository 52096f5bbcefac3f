"""Chapter 4: the clock, delays, sweeps, liveness."""

import pytest

from aiq import bounds
from aiq.errors import InvalidInput, TooLarge
from aiq.model import Lane, Released, Renewed, Sleeping, State, StepKind, Suspended, Upkept
from aiq.storage import Storage
from aiq.testing.actions import (
    GOOD,
    claim_one,
    claim_some,
    end,
    enqueue_one,
    failed,
    get_one,
    job,
    start,
    states,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause

S = State
HOUR_MS = 3_600_000


@clause("TIME-2", "TIME-5")
async def test_a_clock_that_steps_back_makes_leases_live_longer_and_a_renewal_sets_them_right(
    storage: Storage, clock: Clock
) -> None:
    run = await start(storage)
    clock.advance_ms(-HOUR_MS)
    clock.advance_ms(run.lease_ms + 1)
    assert await claim_some(storage, 1) == []

    assert isinstance((await storage.renew([run.lease]))[0], Renewed)

    assert (await get_one(storage)).expires_at_ms == clock() + run.lease_ms
    clock.advance_ms(run.lease_ms)
    assert [again.id for again in await claim_some(storage, 1)] == ["job"]


@clause("TIME-2")
async def test_a_clock_that_steps_back_delays_what_is_scheduled_and_loses_nothing(
    storage: Storage, clock: Clock
) -> None:
    await enqueue_one(storage, delay_ms=10)
    clock.advance_ms(-HOUR_MS)
    clock.advance_ms(10)
    assert await claim_some(storage, 1) == []

    clock.advance_ms(HOUR_MS)

    assert [run.id for run in await claim_some(storage, 1)] == ["job"]


@clause("TIME-2", "CLAIM-1")
async def test_a_clock_that_leaps_ahead_expires_leases_and_fences_their_runs(storage: Storage, clock: Clock) -> None:
    run = await start(storage)
    clock.advance_ms(HOUR_MS)
    again = await claim_one(storage, worker="other")
    clock.advance_ms(-HOUR_MS)

    assert not isinstance((await storage.renew([run.lease]))[0], Renewed)
    await end(storage, again, GOOD)


@clause("TIME-3")
@pytest.mark.parametrize(("turn_ms", "state"), [(9, S.SCHEDULED), (10, S.READY), (11, S.READY)])
async def test_a_job_is_due_at_its_instant(storage: Storage, clock: Clock, turn_ms: int, state: State) -> None:
    await enqueue_one(storage, delay_ms=10)
    clock.advance_ms(turn_ms)

    await storage.upkeep()

    record = await get_one(storage)
    assert (record.state, record.lane) == (state, Lane.FRESH)
    assert (record.due_ms is None) == (state is S.READY)


@clause("TIME-4")
async def test_upkeep_promotes_by_due_instant_and_then_by_id(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job("c", delay_ms=10), job("b", delay_ms=10), job("a", delay_ms=11), job("d", delay_ms=9)])
    clock.advance_ms(11)

    assert (await storage.upkeep()).promoted == 4

    assert [run.id for run in await claim_some(storage, 4)] == ["d", "b", "c", "a"]


@clause("TIME-4")
async def test_upkeep_revokes_by_expiry_and_then_by_id(storage: Storage, clock: Clock) -> None:
    lengths = {"c": 20, "b": 20, "a": 21, "d": 19}
    await storage.enqueue([job(name, lease_ms=length) for name, length in lengths.items()])
    await claim_some(storage, 4)
    clock.advance_ms(21)

    assert (await storage.upkeep()).revoked == 4

    assert [run.id for run in await claim_some(storage, 4)] == ["d", "b", "c", "a"]


@clause("TIME-4", "SIG-8")
async def test_upkeep_ends_timed_out_waits_by_instant_and_then_by_id(storage: Storage, clock: Clock) -> None:
    limits = {"c": 20, "b": 20, "a": 21, "d": 19}
    for name, limit_ms in limits.items():
        await end(storage, await start(storage, name), Suspended("wait", "go", limit_ms))
    clock.advance_ms(21)

    assert (await storage.upkeep()).timed_out == 4

    assert [run.id for run in await claim_some(storage, 4)] == ["d", "b", "c", "a"]


@clause("TIME-4")
async def test_upkeep_does_at_most_its_limit_of_each_kind_the_oldest_first(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job(f"x{n}", lease_ms=10 + n) for n in range(3)])
    await claim_some(storage, 3)
    await storage.enqueue([job(f"d{n}", delay_ms=1 + n) for n in range(3)])
    clock.advance_ms(12)

    done = await storage.upkeep(2)

    assert (done.promoted, done.revoked, done.next_due_ms) == (2, 2, 0)
    assert await states(storage, "d2", "x2") == [S.SCHEDULED, S.RUNNING]
    assert (await storage.upkeep(2)).total == 2
    assert (await storage.upkeep(2)).total == 0


@clause("TIME-4", "STORE-9")
@pytest.mark.parametrize(("limit", "error"), [(0, InvalidInput), (-1, InvalidInput), (bounds.MAX_SWEEP + 1, TooLarge)])
async def test_upkeep_has_a_limit_of_its_own(storage: Storage, limit: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        await storage.upkeep(limit)


@clause("TIME-6", "STEP-6")
async def test_a_sleeping_job_wakes_in_front_and_remembers_that_it_slept(storage: Storage, clock: Clock) -> None:
    run = await start(storage)
    await enqueue_one(storage, "other")

    assert (await end(storage, run, Sleeping("nap", 10))).state is S.SCHEDULED

    asleep = await get_one(storage)
    assert (asleep.due_ms, asleep.wait_key, asleep.remembers) == (clock() + 10, "nap", True)
    clock.advance_ms(10)
    again = await claim_one(storage)
    assert (again.id, again.lane, again.wait_key) == ("job", Lane.RETURNED, None)
    assert [(step.key, step.kind, step.fence) for step in await storage.get_steps("job")] == [
        ("nap", StepKind.TIMER, 1)
    ]


@clause("TIME-6")
@pytest.mark.parametrize("delay_ms", [0, -5])
async def test_a_sleep_of_nothing_lets_others_go_first_and_is_due_at_once(storage: Storage, delay_ms: int) -> None:
    run = await start(storage)

    assert (await end(storage, run, Sleeping("nap", delay_ms))).state is S.SCHEDULED

    assert [again.id for again in await claim_some(storage, 1)] == ["job"]


@clause("TIME-7")
async def test_an_empty_storage_has_nothing_to_do(storage: Storage) -> None:
    assert await storage.upkeep() == Upkept(next_due_ms=None)
    assert (await storage.exchange(())).next_due_ms is None


@clause("TIME-7")
async def test_ready_and_ended_jobs_give_the_storage_nothing_to_do(storage: Storage) -> None:
    await end(storage, await start(storage, "ended"), GOOD)
    await enqueue_one(storage)

    assert (await storage.exchange(())).next_due_ms is None


@clause("TIME-7")
async def test_the_nearest_of_what_is_due_is_told(storage: Storage, clock: Clock) -> None:
    async def next_due_ms() -> int | None:
        told = (await storage.exchange(())).next_due_ms
        assert told == (await storage.upkeep()).next_due_ms
        return told

    run = await start(storage, "runs", lease_ms=50_000)
    assert await next_due_ms() == 50_000
    await storage.cancel(["runs"])
    assert await next_due_ms() == bounds.CANCEL_GRACE_MS
    await end(storage, await start(storage, "suspended"), Suspended("wait", "go", 20_000))
    assert await next_due_ms() == 20_000
    await enqueue_one(storage, "scheduled", delay_ms=10_000)
    assert await next_due_ms() == 10_000
    clock.advance_ms(4_000)
    assert await next_due_ms() == 6_000
    await storage.cancel(["scheduled", "suspended"])
    assert await next_due_ms() == bounds.CANCEL_GRACE_MS - 4_000
    await end(storage, run, GOOD)
    assert await next_due_ms() is None


@clause("TIME-7")
async def test_what_is_overdue_is_due_now(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job("a", delay_ms=1), job("b", delay_ms=2)])
    clock.advance_ms(10)

    assert (await storage.exchange(())).next_due_ms == 0
    assert (await storage.upkeep(1)).next_due_ms == 0
    assert (await storage.upkeep(1)).next_due_ms is None


@clause("LIVE-1")
async def test_everything_that_is_due_is_given_out_in_the_end(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job(f"job {n}", delay_ms=n % 3, max_attempts=5) for n in range(30)])
    for _ in range(50):
        clock.advance_ms(1)
        for run in await claim_some(storage, 7):
            await end(storage, run, (failed(2), Released(1), GOOD)[min(run.fence, 3) - 1])

    assert (await storage.count())["default"] == {S.SUCCEEDED: 30}


@clause("LIVE-2")
async def test_every_expired_lease_is_revoked_however_many_there_are(storage: Storage, clock: Clock) -> None:
    many = bounds.MAX_SWEEP + 44
    await storage.enqueue([job(f"job {n:03}") for n in range(bounds.MAX_BATCH)])
    await storage.enqueue([job(f"job {n:03}") for n in range(bounds.MAX_BATCH, many)])
    assert len(await claim_some(storage, bounds.MAX_BATCH)) + len(await claim_some(storage, many)) == many
    clock.advance_ms(bounds.DEFAULT_LEASE_MS)

    done = [(await storage.upkeep()).revoked for _ in range(3)]

    assert done == [bounds.MAX_SWEEP, 44, 0]


@clause("LIVE-2")
async def test_jobs_that_die_or_are_cancelled_in_a_sweep_do_not_stop_it(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job("a", max_attempts=1), job("b"), job("c", lease_ms=60_000), job("d")])
    await claim_some(storage, 4)
    await storage.enqueue([job("waits", depends_on=("a",))])
    await storage.cancel(["b"])
    clock.advance_ms(bounds.DEFAULT_LEASE_MS)

    await storage.upkeep()

    assert await states(storage, "a", "b", "c", "d", "waits") == [S.DEAD, S.CANCELLED, S.RUNNING, S.READY, S.DEAD]


@clause("LIVE-3")
async def test_a_claim_finds_everything_that_is_due_without_wake_up_or_upkeep(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job("expired"), job("due", delay_ms=5), job("ready")])
    await claim_one(storage)
    clock.advance_ms(bounds.DEFAULT_LEASE_MS)

    assert {run.id for run in await claim_some(storage, 5)} == {"expired", "due", "ready"}


@clause("TIME-1")
async def test_every_instant_of_a_record_is_of_the_clock_of_the_storage(storage: Storage, clock: Clock) -> None:
    clock.set_ms(5_000)
    run = await start(storage, lease_ms=100)
    clock.set_ms(5_050)
    await end(storage, run, failed(10))
    clock.set_ms(5_060)
    await end(storage, await claim_one(storage), GOOD)

    record = await get_one(storage)

    assert (record.created_at_ms, run.expires_at_ms, record.errors[0].at_ms) == (5_000, 5_100, 5_050)
    assert record.finished_at_ms == 5_060
