"""Chapter 4, deadlines: by when a job must have ended, whatever it does until then."""

from collections.abc import Awaitable, Callable

import pytest

from aiq import bounds
from aiq.errors import InvalidInput, LeaseLost
from aiq.model import (
    Cancelled,
    Cause,
    Deferred,
    Died,
    Held,
    HeldFor,
    JobError,
    Outcome,
    Released,
    Retried,
    Sleeping,
    State,
    Suspended,
    Waiting,
)
from aiq.storage import Storage
from aiq.testing.actions import (
    BAD,
    GOOD,
    claim_one,
    claim_some,
    end,
    enqueue_one,
    failed,
    get_one,
    job,
    keep_up,
    spawn,
    start,
    states,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause

S = State
ERROR = JobError(type="E", message="429")


@clause("DEADLINE-1")
@pytest.mark.parametrize(
    ("expires_ms", "instant_ms", "wanted_ms"), [(50, None, 50), (None, 70, 70), (50, 70, 50), (90, 70, 70)]
)
async def test_a_job_must_have_ended_by_the_first_of_its_two_deadlines(
    storage: Storage, clock: Clock, expires_ms: int | None, instant_ms: int | None, wanted_ms: int
) -> None:
    deadline_ms = None if instant_ms is None else clock() + instant_ms
    await enqueue_one(storage, expires_ms=expires_ms, deadline_ms=deadline_ms)

    record = await get_one(storage)

    assert (record.deadline_ms, record.expires_ms) == (clock() + wanted_ms, None)


@clause("DEADLINE-1", "ENQ-8")
@pytest.mark.parametrize("expires_ms", [0, -1, bounds.MAX_DELAY_MS + 1])
async def test_a_time_to_the_deadline_out_of_range_is_refused(storage: Storage, expires_ms: int) -> None:
    with pytest.raises(InvalidInput):
        await enqueue_one(storage, expires_ms=expires_ms)


async def scheduled(storage: Storage) -> None:
    await enqueue_one(storage, expires_ms=50, delay_ms=9_000)


async def ready(storage: Storage) -> None:
    await enqueue_one(storage, expires_ms=50)


async def waiting(storage: Storage) -> None:
    await storage.enqueue([job("other", queue="other"), job(depends_on=("other",), expires_ms=50)])


async def held(storage: Storage) -> None:
    await enqueue_one(storage, expires_ms=50)
    await storage.hold(["job"])


def after(outcome: Outcome) -> Callable[[Storage], Awaitable[None]]:
    async def prepare(storage: Storage) -> None:
        await end(storage, await start(storage, expires_ms=50), outcome)

    return prepare


async def waiting_for_a_child(storage: Storage) -> None:
    run = await start(storage, expires_ms=50)
    await spawn(storage, run, "offspring", queue="other")
    await end(storage, run, Waiting("children", None))


PARKED: dict[str, Callable[[Storage], Awaitable[None]]] = {
    "scheduled": scheduled,
    "ready": ready,
    "waiting": waiting,
    "held": held,
    "waiting for a child": waiting_for_a_child,
    "suspended": after(Suspended("wait", "go")),
    "asleep": after(Sleeping("nap", 9_000)),
    "backing off": after(failed(9_000)),
    "deferred": after(Deferred(ERROR, 9_000)),
    "released": after(Released(9_000)),
    "held by its run": after(Held(reason=HeldFor.OPERATOR)),
}


@clause("DEADLINE-2")
@pytest.mark.parametrize("by", ["upkeep", "claim"])
@pytest.mark.parametrize("place", PARKED)
async def test_a_deadline_finds_a_job_wherever_it_stands(storage: Storage, clock: Clock, place: str, by: str) -> None:
    await PARKED[place](storage)
    before = await get_one(storage)
    clock.advance_ms(49)
    assert (await storage.upkeep()).overdue == 0

    clock.advance_ms(1)
    if by == "upkeep":
        assert (await storage.upkeep()).overdue > 0
    assert await claim_some(storage, 9) == []

    record = await get_one(storage)
    assert (record.state, record.cause, record.failures) == (S.DEAD, Cause.DEADLINE, before.failures)
    assert record.last_error is not None
    assert record.last_error.type == "DeadlinePassed"
    assert str(before.state) in record.last_error.message


@clause("DEADLINE-2", "FAN-6")
async def test_who_waits_for_a_job_is_told_that_its_deadline_has_passed(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job(expires_ms=50), job("next", depends_on=("job",))])
    clock.advance_ms(50)

    await keep_up(storage)

    assert await states(storage, "job", "next") == [S.DEAD, S.DEAD]


