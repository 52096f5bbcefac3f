"""Chapter 1, first half: states and enqueueing. Claiming and cancelling have files of their own."""

from dataclasses import fields, replace

import pytest

from aiq import bounds
from aiq.errors import Conflict, FlowInvalid, InvalidInput, InvalidName, LeaseLost, LostReason, NotFound, TooLarge
from aiq.model import (
    Band,
    BudgetSpec,
    Enqueued,
    Estimate,
    JobSpec,
    Lane,
    LimitSpec,
    Released,
    RouteSpec,
    State,
    Succeeded,
)
from aiq.storage import Storage, append, settle
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
    look,
    spawn,
    start,
    states,
    value,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause

S = State


@clause("STATE-2")
async def test_a_job_that_succeeded_cannot_be_settled_again(storage: Storage) -> None:
    run = await start(storage)
    await end(storage, run, Succeeded(b"first"))
    before = await look(storage)

    for outcome in (Succeeded(b"second"), failed(), BAD, Released()):
        with pytest.raises(LeaseLost) as lost:
            await end(storage, run, outcome)
        assert lost.value.reason is LostReason.TERMINAL

    assert await look(storage) == before


@clause("STATE-2")
async def test_a_job_that_died_cannot_succeed(storage: Storage) -> None:
    run = await start(storage)
    await end(storage, run, BAD)
    before = await look(storage)

    with pytest.raises(LeaseLost):
        await end(storage, run, Succeeded(b"late"))

    assert await look(storage) == before


@clause("STATE-3")
async def test_counts_by_state_add_up_to_the_number_of_jobs(storage: Storage) -> None:
    await storage.enqueue([job(f"ready {n}") for n in range(3)])
    await storage.enqueue([job("later", delay_ms=5), job("waits", depends_on=("ready 0",)), job("other", queue="q2")])
    await end_one(storage, GOOD)
    await claim_one(storage)

    assert await storage.count() == {
        "default": {S.SUCCEEDED: 1, S.RUNNING: 1, S.READY: 2, S.SCHEDULED: 1},
        "q2": {S.READY: 1},
    }
    assert await storage.count("q2") == {"q2": {S.READY: 1}}


@clause("STATE-4", "STATE-5")
async def test_every_transition_is_one_event_and_what_is_no_transition_is_none(storage: Storage) -> None:
    run = await start(storage)
    assert run.events == 2

    await storage.renew([run.lease])
    await append(storage, run.lease, chunks("a"))
    await storage.save_step(run.lease, value("plan"))
    assert (await get_one(storage)).events == 2

    await end(storage, run, failed())
    again = await claim_one(storage)
    await storage.cancel(["job"])
    await end(storage, again, GOOD)

    assert (await get_one(storage)).events == 6


@clause("STATE-6")
async def test_a_settlement_that_is_sent_again_gets_its_first_answer(storage: Storage, clock: Clock) -> None:
    run = await start(storage)
    clock.advance_ms(run.lease_ms)
    first = await settle(storage, run.lease, Succeeded(b"r"), settlement_id="1")
    before = await look(storage)

    assert await settle(storage, run.lease, Succeeded(b"r"), settlement_id="1") == first
    assert await look(storage) == before
    assert first.late


@clause("STATE-6")
async def test_a_retry_that_is_sent_again_counts_one_failure(storage: Storage) -> None:
    run = await start(storage)
    first = await settle(storage, run.lease, failed(100), settlement_id="1")

    assert await settle(storage, run.lease, failed(100), settlement_id="1") == first
    assert (await get_one(storage)).failures == 1


@clause("STATE-6", "LEASE-1")
async def test_another_settlement_of_a_settled_run_is_no_repeat(storage: Storage) -> None:
    run = await start(storage)
    await settle(storage, run.lease, failed(), settlement_id="1")

    with pytest.raises(LeaseLost):
        await settle(storage, run.lease, GOOD, settlement_id="2")


@clause("STATE-6", "LEASE-2")
async def test_the_id_of_a_settlement_is_worth_nothing_in_another_run(storage: Storage) -> None:
    first = await start(storage)
    await settle(storage, first.lease, failed(), settlement_id="1")
    second = await claim_one(storage)

    await settle(storage, second.lease, Succeeded(b"r"), settlement_id="1")

    assert (await get_one(storage)).result == b"r"


