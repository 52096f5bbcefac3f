"""Chapter 16: another generation for what ended badly."""

from dataclasses import replace

import pytest

from aiq import bounds
from aiq.errors import InvalidInput, LeaseLost, NotFound, TooLarge
from aiq.model import (
    BudgetSpec,
    Cause,
    ChunkKind,
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
    Waiting,
)
from aiq.rules.fingerprints import OF_CAUSE
from aiq.storage import Storage, settle
from aiq.testing.actions import (
    BAD,
    GOOD,
    chunks,
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
    value,
)
from aiq.testing.burials import (
    PRINT,
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
from aiq.testing.spending import counted, tell

CHILD_FAILED = deadly(cause=Cause.CHILD)


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


@clause("DEAD-14")
async def test_a_child_whose_parent_has_ended_is_refused(storage: Storage) -> None:
    await fan_out(storage, "child")
    await end_one(storage, BAD, "children")
    await end_one(storage, CHILD_FAILED)
    before = await look(storage)

    assert reasons(await redrive(storage, "child")) == ["parent_terminal"]
    assert await look(storage) == before


@clause("DEAD-14")
async def test_a_child_that_is_detached_runs_alone(storage: Storage) -> None:
    await fan_out(storage, "child")
    await end_one(storage, BAD, "children")
    await end_one(storage, CHILD_FAILED)
    parent = await get_one(storage, "parent")

    again = await revive(storage, "child", detach=True)
    await end_one(storage, GOOD, "children")
    await keep_up(storage)

    assert again.parent_id is None
    assert await get_one(storage, "parent") == parent
    assert await states(storage, "child") == [State.SUCCEEDED]
    assert await storage.audit() == []


@clause("DEAD-14")
async def test_a_child_whose_parent_goes_on_is_redriven_and_counts_once(storage: Storage) -> None:
    await fan_out(storage, "one", "two")
    await end_one(storage, BAD, "children")

    await revive(storage, "one")
    await end_one(storage, GOOD, "children")
    await end_one(storage, GOOD, "children")

    parent = await get_one(storage, "parent")
    assert (parent.state, await states(storage, "one", "two")) == (State.READY, [State.SUCCEEDED] * 2)
    assert await storage.audit() == []


@clause("DEAD-15")
async def test_a_job_that_never_ran_is_refused_while_its_dependency_is_dead(storage: Storage) -> None:
    await enqueue_one(storage, "first")
    await enqueue_one(storage, "second", depends_on=("first",))
    await end_one(storage, deadly())
    await keep_up(storage)

    assert reasons(await redrive(storage, "second")) == ["upstream"]
    assert await storage.audit() == []


@clause("DEAD-15")
async def test_a_job_that_never_ran_waits_for_a_dependency_that_is_redriven(storage: Storage) -> None:
    await enqueue_one(storage, "good")
    await enqueue_one(storage, "first")
    await enqueue_one(storage, "second", depends_on=("first", "good"))
    await end_one(storage, GOOD)
    await end_one(storage, deadly())
    await keep_up(storage)

    answers = await redrive(storage, "first", "second")
    waiting = await get_one(storage, "second")
    assert reasons(answers) == ["redriven", "redriven"]
    assert (waiting.state, waiting.pending) == (State.WAITING, 1)
    assert await storage.audit() == []

    await end_one(storage, GOOD)
    assert (await claim_one(storage)).id == "second"
    assert await storage.audit() == []


@clause("DEAD-15")
async def test_a_job_that_never_ran_is_ready_when_its_dependencies_have_succeeded_since(storage: Storage) -> None:
    await enqueue_one(storage, "first")
    await enqueue_one(storage, "second", depends_on=("first",))
    await end_one(storage, deadly())
    await keep_up(storage)
    await end(storage, await run_again(storage, "first"), GOOD)

    assert (await revive(storage, "second", id="then")).state is State.READY


@clause("DEAD-15")
async def test_a_job_that_continues_is_redriven_whatever_its_dependency_did(storage: Storage) -> None:
    await enqueue_one(storage, "first")
    await enqueue_one(storage, "second", depends_on=("first",), on_upstream="continue")
    await storage.cancel(["second"])
    await end_one(storage, deadly())

    assert (await revive(storage, "second")).state is State.READY


@clause("DEAD-15")
async def test_a_dependency_that_dies_again_takes_the_redriven_job_along(storage: Storage) -> None:
    await enqueue_one(storage, "first")
    await enqueue_one(storage, "second", depends_on=("first",))
    await end_one(storage, deadly())
    await keep_up(storage)
    await redrive(storage, "first", "second")

    await end_one(storage, deadly())
    await keep_up(storage)

    assert await states(storage, "first", "second") == [State.DEAD, State.DEAD]
    assert await storage.audit() == []


@clause("DEAD-16")
async def test_a_parent_that_died_of_its_children_waits_again_for_those_that_did_not_succeed(storage: Storage) -> None:
    await fan_out(storage, "good", "bad", "worse")
    await end_one(storage, GOOD, "children")
    await end_one(storage, BAD, "children")
    await end_one(storage, BAD, "children")
    await end_one(storage, CHILD_FAILED)

    parent = await revive(storage, "parent")
    assert (parent.state, parent.wait_key, parent.pending) == (State.WAITING, "children", 2)
    assert await storage.audit() == []
    await keep_up(storage)
    assert await states(storage, "good", "bad", "worse") == [State.SUCCEEDED, State.READY, State.READY]
    assert await storage.audit() == []

    await end_one(storage, GOOD, "children")
    assert (await get_one(storage, "parent")).state is State.WAITING
    await end_one(storage, GOOD, "children")

    assert (await claim_one(storage)).id == "parent"
    assert [step.key for step in await storage.get_steps("parent")] == ["children"]
    assert await storage.audit() == []


@clause("DEAD-16")
async def test_a_parent_that_was_cancelled_while_it_waited_waits_again(storage: Storage) -> None:
    await fan_out(storage, "one", "two")
    await storage.cancel(["parent"])
    await keep_up(storage)
    assert await states(storage, "one", "two") == [State.CANCELLED, State.CANCELLED]

    await revive(storage, "parent")
    await keep_up(storage)

    assert await states(storage, "parent", "one", "two") == [State.WAITING, State.READY, State.READY]
    assert await storage.audit() == []


@clause("DEAD-16")
async def test_a_parent_that_is_redriven_before_its_children_were_cancelled_keeps_them(storage: Storage) -> None:
    await fan_out(storage, "one")
    await storage.cancel(["parent"])

    await revive(storage, "parent")
    await keep_up(storage)

    assert await states(storage, "one") == [State.READY]
    assert await storage.audit() == []


@clause("DEAD-16")
async def test_children_that_a_run_saw_fail_stay_as_they_are(storage: Storage) -> None:
    await fan_out(storage, "bad")
    await end_one(storage, BAD, "children")
    await end_one(storage, deadly(cause=Cause.HANDLER))

    parent = await revive(storage, "parent")
    await keep_up(storage)

    assert (parent.state, await states(storage, "bad")) == (State.READY, [State.DEAD])
    assert [step.key for step in await storage.get_steps("parent")] == ["children"]


@clause("DEAD-16")
async def test_children_of_children_are_redriven_too(storage: Storage) -> None:
    await fan_out(storage, "middle")
    middle = await claim_one(storage, "children")
    await spawn(storage, middle, "leaf", queue="leaves")
    await end(storage, middle, Waiting("children", None))
    await end_one(storage, BAD, "leaves")
    await end_one(storage, CHILD_FAILED, "children")
    await end_one(storage, CHILD_FAILED)

    await revive(storage, "parent")
    await keep_up(storage)

    assert await states(storage, "parent", "middle", "leaf") == [State.WAITING, State.WAITING, State.READY]
    assert await storage.audit() == []
    await end_one(storage, GOOD, "leaves")
    await end_one(storage, GOOD, "children")
    assert (await claim_one(storage)).id == "parent"


@clause("DEAD-16")
async def test_a_child_that_depends_on_another_waits_for_it_again(storage: Storage) -> None:
    parent = await start(storage, "parent")
    batch = [
        job("z first", child_of="children", queue="children"),
        job("a second", child_of="children", queue="children", depends_on=("z first",)),
    ]
    await storage.enqueue(batch, parent=parent.lease)
    await end(storage, parent, Waiting("children", None))
    await end_one(storage, BAD, "children")
    await keep_up(storage)
    await end_one(storage, CHILD_FAILED)

    await revive(storage, "parent")
    await keep_up(storage)

    assert await states(storage, "z first", "a second") == [State.READY, State.WAITING]
    assert await storage.audit() == []


@clause("DEAD-16")
async def test_many_children_are_redriven_a_sweep_at_a_time(storage: Storage) -> None:
    names = [f"child {n:03}" for n in range(5)]
    await fan_out(storage, *names)
    for _ in names:
        await end_one(storage, BAD, "children")
    await end_one(storage, CHILD_FAILED)
    await revive(storage, "parent")

    assert (await storage.upkeep(limit=2)).outbox == 2
    assert (await states(storage, *names)).count(State.READY) == 2
    await keep_up(storage)

    assert await states(storage, *names) == [State.READY] * 5
    assert await storage.audit() == []


@clause("DEAD-16")
async def test_a_parent_cancelled_before_its_children_were_redriven_leaves_nothing_open(storage: Storage) -> None:
    await fan_out(storage, "child")
    await end_one(storage, BAD, "children")
    await end_one(storage, CHILD_FAILED)
    await revive(storage, "parent")

    await storage.cancel(["parent"])
    await keep_up(storage)

    assert await states(storage, "parent", "child") == [State.CANCELLED, State.DEAD]
    assert await storage.audit() == []


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


@clause("DEAD-20")
async def test_the_next_run_names_the_end_of_the_stream_in_its_reset(storage: Storage) -> None:
    run = await start(storage)
    await storage.append(run.lease, chunks("a", "b"))
    await end(storage, run, deadly())
    again = await run_again(storage)
    assert await storage.audit() == []

    await storage.append(again.lease, chunks("c"))
    await end(storage, again, GOOD)

    items = (await storage.read("job")).chunks
    assert [item.kind for item in items] == [
        ChunkKind.DATA,
        ChunkKind.DATA,
        ChunkKind.ERROR,
        ChunkKind.RESET,
        ChunkKind.DATA,
        ChunkKind.END,
    ]
    assert items[3].void == ((1, 3),)
    assert await storage.audit() == []


@clause("DEAD-20")
async def test_what_a_remembered_step_emitted_still_counts_after_a_redrive(storage: Storage) -> None:
    run = await start(storage)
    await storage.append(run.lease, chunks("a", step="plan"))
    await storage.save_step(run.lease, value("plan"))
    await end(storage, run, deadly())

    again = await run_again(storage)
    await end(storage, again, GOOD)

    items = (await storage.read("job")).chunks
    assert [item.void for item in items if item.kind is ChunkKind.RESET] == [((2, 2),)]


@clause("DEAD-21")
async def test_a_run_of_the_generation_before_has_lost_its_lease(storage: Storage, clock: Clock) -> None:
    zombie = await start(storage, max_attempts=1, lease_ms=1_000)
    clock.advance_ms(1_000)
    await keep_up(storage)
    await revive(storage)
    before = await look(storage)

    with pytest.raises(LeaseLost):
        await end(storage, zombie, GOOD)
    assert await look(storage) == before


@clause("DEAD-21")
async def test_what_a_run_of_the_generation_before_has_used_is_still_counted(storage: Storage, clock: Clock) -> None:
    need = Estimate(input=10, max_output=0, model="gpt")
    await storage.put_budgets([BudgetSpec(id="purse", caps={"tokens": 10_000})])
    zombie = await start(storage, max_attempts=1, lease_ms=1_000, estimate=need, budgets=("purse",))
    clock.advance_ms(1_000)
    await keep_up(storage)
    await revive(storage)

    await tell(storage, zombie, 0, used=Usage("gpt", input=700))

    assert (await counted(storage, job_id="job"))["input"] == 700


@clause("DEAD-22")
async def test_a_job_that_succeeds_after_a_redrive_has_recovered(storage: Storage) -> None:
    await die(storage, "one")
    await die(storage, "two")
    await redrive(storage, "one", "two")
    await end_one(storage, GOOD)
    assert (await the_group(storage)).success_rate == 1.0

    await end_one(storage, deadly("e" * 32))

    group = await the_group(storage)
    assert (group.redriven, group.recovered, group.relapsed) == (2, 1, 1)
    assert group.success_rate == 0.5
    assert (await the_group(storage, "e" * 32)).redriven == 0


@clause("DEAD-22")
async def test_a_cancelled_job_has_neither_recovered_nor_relapsed(storage: Storage) -> None:
    await die(storage)
    await revive(storage)
    await storage.cancel(["job"])
    await revive(storage, id="once more")
    await end_one(storage, GOOD)

    group = await the_group(storage)

    assert (group.redriven, group.recovered, group.relapsed) == (1, 0, 0)
    assert await storage.audit() == []


@clause("DEAD-22")
async def test_a_relapse_counts_with_the_group_of_the_last_redrive(storage: Storage) -> None:
    await die(storage)
    await revive(storage)
    await end_one(storage, deadly("e" * 32))
    await revive(storage, id="once more")
    await end_one(storage, GOOD)

    assert (await the_group(storage)).relapsed == 1
    assert (await the_group(storage, "e" * 32)).recovered == 1
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


@clause("DEAD-2")
async def test_a_child_that_died_of_its_dependency_stands_in_that_group_until_it_is_redriven(storage: Storage) -> None:
    await enqueue_one(storage, "first")
    await enqueue_one(storage, "second", depends_on=("first",))
    await end_one(storage, deadly())
    await keep_up(storage)
    await redrive(storage, "first", "second")

    assert (await the_group(storage, OF_CAUSE["upstream"])).dead == 0
    assert (await the_group(storage, PRINT)).dead == 0
    assert await storage.audit() == []


@clause("DEAD-23")
async def test_a_redriven_job_has_its_unique_key_again(storage: Storage) -> None:
    await die(storage, unique="k")

    await revive(storage)

    assert (await storage.enqueue([job("other", unique="k")]))[0].job_id == "job"
    assert await storage.audit() == []
    await end_one(storage, GOOD)
    assert (await storage.enqueue([job("other", unique="k")]))[0].job_id == "other"


@clause("DEAD-23")
async def test_a_job_whose_unique_key_another_has_is_refused(storage: Storage) -> None:
    await die(storage, unique="k")
    await die(storage, "twin", unique="k")
    await enqueue_one(storage, "other", unique="k")
    before = await look(storage)

    assert reasons(await redrive(storage, "job")) == ["unique"]
    assert await look(storage) == before

    await storage.cancel(["other"])
    assert reasons(await redrive(storage, "job", "twin", id="then")) == ["redriven", "unique"]
    assert await storage.audit() == []


@clause("DEAD-23")
async def test_a_job_has_its_unique_key_again_that_it_had_for_a_time(storage: Storage, clock: Clock) -> None:
    await die(storage, unique="k", unique_for_ms=1_000)

    await revive(storage)

    assert await storage.audit() == []
    clock.advance_ms(1_000)
    assert (await storage.enqueue([job("other", unique="k")]))[0].job_id == "other"
    assert await storage.audit() == []


@clause("DEAD-24")
async def test_an_ordered_job_stays_in_its_queue(storage: Storage) -> None:
    await die(storage, key="k", per_key=1)

    assert reasons(await redrive(storage, "job", queue="slow")) == ["key"]
    assert reasons(await redrive(storage, "job", queue="default")) == ["redriven"]
    assert await storage.audit() == []


@clause("DEAD-24")
async def test_a_redriven_job_joins_the_line_of_its_key(storage: Storage) -> None:
    for name in ("one", "two", "three"):
        await enqueue_one(storage, name, key="k", per_key=1)
    await end_one(storage, deadly())

    await revive(storage, "one")

    order = []
    for _ in range(3):
        (run,) = await claim_some(storage, 3)
        order.append(run.id)
        await end(storage, run, GOOD)
    assert sorted(order) == ["one", "three", "two"]


@clause("DEAD-25")
async def test_a_job_that_died_of_its_deadline_has_none_after_a_redrive(storage: Storage, clock: Clock) -> None:
    await enqueue_one(storage, expires_ms=1_000)
    clock.advance_ms(1_000)
    await keep_up(storage)
    assert (await the_group(storage, OF_CAUSE["deadline"])).dead == 1

    again = await revive(storage)
    clock.advance_ms(10_000)
    await keep_up(storage)

    assert (again.deadline_ms, (await get_one(storage)).state) == (None, State.READY)