@clause("DEADLINE-3", "STORE-9")
async def test_a_sweep_finds_the_earliest_deadlines_first_and_no_more_than_it_may(
    storage: Storage, clock: Clock
) -> None:
    names = {"c": 10, "b": 20, "a": 20, "d": 30}
    await storage.enqueue([job(name, expires_ms=at_ms) for name, at_ms in names.items()])
    clock.advance_ms(30)
    seen = []
    for _ in names:
        assert (await storage.upkeep(1)).overdue == 1
        seen.append({name for name in names if (await get_one(storage, name)).state is S.DEAD})

    assert seen == [{"c"}, {"c", "a"}, {"c", "a", "b"}, {"c", "a", "b", "d"}]


@clause("DEADLINE-3", "CLAIM-9")
async def test_a_claim_looks_for_deadlines_before_it_promotes(storage: Storage, clock: Clock) -> None:
    await enqueue_one(storage, expires_ms=50, delay_ms=50)
    clock.advance_ms(50)

    assert await claim_some(storage, 1) == []

    record = await get_one(storage)
    assert (record.state, record.events) == (S.DEAD, 2)


@clause("DEADLINE-3", "TIME-7")
async def test_a_deadline_is_among_what_the_storage_has_to_do_by_itself(storage: Storage, clock: Clock) -> None:
    await enqueue_one(storage, expires_ms=50)
    assert (await storage.exchange(())).next_due_ms == 50
    clock.advance_ms(60)
    assert (await storage.exchange(())).next_due_ms == 0

    assert (await storage.upkeep()).next_due_ms is None


@clause("DEADLINE-4", "TIME-7")
async def test_at_its_deadline_a_run_is_asked_to_stop_once(storage: Storage, clock: Clock) -> None:
    run = await start(storage, expires_ms=50, lease_ms=60_000)
    clock.advance_ms(50)
    assert not (await storage.renew([run.lease]))[0].cancel_requested

    answer = await storage.upkeep()

    assert (answer.overdue, answer.next_due_ms) == (1, bounds.CANCEL_GRACE_MS)
    assert (await storage.renew([run.lease]))[0].cancel_requested
    clock.advance_ms(5)
    assert (await storage.upkeep()).overdue == 0
    assert (await get_one(storage)).cancel_requested_at_ms == clock() - 5


@clause("DEADLINE-5", "CANCEL-3")
@pytest.mark.parametrize("asked", [True, False])
async def test_a_run_that_succeeds_after_its_deadline_has_succeeded(
    storage: Storage, clock: Clock, asked: bool
) -> None:
    run = await start(storage, expires_ms=50)
    clock.advance_ms(60)
    if asked:
        await storage.upkeep()

    assert (await end(storage, run, GOOD)).state is S.SUCCEEDED


OTHER_ENDS = [
    failed(),
    failed(50),
    BAD,
    Cancelled(),
    Released(),
    Suspended("wait", "go"),
    Waiting("children", None),
    Sleeping("nap", 50),
    Deferred(ERROR, 50),
    Held(reason=HeldFor.OPERATOR),
]


