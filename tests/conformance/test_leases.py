"""Chapter 2: who owns a running job, and what a run may still do that does not."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from aiq import bounds
from aiq.errors import InvalidInput, LeaseLost, LostReason
from aiq.model import (
    Cancelled,
    Died,
    JobError,
    JobRecord,
    Lease,
    Outcome,
    Released,
    Renewed,
    Sleeping,
    State,
    Succeeded,
    Suspended,
    Waiting,
)
from aiq.storage import Storage, append
from aiq.testing.actions import (
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
Write = Callable[[Storage, Lease], Awaitable[object]]

OUTCOMES: dict[str, Outcome] = {
    "succeed": Succeeded(b"zombie"),
    "retry": failed(0, "zombie"),
    "die": Died(JobError(type="E", message="zombie")),
    "cancelled": Cancelled(),
    "release": Released(),
    "suspend": Suspended("zombie", "go"),
    "wait": Waiting("zombie", None),
    "sleep": Sleeping("zombie", 1),
}


def settling(outcome: Outcome) -> Write:
    async def write(storage: Storage, lease: Lease) -> object:
        return await end(storage, _run(lease), outcome)

    return write


def _run(lease: Lease) -> JobRecord:
    return JobRecord(id=lease.job_id, task="work", state=S.RUNNING, fence=lease.fence, lease_id=lease.lease_id)


async def renew(storage: Storage, lease: Lease) -> object:
    (answer,) = await storage.renew([lease])
    if isinstance(answer, LeaseLost):
        raise answer
    return answer


async def append_item(storage: Storage, lease: Lease) -> object:
    return await append(storage, lease, chunks("zombie"))


async def save_step(storage: Storage, lease: Lease) -> object:
    return await storage.save_step(lease, value("zombie"))


async def spawn_child(storage: Storage, lease: Lease) -> object:
    return await storage.enqueue([job("zombie", child_of="zombie")], parent=lease)


WRITES: dict[str, Write] = {
    **{name: settling(outcome) for name, outcome in OUTCOMES.items()},
    "renew": renew,
    "append": append_item,
    "save_step": save_step,
    "spawn": spawn_child,
}


async def expire_and_reclaim(storage: Storage, clock: Clock, run: JobRecord) -> None:
    clock.advance_ms(run.lease_ms)
    await claim_one(storage, worker="other")


async def expire_and_sweep(storage: Storage, clock: Clock, run: JobRecord) -> None:
    clock.advance_ms(run.lease_ms)
    await storage.upkeep()


async def release_and_reclaim(storage: Storage, clock: Clock, run: JobRecord) -> None:
    await end(storage, run, Released())
    await claim_one(storage, worker="other")


async def cancel_hard(storage: Storage, clock: Clock, run: JobRecord) -> None:
    await storage.cancel([run.id], force=True)


async def succeed_elsewhere(storage: Storage, clock: Clock, run: JobRecord) -> None:
    await expire_and_reclaim(storage, clock, run)
    await end(storage, await get_one(storage), Succeeded(b"good"))


LOSSES = {
    "reclaimed": (expire_and_reclaim, LostReason.TAKEN),
    "swept": (expire_and_sweep, LostReason.TAKEN),
    "released": (release_and_reclaim, LostReason.TAKEN),
    "cancelled": (cancel_hard, LostReason.CANCELLED),
    "succeeded": (succeed_elsewhere, LostReason.TERMINAL),
}


@clause("LEASE-1", "LEASE-11")
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("write", WRITES)
async def test_a_run_that_lost_its_job_changes_nothing_and_learns_why(
    storage: Storage, clock: Clock, write: str, loss: str
) -> None:
    zombie = await start(storage)
    lose, reason = LOSSES[loss]
    await lose(storage, clock, zombie)
    before = await look(storage)

    with pytest.raises(LeaseLost) as lost:
        await WRITES[write](storage, zombie.lease)

    assert (lost.value.job_id, lost.value.reason) == ("job", reason)
    assert await look(storage) == before


@clause("LEASE-2")
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    "wrong", [lambda lease: replace(lease, lease_id="guessed"), lambda lease: replace(lease, fence=lease.fence + 1)]
)
async def test_both_parts_of_the_token_are_compared(
    storage: Storage, write: str, wrong: Callable[[Lease], Lease]
) -> None:
    run = await start(storage)
    before = await look(storage)

    with pytest.raises(LeaseLost) as lost:
        await WRITES[write](storage, wrong(run.lease))

    assert lost.value.reason is LostReason.TAKEN
    assert await look(storage) == before


@clause("LEASE-1", "LEASE-11")
@pytest.mark.parametrize("write", WRITES)
async def test_a_lease_on_a_job_that_is_not_stored_is_lost(storage: Storage, write: str) -> None:
    with pytest.raises(LeaseLost) as lost:
        await WRITES[write](storage, Lease("ghost", 1, "lease"))

    assert lost.value.reason is LostReason.TERMINAL
    assert (await look(storage)).jobs == {}


@clause("LEASE-3")
async def test_a_claim_and_a_renewal_give_the_job_its_own_length_from_now(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job("short", lease_ms=1_000), job("long", lease_ms=60_000)])
    short, long = await claim_some(storage, 2)
    assert (short.expires_at_ms, long.expires_at_ms) == (clock() + 1_000, clock() + 60_000)

    clock.advance_ms(400)
    assert await storage.renew([short.lease, long.lease]) == [
        Renewed(1_000, cancel_requested=False, paused=False),
        Renewed(60_000, cancel_requested=False, paused=False),
    ]

    assert (await get_one(storage, "short")).expires_at_ms == clock() + 1_000
    assert (await get_one(storage, "long")).expires_at_ms == clock() + 60_000


@clause("LEASE-3")
async def test_renewing_twice_in_an_instant_is_renewing_once(storage: Storage, clock: Clock) -> None:
    run = await start(storage, lease_ms=1_000)

    await storage.renew([run.lease, run.lease])

    assert (await get_one(storage)).expires_at_ms == clock() + 1_000


@clause("LEASE-4", "LEASE-11")
@pytest.mark.parametrize("late_ms", [0, 1, 10_000_000])
async def test_an_expired_lease_cannot_be_renewed_even_if_nobody_took_the_job(
    storage: Storage, clock: Clock, late_ms: int
) -> None:
    run = await start(storage)
    clock.advance_ms(run.lease_ms + late_ms)
    before = await look(storage)

    (lost,) = await storage.renew([run.lease])

    assert isinstance(lost, LeaseLost)
    assert lost.reason is LostReason.EXPIRED
    assert await look(storage) == before


@clause("LEASE-4", "LEASE-9")
async def test_a_lease_can_be_renewed_in_its_last_millisecond(storage: Storage, clock: Clock) -> None:
    run = await start(storage)
    clock.advance_ms(run.lease_ms - 1)

    assert isinstance((await storage.renew([run.lease]))[0], Renewed)


LATE_STATES = {
    "succeed": S.SUCCEEDED,
    "retry": S.READY,
    "die": S.DEAD,
    "cancelled": S.CANCELLED,
    "release": S.READY,
    "suspend": S.SUSPENDED,
    "wait": S.READY,
    "sleep": S.SCHEDULED,
}


@clause("LEASE-5")
@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_a_run_whose_lease_ran_out_may_still_settle_late(storage: Storage, clock: Clock, outcome: str) -> None:
    run = await start(storage)
    clock.advance_ms(run.lease_ms)

    answer = await end(storage, run, OUTCOMES[outcome])

    assert (answer.state, answer.late) == (LATE_STATES[outcome], True)
    assert (await get_one(storage)).late


@clause("LEASE-5")
async def test_a_run_that_settles_in_its_last_millisecond_is_not_late(storage: Storage, clock: Clock) -> None:
    run = await start(storage)
    clock.advance_ms(run.lease_ms - 1)

    assert not (await end(storage, run, GOOD)).late
    assert not (await get_one(storage)).late


@clause("LEASE-5")
async def test_a_run_whose_lease_ran_out_may_still_append_and_save(storage: Storage, clock: Clock) -> None:
    run = await start(storage)
    assert not (await append(storage, run.lease, chunks("a"))).late
    assert not (await storage.save_step(run.lease, value("one"))).late
    clock.advance_ms(run.lease_ms)

    assert (await append(storage, run.lease, chunks("b", first=2))).late
    assert (await storage.save_step(run.lease, value("two"))).late

    sight = await look(storage)
    assert [chunk.data for chunk in sight.chunks["job"]] == [b"a", b"b"]
    assert [step.key for step in sight.steps["job"]] == ["one", "two"]


@clause("LEASE-6", "LEASE-11")
async def test_a_run_whose_lease_ran_out_may_not_spawn(storage: Storage, clock: Clock) -> None:
    parent = await start(storage, "parent")
    clock.advance_ms(parent.lease_ms)
    before = await look(storage)

    with pytest.raises(LeaseLost) as lost:
        await spawn(storage, parent, "child")

    assert lost.value.reason is LostReason.EXPIRED
    assert await look(storage) == before


@clause("LEASE-7", "LEASE-9")
async def test_nobody_takes_a_job_whose_lease_is_live(storage: Storage, clock: Clock) -> None:
    run = await start(storage)
    clock.advance_ms(run.lease_ms - 1)

    assert await claim_some(storage, 1, worker="other") == []
    assert (await storage.upkeep()).revoked == 0
    assert await states(storage, "job") == [S.RUNNING]


@clause("LEASE-7", "LEASE-9")
async def test_a_lease_that_is_renewed_lasts_for_ever(storage: Storage, clock: Clock) -> None:
    run = await start(storage, lease_ms=10)
    for _ in range(50):
        clock.advance_ms(9)
        await storage.renew([run.lease])
        assert (await storage.upkeep()).total == 0

    assert not (await end(storage, run, GOOD)).late


@clause("LEASE-9")
async def test_the_worker_of_a_run_may_claim_again_under_its_own_name(storage: Storage) -> None:
    run = await start(storage)
    await enqueue_one(storage, "next")

    await claim_one(storage)

    assert isinstance((await storage.renew([run.lease]))[0], Renewed)


@clause("LEASE-8", "STORE-11")
async def test_a_lost_lease_leaves_the_others_of_its_batch_alone(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job("a"), job("b", lease_ms=10), job("c"), job("d")])
    a, b, c, d = await claim_some(storage, 4)
    await end(storage, c, GOOD)
    clock.advance_ms(10)

    answers = await storage.renew([c.lease, a.lease, b.lease, d.lease])

    told = [answer.reason if isinstance(answer, LeaseLost) else answer.lease_ms for answer in answers]
    assert told == [LostReason.TERMINAL, 30_000, LostReason.EXPIRED, 30_000]
    assert (await get_one(storage, "d")).expires_at_ms == clock() + 30_000


@clause("LEASE-7")
async def test_renewing_a_lease_touches_no_other_job(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job("a"), job("b")])
    a, b = await claim_some(storage, 2)
    clock.advance_ms(5)

    await storage.renew([a.lease])

    assert await get_one(storage, "b") == b


@clause("LEASE-10")
async def test_a_shorter_lease_is_granted_only_to_shrink(storage: Storage, clock: Clock) -> None:
    run = await start(storage, lease_ms=1_000)

    (kept,) = await storage.renew([run.lease], lease_ms=100)
    assert (await get_one(storage)).expires_at_ms == clock() + 1_000
    (shrunk,) = await storage.renew([run.lease], lease_ms=100, shrink=True)
    assert (await get_one(storage)).expires_at_ms == clock() + 100

    assert isinstance(kept, Renewed)
    assert isinstance(shrunk, Renewed)
    assert (kept.lease_ms, shrunk.lease_ms) == (1_000, 100)
    assert (await get_one(storage)).lease_ms == 1_000


@clause("LEASE-10")
async def test_a_longer_lease_may_be_asked_for_once(storage: Storage, clock: Clock) -> None:
    run = await start(storage, lease_ms=1_000)

    (longer,) = await storage.renew([run.lease], lease_ms=5_000)
    assert (await get_one(storage)).expires_at_ms == clock() + 5_000
    await storage.renew([run.lease])
    assert (await get_one(storage)).expires_at_ms == clock() + 1_000

    assert isinstance(longer, Renewed)
    assert longer.lease_ms == 5_000


@clause("LEASE-10", "STORE-12")
@pytest.mark.parametrize("lease_ms", [-1, 0, bounds.MIN_LEASE_MS - 1, bounds.MAX_LEASE_MS + 1])
async def test_a_renewal_for_an_impossible_length_is_refused(storage: Storage, lease_ms: int) -> None:
    run = await start(storage)
    before = await look(storage)

    with pytest.raises(InvalidInput):
        await storage.renew([run.lease], lease_ms=lease_ms, shrink=True)

    assert await look(storage) == before


@clause("LEASE-12")
async def test_a_renewal_tells_whether_the_queue_is_paused(storage: Storage) -> None:
    run = await start(storage)
    await storage.pause("default")
    await storage.pause("another")

    assert await storage.renew([run.lease]) == [Renewed(30_000, cancel_requested=False, paused=True)]
    await storage.resume("default")
    assert await storage.renew([run.lease]) == [Renewed(30_000, cancel_requested=False, paused=False)]


@clause("LEASE-1")
async def test_settlements_in_one_exchange_are_judged_one_by_one(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job("a"), job("b")])
    a, b = await claim_some(storage, 2)
    await storage.cancel(["a"], force=True)
    await keep_up(storage)

    with pytest.raises(LeaseLost):
        await end(storage, a, Succeeded(b"a"))
    await end(storage, b, Succeeded(b"b"))

    assert await states(storage, "a", "b") == [S.CANCELLED, S.SUCCEEDED]
