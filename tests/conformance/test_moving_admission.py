"""Chapter 20, where it touches admission: what is held, waited for and served moves with its jobs."""

import asyncio
from collections.abc import Iterator

import pytest

from aiq.bounds import MAX_SWEEP
from aiq.model import QueueSettings, RouteSpec, State, moving
from aiq.storage import Storage, claim
from aiq.testing.actions import GOOD, end, enqueue_one, job, keep_up, start, states, wish
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.moves import everything, move, reference
from aiq.testing.spending import balance, need, put_budget, put_limit, units


@pytest.fixture
def target(runner: asyncio.Runner, clock: Clock) -> Iterator[Storage]:
    """The reference, from which every other storage takes in what it holds, and the other way round."""
    storage = runner.run(reference(clock))
    yield storage
    runner.run(storage.close())


@pytest.fixture(params=["from", "into"])
def ways(request: pytest.FixtureRequest, storage: Storage, target: Storage) -> tuple[Storage, Storage]:
    """From the storage under test into the reference, and the other way round."""
    return (storage, target) if request.param == "from" else (target, storage)


@pytest.fixture
def source(ways: tuple[Storage, Storage]) -> Storage:
    """The storage that is moved."""
    return ways[0]


@pytest.fixture
def goal(ways: tuple[Storage, Storage]) -> Storage:
    """Where it is moved."""
    return ways[1]


@clause("MOVE-1")
async def test_what_is_set_of_queues_and_tenants_moves_with_them(source: Storage, goal: Storage) -> None:
    await source.configure("default", QueueSettings(max_ready=2, concurrency=1))
    await source.pause("slow")
    await source.weigh("acme", 500)
    await enqueue_one(source, tenant="acme")

    await move(source, goal)

    assert await goal.get_queue("default") == await source.get_queue("default")
    assert (await goal.get_queue("slow")).paused
    assert moving.Tenant(tenant="acme", weight=500) in await everything(goal)


@clause("MOVE-1")
async def test_held_jobs_move_in_the_order_in_which_they_were_held(source: Storage, goal: Storage) -> None:
    await put_budget(source, "purse", tokens=10)
    for name in ("second", "first"):
        await enqueue_one(source, name, queue=name, budgets=("purse",), estimate=need(20))
    for name in ("first", "second"):
        assert await claim(source, wish(1, name)) == ()

    await move(source, goal)
    await goal.grant("purse", "more", {"tokens": 10})

    assert await states(goal, "first", "second") == [State.READY, State.HELD]


@clause("MOVE-1")
async def test_who_is_still_to_be_let_go_when_a_storage_moves_is_let_go_there(source: Storage, goal: Storage) -> None:
    await put_budget(source, "purse", tokens=1)
    for first in range(0, MAX_SWEEP + 44, 100):
        names = [f"job {n}" for n in range(first, first + 100)]
        await source.enqueue([job(name, budgets=("purse",), estimate=need(2)) for name in names])
        assert await claim(source, wish(100)) == ()
        assert await claim(source, wish(100)) == ()
    await source.grant("purse", "more", {"tokens": 10**6})
    assert (await source.count("default"))["default"][State.HELD] == 44

    await move(source, goal)
    await keep_up(goal)

    assert await goal.count("default") == {"default": {State.READY: MAX_SWEEP + 44}}


@clause("MOVE-1")
async def test_a_tenant_that_comes_after_a_move_begins_where_the_last_one_was_served(
    source: Storage, goal: Storage
) -> None:
    await put_limit(source, tokens=60_000)
    terms = {"limits": ("gpt",), "estimate": need(100)}
    await end(source, await start(source, "old", tenant="old", **terms), GOOD)

    await move(source, goal)
    await goal.enqueue([job(f"new {n}", tenant="new", **terms) for n in range(2)])
    await goal.enqueue([job("old again", tenant="old", **terms)])

    assert [run.id for run in await claim(goal, wish(3))] == await begun_without_a_move(terms)


async def begun_without_a_move(terms: dict[str, object]) -> list[str]:
    """In which order these jobs start where nothing has moved."""
    storage = await reference(Clock())
    await put_limit(storage, tokens=60_000)
    await end(storage, await start(storage, "old", tenant="old", **terms), GOOD)
    await storage.enqueue([job(f"new {n}", tenant="new", **terms) for n in range(2)])
    await storage.enqueue([job("old again", tenant="old", **terms)])
    found = [run.id for run in await claim(storage, wish(3))]
    await storage.close()
    return found


@clause("MOVE-1")
async def test_patience_goes_on_where_a_job_has_moved(source: Storage, goal: Storage, clock: Clock) -> None:
    await source.put_limits([units("slow")])
    await start(source, "takes it all", limits=("slow",), lease_ms=600_000)
    routes = (RouteSpec(name="slow", limits=("slow",), patience_ms=60_000), RouteSpec(name="fast"))
    await enqueue_one(source, "patient", queue="patient", routes=routes)
    assert await claim(source, wish(1, "patient")) == ()
    clock.advance_ms(50_000)

    await move(source, goal)

    assert await claim(goal, wish(1, "patient")) == ()
    clock.advance_ms(10_000)
    assert [(run.id, run.route) for run in await claim(goal, wish(1, "patient"))] == [("patient", 1)]


@clause("MOVE-1")
async def test_what_a_run_has_reserved_is_settled_where_its_job_has_moved(source: Storage, goal: Storage) -> None:
    await put_budget(source, "purse", tokens=1_000)
    run = await start(source, budgets=("purse",), estimate=need(100))
    assert await balance(source, "purse") == (0, 100)

    await move(source, goal)
    await end(goal, run, GOOD)

    assert await balance(goal, "purse") == (100, 0)