@clause("ENQ-1")
async def test_a_job_is_there_when_enqueue_has_answered(storage: Storage) -> None:
    wanted = JobSpec(
        id="full",
        task="work",
        queue="q",
        payload=b'["x"]',
        digest="d",
        band=Band.HIGH,
        lease_ms=1_000,
        timeout_ms=5_000,
        max_attempts=7,
        max_stalls=2,
        flow="flow",
        on_upstream="continue",
        tenant="acme",
        key="k",
        unique="u",
        limits=("b", "a"),
        routes=(RouteSpec(name="r", model="m", limits=("a",), patience_ms=7),),
        estimate=Estimate(input=1, output=2, max_output=3, min_output=1, model="e"),
        budgets=("job:full",),
        creates=(BudgetSpec(id="job:full", caps={"tokens": 100}, weights={"input": 500}),),
        max_deferral_ms=60_000,
        deadline_ms=2_000_000_000_000,
    )
    await storage.put_limits([LimitSpec(name="a", requests=1), LimitSpec(name="b", requests=1)])
    assert await storage.enqueue([wanted]) == [Enqueued("full", S.READY)]

    record = await get_one(storage, "full")

    assert {f.name: getattr(record, f.name) for f in fields(JobSpec)} == {
        f.name: getattr(wanted, f.name) for f in fields(JobSpec)
    }


@clause("ENQ-1")
async def test_a_new_job_has_no_history(storage: Storage, clock: Clock) -> None:
    await enqueue_one(storage)

    record = await get_one(storage)

    assert (record.generation, record.fence, record.failures, record.stalls) == (1, 0, 0, 0)
    assert (record.created_at_ms, record.started_at_ms, record.finished_at_ms) == (clock(), None, None)
    assert (record.lease_id, record.owner, record.expires_at_ms, record.due_ms) == (None, None, None, None)


@clause("ENQ-2")
async def test_the_same_job_enqueued_twice_is_one_job(storage: Storage) -> None:
    await enqueue_one(storage, digest="d")
    before = await look(storage)

    assert await storage.enqueue([job(digest="d")]) == [Enqueued("job", S.READY, existed=True, by="id")]
    assert await look(storage) == before


@clause("ENQ-2")
async def test_a_job_that_has_ended_is_not_started_again_by_enqueueing_it(storage: Storage) -> None:
    run = await start(storage, digest="d")
    await end(storage, run, Succeeded(b"r"))

    assert await storage.enqueue([job(digest="d")]) == [Enqueued("job", S.SUCCEEDED, existed=True, by="id")]
    assert await claim_some(storage, 1) == []


@clause("ENQ-2")
async def test_one_job_twice_in_a_batch_is_one_job(storage: Storage) -> None:
    answers = await storage.enqueue([job(digest="d"), job(digest="d")])

    assert answers == [Enqueued("job", S.READY), Enqueued("job", S.READY, existed=True, by="id")]
    assert [run.id for run in await claim_some(storage, 5)] == ["job"]


@clause("ENQ-3", "ENQ-4")
async def test_an_id_with_another_content_is_a_conflict_and_nothing_of_the_batch_is_stored(storage: Storage) -> None:
    await enqueue_one(storage, "b", digest="one")
    before = await look(storage)

    with pytest.raises(Conflict) as conflict:
        await storage.enqueue([job("a"), job("b", digest="two"), job("c")])

    assert conflict.value.reason == "content"
    assert await look(storage) == before


@clause("ENQ-3", "ENQ-4")
async def test_two_contents_under_one_id_in_a_batch_are_a_conflict(storage: Storage) -> None:
    with pytest.raises(Conflict):
        await storage.enqueue([job("a", digest="one"), job("a", digest="two")])

    assert (await look(storage)).jobs == {}


@clause("ENQ-4", "ENQ-7")
async def test_an_unknown_dependency_is_not_found_and_nothing_of_the_batch_is_stored(storage: Storage) -> None:
    await enqueue_one(storage, "known")
    before = await look(storage)

    with pytest.raises(NotFound) as missing:
        await storage.enqueue([job("a", depends_on=("known",)), job("b", depends_on=("ghost",))])

    assert missing.value.job_id == "ghost"
    assert await look(storage) == before


@clause("ENQ-5", "STORE-11")
async def test_jobs_are_ready_in_the_fresh_lane_in_the_order_of_the_batch(storage: Storage) -> None:
    names = [f"job {n}" for n in (3, 1, 2)]
    answers = await storage.enqueue([job(name) for name in names])

    records = [await get_one(storage, name) for name in names]

    assert [answer.job_id for answer in answers] == names
    assert {(record.state, record.lane) for record in records} == {(S.READY, Lane.FRESH)}
    assert [run.id for run in await claim_some(storage, 3)] == names


