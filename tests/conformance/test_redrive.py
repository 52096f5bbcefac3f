"""Chapter 16: another generation for what ended badly."""

from dataclasses import replace

import pytest

from aiq import bounds
from aiq.errors import InvalidInput, NotFound, TooLarge
from aiq.model import (
    BudgetSpec,
    Estimate,
    Lane,
    LimitSpec,
    Redrive,
    Redriven,
    RouteSpec,
    State,
    Suspended,
    Target,
    Usage,
)
from aiq.storage import Storage, settle
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
    look,
    start,
    states,
    value,
)
from aiq.testing.burials import (
    deadly,
    die,
    reasons,
    redrive,
    revive,
    run_again,
    the_group,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import tell


@clause("DEAD-11")
async def test_a_redriven_job_begins_its_next_generation(storage: Storage) -> None:
    await enqueue_one(storage, max_attempts=2)
    await end_one(storage, failed())
    await end_one(storage, deadly())
    dead = await get_one(storage)

    again = await revive(storage)

    assert (again.generation, again.failures, again.stalls, again.attempt) == (2, 0, 0, 1)
    assert (again.state, again.lane, again.cause, again.finished_at_ms) == (State.READY, Lane.FRESH, None, None)
    assert (again.fence, again.errors) == (dead.fence, dead.errors)
    assert await storage.audit() == []


@clause("DEAD-11")
async def test_a_redriven_job_has_all_its_attempts_again(storage: Storage) -> None:
    await enqueue_one(storage, max_attempts=2)
    await end_one(storage, deadly())
    run = await run_again(storage)

    await end(storage, run, failed())

    assert (await get_one(storage)).state is State.READY
    assert run.fence == 2


@clause("DEAD-11")
async def test_a_job_that_stalled_to_death_may_stall_again(storage: Storage, clock: Clock) -> None:
    await start(storage, max_stalls=1, lease_ms=1_000)
    clock.advance_ms(1_000)
    await keep_up(storage)

    assert (await revive(storage)).stalls == 0


@clause("DEAD-11")
async def test_a_cancelled_job_is_redriven_without_its_cancel_request(storage: Storage) -> None:
    await start(storage)
    await storage.cancel(["job"])
    await storage.cancel(["job"], force=True)

    run = await run_again(storage)
    await end(storage, run, failed())

    assert run.cancel_requested_at_ms is None
    assert (await get_one(storage)).state is State.READY


@clause("DEAD-11")
async def test_a_redriven_job_keeps_its_steps(storage: Storage) -> None:
    run = await start(storage)
    await storage.save_step(run.lease, value("plan"))
    await end(storage, run, deadly())

    again = await run_again(storage)

    assert again.remembers
    assert [step.key for step in await storage.get_steps("job")] == ["plan"]


@clause("DEAD-11")
async def test_a_redriven_job_stands_on_its_first_route(storage: Storage) -> None:
    routes = (RouteSpec(name="gpt"), RouteSpec(name="claude"))
    run = await start(storage, routes=routes, max_attempts=2)
    await end(storage, run, failed())
    await end_one(storage, deadly())
    assert (await get_one(storage)).route == 1

    again = await revive(storage)

    assert (again.route, again.closed_routes) == (0, 0)


@clause("DEAD-12")
async def test_a_redrive_sent_again_changes_nothing(storage: Storage) -> None:
    await die(storage)
    request = Redrive(id="again", targets=(Target("job", 1),))
    assert await storage.redrive(request) == [Redriven("job", State.READY, 2)]
    before = await look(storage)

    assert await storage.redrive(request) == [Redriven("job", State.READY, 2, existed=True)]
    assert await look(storage) == before
    assert (await the_group(storage)).redriven == 1


@clause("DEAD-12")
async def test_of_two_redrives_one_happens(storage: Storage) -> None:
    await die(storage)
    await storage.redrive(Redrive(id="mine", targets=(Target("job", 1),)))

    answers = list(await storage.redrive(Redrive(id="yours", targets=(Target("job", 1),))))

    assert reasons(answers) == ["generation"]
    assert (await get_one(storage)).generation == 2


@clause("DEAD-12")
async def test_a_redrive_for_the_generation_before_is_refused_when_the_job_has_died_again(storage: Storage) -> None:
    await die(storage)
    await run_again(storage)
    await storage.cancel(["job"], force=True)

    answers = list(await storage.redrive(Redrive(id="late", targets=(Target("job", 1),))))

    assert reasons(answers) == ["generation"]


@clause("DEAD-13")
async def test_each_job_is_redriven_or_refused_by_itself(storage: Storage) -> None:
    await die(storage, "dead")
    await end(storage, await start(storage, "succeeded"), GOOD)
    await die(storage, "old")
    targets = (Target("none", 1), Target("old", 2), Target("succeeded", 1), Target("dead", 1))

    answers = list(await storage.redrive(Redrive(id="again", targets=targets)))

    assert reasons(answers) == ["not found", "generation", "state", "redriven"]
    assert isinstance(answers[0], NotFound)
    assert await states(storage, "dead", "succeeded", "old") == [State.READY, State.SUCCEEDED, State.DEAD]


@clause("DEAD-13")
async def test_a_job_that_goes_on_is_not_redriven(storage: Storage) -> None:
    await end(storage, await start(storage, "succeeded"), GOOD)
    await end(storage, await start(storage, "suspended"), Suspended("wait", "go"))
    await fan_out(storage, "child")
    await start(storage, "running")
    await enqueue_one(storage, "scheduled", delay_ms=5)
    for name in ("ready", "held"):
        await enqueue_one(storage, name)
    await storage.hold(["held"])
    before = await look(storage)
    names = ["succeeded", "suspended", "parent", "running", "scheduled", "ready", "held"]

    assert reasons(await redrive(storage, *names)) == ["state"] * len(names)
    assert await look(storage) == before


@clause("DEAD-17")
async def test_a_redrive_may_name_another_queue_and_band(storage: Storage) -> None:
    await die(storage)

    again = await revive(storage, queue="slow", band=3)

    assert (again.queue, again.band) == ("slow", 3)
    assert (await claim_one(storage, "slow")).id == "job"
    assert await storage.audit() == []


@clause("DEAD-17")
async def test_a_redrive_may_name_another_route(storage: Storage) -> None:
    await storage.put_limits([LimitSpec(name="two", concurrency=1)])
    await die(storage, routes=(RouteSpec(name="gpt"), RouteSpec(name="claude", limits=("two",))))

    run = await run_again(storage, route="claude")

    assert run.taken_limits == ("two",)
    assert await storage.audit() == []


@clause("DEAD-17")
async def test_a_route_that_the_job_does_not_have_is_refused(storage: Storage) -> None:
    await die(storage)

    assert reasons(await redrive(storage, "job", route="gpt")) == ["route"]
    assert (await get_one(storage)).state is State.DEAD


@clause("DEAD-17")
async def test_a_redrive_may_name_another_budget(storage: Storage) -> None:
    await storage.put_budgets([BudgetSpec(id="purse", caps={"tokens": 10})])
    await die(storage, estimate=Estimate(input=50, max_output=0))

    again = await revive(storage, budget="purse")

    assert again.budgets == ("purse",)
    assert await claim_some(storage, 1) == []
    assert (await get_one(storage)).state is State.HELD
    assert await storage.audit() == []


@clause("DEAD-17")
async def test_a_plain_job_may_be_given_a_budget(storage: Storage) -> None:
    await storage.put_budgets([BudgetSpec(id="purse", caps={"tokens": 10_000_000})])
    await die(storage)

    run = await run_again(storage, budget="purse")
    await tell(storage, run, 1, used=Usage("gpt", input=70))

    (status,) = await storage.get_budgets(["purse"])
    assert status.state.spent["tokens"] == 70
    assert await storage.audit() == []


@clause("DEAD-17")
async def test_a_budget_that_is_not_stored_refuses_the_whole_redrive(storage: Storage) -> None:
    await die(storage)

    with pytest.raises(NotFound):
        await redrive(storage, "job", budget="purse")
    assert (await get_one(storage)).state is State.DEAD


@clause("DEAD-17")
async def test_a_redrive_may_bring_another_payload_and_the_digest_stays(storage: Storage) -> None:
    await die(storage, payload=b"[1]", digest="d")

    run = await run_again(storage, payload=b"[2]")

    assert (run.payload, run.digest) == (b"[2]", "d")
    (answer,) = await storage.enqueue([job(payload=b"[1]", digest="d")])
    assert (answer.state, answer.existed) == (State.RUNNING, True)


@clause("DEAD-17")
async def test_another_payload_is_for_one_job(storage: Storage) -> None:
    await die(storage, "one")
    await die(storage, "two")

    with pytest.raises(InvalidInput):
        await redrive(storage, "one", "two", payload=b"[2]")
    with pytest.raises(TooLarge):
        await redrive(storage, "one", payload=b"x" * (bounds.MAX_PAYLOAD_BYTES + 1))
    assert await states(storage, "one", "two") == [State.DEAD, State.DEAD]


@clause("DEAD-18")
async def test_a_pace_lets_jobs_go_one_after_the_other(storage: Storage, clock: Clock) -> None:
    now_ms = clock()
    for name in ("one", "two", "three"):
        await die(storage, name)

    await redrive(storage, "two", "one", "three", delay_ms=100, spread_ms=50)

    dues = [(await get_one(storage, name)).due_ms for name in ("two", "one", "three")]
    assert dues == [now_ms + 100, now_ms + 150, now_ms + 200]
    clock.advance_ms(100)
    assert [run.id for run in await claim_some(storage, 3)] == ["two"]


@clause("DEAD-18")
async def test_without_a_delay_the_first_of_a_pace_is_ready_at_once(storage: Storage) -> None:
    for name in ("one", "two"):
        await die(storage, name)

    await redrive(storage, "one", "two", spread_ms=50)

    assert await states(storage, "one", "two") == [State.READY, State.SCHEDULED]


@clause("DEAD-19")
async def test_a_redrive_that_forgets_steps_leaves_none(storage: Storage) -> None:
    run = await start(storage)
    await storage.save_step(run.lease, value("plan", b"1"))
    await end(storage, run, deadly())

    again = await run_again(storage, forget_steps=True)
    await storage.save_step(again.lease, value("plan", b"2"))

    assert not again.remembers
    assert [step.value for step in await storage.get_steps("job")] == [b"2"]
    assert await storage.audit() == []


@clause("STORE-9")
async def test_more_redrives_than_a_batch_are_refused(storage: Storage) -> None:
    targets = tuple(Target(str(n), 1) for n in range(bounds.MAX_BATCH + 1))

    with pytest.raises(TooLarge):
        await storage.redrive(Redrive(id="again", targets=targets))
    assert len(await storage.redrive(Redrive(id="again", targets=targets[1:]))) == bounds.MAX_BATCH


@clause("DEAD-13")
@pytest.mark.parametrize("wrong", [{"id": ""}, {"delay_ms": -1}, {"spread_ms": -1}, {"queue": "no name"}])
async def test_a_redrive_with_a_value_out_of_range_is_refused(storage: Storage, wrong: dict[str, object]) -> None:
    await die(storage)

    with pytest.raises(InvalidInput):
        await storage.redrive(replace(Redrive(id="again", targets=(Target("job", 1),)), **wrong))
    assert (await get_one(storage)).state is State.DEAD


@clause("DEAD-13")
async def test_a_job_that_is_named_twice_is_refused(storage: Storage) -> None:
    await die(storage)

    with pytest.raises(InvalidInput):
        await storage.redrive(Redrive(id="again", targets=(Target("job", 1), Target("job", 1))))


@clause("STATE-6")
async def test_a_settlement_that_is_sent_again_after_a_redrive_gets_its_first_answer(storage: Storage) -> None:
    run = await start(storage)
    first = await settle(storage, run.lease, deadly(), settlement_id="mine")
    await revive(storage)

    assert await settle(storage, run.lease, deadly(), settlement_id="mine") == first
    assert (await get_one(storage)).state is State.READY