@clause("DEADLINE-6")
@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("outcome", OTHER_ENDS, ids=lambda outcome: type(outcome).__name__)
async def test_a_run_that_ends_otherwise_at_its_deadline_leaves_its_job_dead(
    storage: Storage, clock: Clock, outcome: Outcome, asked: bool
) -> None:
    run = await start(storage, expires_ms=50)
    clock.advance_ms(50)
    if asked:
        await storage.upkeep()

    assert (await end(storage, run, outcome)).state is S.DEAD

    record = await get_one(storage)
    assert (record.cause, record.failures, record.attempt) == (Cause.DEADLINE, 1, 1)
    own = outcome.error.type if isinstance(outcome, Retried | Died | Deferred) else "DeadlinePassed"
    assert [error.type for error in record.errors] == [own]


@clause("DEADLINE-6", "RETRY-7")
async def test_a_lease_that_is_revoked_after_the_deadline_is_the_last(storage: Storage, clock: Clock) -> None:
    await start(storage, expires_ms=50, lease_ms=50)
    clock.advance_ms(50)

    await storage.upkeep()

    record = await get_one(storage)
    assert (record.state, record.cause, record.stalls, record.failures) == (S.DEAD, Cause.DEADLINE, 1, 1)


@clause("DEADLINE-6", "LEASE-7")
async def test_a_run_that_does_not_heed_its_deadline_is_ended_when_the_grace_is_over(
    storage: Storage, clock: Clock
) -> None:
    run = await start(storage, expires_ms=50, lease_ms=10 * bounds.CANCEL_GRACE_MS)
    clock.advance_ms(50)
    await storage.upkeep()
    clock.advance_ms(bounds.CANCEL_GRACE_MS - 1)
    assert (await storage.upkeep()).cancelled == 0
    clock.advance_ms(1)

    assert (await storage.upkeep()).cancelled == 1

    record = await get_one(storage)
    assert (record.state, record.cause, record.failures) == (S.DEAD, Cause.DEADLINE, 1)
    assert record.last_error is not None
    assert record.last_error.type == "DeadlinePassed"
    with pytest.raises(LeaseLost):
        await end(storage, run, GOOD)


@clause("DEADLINE-7")
@pytest.mark.parametrize("how", ["settled", "revoked", "swept"])
async def test_a_job_that_was_asked_to_stop_before_its_deadline_is_cancelled(
    storage: Storage, clock: Clock, how: str
) -> None:
    lease_ms = 10 * bounds.CANCEL_GRACE_MS if how == "swept" else 60
    run = await start(storage, expires_ms=50, lease_ms=lease_ms)
    clock.advance_ms(49)
    await storage.cancel(["job"])
    clock.advance_ms(bounds.CANCEL_GRACE_MS)
    if how == "settled":
        await end(storage, run, failed())
    elif how == "revoked":
        assert await claim_some(storage, 1) == []
    else:
        await storage.upkeep()

    assert await states(storage, "job") == [S.CANCELLED]


@clause("DEADLINE-8")
@pytest.mark.parametrize(("own_ms", "wanted_ms"), [(None, 50), (30, 30), (70, 50)])
async def test_a_child_has_its_parents_deadline_unless_its_own_comes_first(
    storage: Storage, clock: Clock, own_ms: int | None, wanted_ms: int
) -> None:
    parent = await start(storage, "parent", expires_ms=50)

    await spawn(storage, parent, "child", queue="children", expires_ms=own_ms)

    child = await claim_one(storage, "children")
    assert child.deadline_ms == clock() + wanted_ms
    await spawn(storage, child, "grandchild")
    assert (await get_one(storage, "grandchild")).deadline_ms == clock() + wanted_ms


@clause("DEADLINE-9", "WHY-1")
async def test_the_explanation_of_a_job_tells_its_deadline(storage: Storage, clock: Clock) -> None:
    await enqueue_one(storage, expires_ms=5_000, delay_ms=9_000)

    why = await storage.explain("job")

    assert why.text == "It waits for its time. Its deadline is in 5,000 ms."
    clock.advance_ms(5_000)
    assert (await storage.explain("job")).text.endswith("Its deadline has passed.")
    await storage.upkeep()
    assert (await storage.explain("job")).text == "It is dead."