@clause("ENQ-6", "TIME-1")
async def test_a_delayed_job_is_scheduled_from_the_clock_of_the_storage(storage: Storage, clock: Clock) -> None:
    await enqueue_one(storage, delay_ms=1)

    record = await get_one(storage)

    assert (record.state, record.due_ms) == (S.SCHEDULED, clock() + 1)


@clause("ENQ-6")
@pytest.mark.parametrize(("ahead_ms", "state"), [(1, S.SCHEDULED), (0, S.READY), (-1, S.READY)])
async def test_an_instant_is_ahead_or_it_is_now(storage: Storage, clock: Clock, ahead_ms: int, state: State) -> None:
    await enqueue_one(storage, at_ms=clock() + ahead_ms)

    assert await states(storage, "job") == [state]


@clause("ENQ-6")
async def test_an_instant_wins_over_a_delay(storage: Storage, clock: Clock) -> None:
    await enqueue_one(storage, at_ms=clock() + 5, delay_ms=1_000)

    assert (await get_one(storage)).due_ms == clock() + 5


REFUSED = [
    ({"lease_ms": 0}, InvalidInput),
    ({"lease_ms": -1}, InvalidInput),
    ({"lease_ms": bounds.MIN_LEASE_MS - 1}, InvalidInput),
    ({"lease_ms": bounds.MAX_LEASE_MS + 1}, InvalidInput),
    ({"queue": "two words"}, InvalidName),
    ({"task": "two words"}, InvalidName),
    ({"queue": ""}, InvalidName),
    ({"queue": "q" * (bounds.MAX_NAME_CHARS + 1)}, InvalidName),
    ({"payload": b"x" * (bounds.MAX_PAYLOAD_BYTES + 1)}, TooLarge),
    ({"delay_ms": bounds.MAX_DELAY_MS + 1}, InvalidInput),
    ({"delay_ms": -1}, InvalidInput),
    ({"max_attempts": 0}, InvalidInput),
    ({"max_stalls": 0}, InvalidInput),
    ({"tenant": "t" * (bounds.MAX_OPAQUE_BYTES + 1)}, InvalidInput),
    ({"depends_on": ("bad",)}, FlowInvalid),
    ({"child_of": "children"}, InvalidInput),
]


@clause("ENQ-4", "ENQ-8")
@pytest.mark.parametrize(("options", "error"), REFUSED, ids=lambda case: str(case)[:40])
async def test_a_job_out_of_bounds_is_refused_with_its_whole_batch(
    storage: Storage, options: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await storage.enqueue([job("good"), replace(job("bad"), **options)])

    assert (await look(storage)).jobs == {}


ACCEPTED = [
    {"lease_ms": bounds.MIN_LEASE_MS},
    {"lease_ms": bounds.MAX_LEASE_MS},
    {"queue": "q" * bounds.MAX_NAME_CHARS},
    {"payload": b"x" * bounds.MAX_PAYLOAD_BYTES},
    {"delay_ms": bounds.MAX_DELAY_MS},
    {"max_attempts": 1},
    {"tenant": "é" * (bounds.MAX_OPAQUE_BYTES // 2)},
]


@clause("ENQ-8")
@pytest.mark.parametrize("options", ACCEPTED, ids=lambda case: str(case)[:40])
async def test_a_job_at_its_bounds_is_accepted(storage: Storage, options: dict[str, object]) -> None:
    await enqueue_one(storage, **options)

    record = await get_one(storage)

    assert {name: getattr(record, name) for name in options} == options


@clause("STORE-9", "ENQ-4")
async def test_a_batch_over_its_bounds_is_refused_whole(storage: Storage) -> None:
    too_many = [job(f"job {n}") for n in range(bounds.MAX_BATCH + 1)]
    payload = b"x" * bounds.MAX_PAYLOAD_BYTES
    too_heavy = [job(f"job {n}", payload=payload) for n in range(bounds.MAX_BATCH_BYTES // len(payload) + 1)]

    for batch in (too_many, too_heavy):
        with pytest.raises(TooLarge):
            await storage.enqueue(batch)

    assert (await look(storage)).jobs == {}
    assert len(await storage.enqueue(too_many[:-1])) == bounds.MAX_BATCH


@clause("LEASE-6", "FLOW-8")
async def test_children_may_be_enqueued_again_only_by_the_run_that_owns_the_parent(storage: Storage) -> None:
    parent = await start(storage, "parent")
    await spawn(storage, parent, "child")
    await end(storage, parent, Released())
    before = await look(storage)

    with pytest.raises(LeaseLost):
        await spawn(storage, parent, "child")

    assert changes(before, await look(storage)) == {}
