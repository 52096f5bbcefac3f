"""Chapter 12: what an operator sets for a queue."""

from typing import Any

import pytest

from aiq.bounds import MAX_CONCURRENCY, MAX_PERIOD_MS
from aiq.errors import InvalidInput, InvalidName, QueueFull
from aiq.model import Admitted, OnExceeded, QueueSettings, QueueStatus, Released, RouteSpec, Sleeping, State, Waiting
from aiq.storage import Storage, queue_topic, room_topic
from aiq.testing.actions import (
    GOOD,
    LONG_MS,
    changed,
    claim_one,
    claim_some,
    end,
    enqueue_one,
    failed,
    job,
    spawn,
    start,
    states,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import ask, need, offered, open_call, put_budget, tell, units

S = State
HOUR_MS = 3_600_000


async def bound(storage: Storage, **settings: Any) -> QueueStatus:
    return await storage.configure("default", QueueSettings(**settings))


@clause("QUEUE-1")
async def test_a_queue_refuses_more_than_its_bound_and_stores_none_of_the_batch(storage: Storage) -> None:
    await bound(storage, max_ready=3)
    await storage.enqueue([job("a"), job("b", delay_ms=1_000)])
    with pytest.raises(QueueFull) as refused:
        await storage.enqueue([job("c"), job("d")])
    assert (refused.value.queue, refused.value.ready, refused.value.bound) == ("default", 2, 3)
    assert await states(storage, "c", "d") == [None, None]

    await storage.enqueue([job("c"), job("elsewhere", queue="other")])
    with pytest.raises(QueueFull):
        await enqueue_one(storage, "d")
    assert await storage.get_queue("default") == QueueStatus(
        name="default", settings=QueueSettings(max_ready=3), paused=False, ready=3
    )


@clause("QUEUE-1")
async def test_what_runs_waits_or_has_run_makes_no_room_scarce(storage: Storage, clock: Clock) -> None:
    await bound(storage, max_ready=2)
    await storage.enqueue([job("a"), job("b")])
    first, second = await claim_some(storage, 2)
    await storage.enqueue([job("c"), job("d")])
    await storage.enqueue([job("waits", depends_on=("c",)), job("waits too", depends_on=("c",))])
    # Those that come back are never refused, and are not counted.
    await end(storage, first, failed(5))
    await end(storage, second, Released())
    status = await storage.get_queue("default")
    assert status.ready == 2
    with pytest.raises(QueueFull):
        await enqueue_one(storage, "e")


@clause("QUEUE-1")
async def test_children_are_never_refused(storage: Storage) -> None:
    await bound(storage, max_ready=1)
    parent = await start(storage, "parent")
    await enqueue_one(storage, "a")
    await spawn(storage, parent, "child 1", "child 2")
    assert (await storage.get_queue("default")).ready == 1
    await end(storage, parent, Waiting("children", None))


@clause("QUEUE-1", "ENQ-2")
async def test_a_job_that_is_stored_is_enqueued_again_into_a_full_queue(storage: Storage) -> None:
    await bound(storage, max_ready=1)
    await enqueue_one(storage)
    (answer,) = await storage.enqueue([job()])
    assert answer.existed


@clause("QUEUE-1")
@pytest.mark.parametrize("how", ["claimed", "cancelled", "held", "refused"])
async def test_a_job_that_leaves_makes_room_and_producers_are_told(storage: Storage, how: str) -> None:
    await put_budget(storage, tokens=0, on_exceeded=OnExceeded.FAIL)
    await bound(storage, max_ready=1)
    await enqueue_one(storage, budgets=("purse",) if how == "refused" else (), estimate=need(1))
    mark = await storage.wait([room_topic("default")], after=None, timeout_ms=LONG_MS)
    match how:
        case "claimed" | "refused":
            await offered(storage)
        case "cancelled":
            await storage.cancel(["job"])
        case "held":
            await storage.hold(["job"])
    assert await changed(storage, mark, room_topic("default"))
    assert (await storage.get_queue("default")).ready == 0
    await enqueue_one(storage, "next")


@clause("QUEUE-1")
async def test_a_bound_below_what_stands_leaves_that_alone(storage: Storage) -> None:
    await storage.enqueue([job(f"job {n}") for n in range(5)])
    assert (await storage.get_queue("default")).ready is None
    await bound(storage, max_ready=2)
    assert (await storage.get_queue("default")).ready == 5
    assert len(await claim_some(storage, 3)) == 3
    with pytest.raises(QueueFull):
        await enqueue_one(storage, "new")
    await claim_one(storage)
    await enqueue_one(storage, "new")
    await bound(storage)
    await storage.enqueue([job(f"more {n}") for n in range(5)])


@clause("QUEUE-1")
async def test_jobs_that_become_ready_later_are_not_refused(storage: Storage, clock: Clock) -> None:
    await bound(storage, max_ready=1)
    await storage.enqueue([job("upstream", queue="other")])
    await storage.enqueue([job(f"down {n}", depends_on=("upstream",)) for n in range(3)])
    await end(storage, await claim_one(storage, "other"), GOOD)
    assert (await storage.get_queue("default")).ready == 3


@clause("QUEUE-2")
async def test_a_queue_runs_at_most_so_many_at_once(storage: Storage, clock: Clock) -> None:
    await bound(storage, concurrency=2)
    await storage.put_limits([units("gpt", 99)])
    await storage.enqueue([job("plain"), job("tenant", tenant="acme"), job("limited", limits=("gpt",)), job("last")])
    await enqueue_one(storage, "elsewhere", queue="other")
    runs = await claim_some(storage, 10)
    assert [run.id for run in runs] == ["plain", "tenant"]
    assert len((await offered(storage, "other"))[0]) == 1
    clock.advance_ms(20_000)
    assert (await offered(storage))[0] == []
    for run, expected in zip(runs, ["limited", "last"], strict=True):
        await end(storage, run, GOOD)
        assert (await offered(storage))[0] == [expected]


@clause("QUEUE-2")
async def test_a_queue_starts_at_most_so_many_in_a_time(storage: Storage, clock: Clock) -> None:
    await bound(storage, rate=2, rate_per_ms=1_000)
    await storage.enqueue([job(f"job {n}", lease_ms=HOUR_MS) for n in range(8)])
    # A period of the rate may start at once, and then one every half second.
    assert await offered(storage) == (["job 0", "job 1"], 500)
    clock.advance_ms(499)
    assert await offered(storage) == ([], 1)
    clock.advance_ms(1)
    assert await offered(storage) == (["job 2"], 500)
    clock.advance_ms(HOUR_MS - 1_000)
    assert (await offered(storage))[0] == ["job 3", "job 4"]


@clause("QUEUE-2")
async def test_a_start_counts_whatever_becomes_of_the_run(storage: Storage) -> None:
    await bound(storage, rate=2, rate_per_ms=1_000)
    for _ in range(2):
        await end(storage, await start(storage, f"job {_}"), Released(50_000))
    await enqueue_one(storage, "next")
    assert await offered(storage) == ([], 500)


@clause("QUEUE-2")
async def test_calls_do_not_count_against_the_rate_of_a_queue(storage: Storage) -> None:
    await bound(storage, rate=2, rate_per_ms=1_000, concurrency=2)
    await storage.put_limits([units("gpt", 99)])
    run = await start(storage, limits=("gpt",))
    for number in (1, 2, 3, 4):
        await open_call(storage, run, number, need(1))
    await tell(storage, run, 1)
    assert isinstance(await ask(storage, run, 5, need(1)), Admitted)
    await enqueue_one(storage, "next")
    assert (await offered(storage))[0] == ["next"]


@clause("QUEUE-3")
async def test_a_queue_that_is_full_parks_none_of_its_pools(storage: Storage, clock: Clock) -> None:
    await bound(storage, concurrency=1)
    await storage.put_limits([units("gpt", 99), units("claude", 99)])
    run = await start(storage, "runs", lease_ms=HOUR_MS)
    routes = (
        RouteSpec(name="one", model="one", limits=("gpt",), patience_ms=1_000),
        RouteSpec(name="two", model="two", limits=("claude",)),
    )
    await enqueue_one(storage, routes=routes)
    assert (await offered(storage))[0] == []
    # No pool is parked, so nobody loses patience: the other route would not be any shorter.
    clock.advance_ms(1_000)
    assert (await storage.upkeep()).rerouted == 0
    await end(storage, run, GOOD)
    assert [run.model for run in await claim_some(storage, 1)] == ["one"]


@clause("QUEUE-3", "BAND-1")
async def test_the_pools_of_a_full_queue_go_on_in_their_order(storage: Storage) -> None:
    await bound(storage, concurrency=1)
    await storage.put_limits([units(f"limit-{n}", 99) for n in range(7)])
    run = await start(storage, "runs")
    await storage.enqueue([job(f"job {n:02}", limits=(f"limit-{n * 3 % 7}",)) for n in range(14)])
    for n in range(14):
        mark = await storage.wait([queue_topic("default")], after=None, timeout_ms=LONG_MS)
        assert (await offered(storage))[0] == []
        await end(storage, run, GOOD)
        assert await changed(storage, mark, queue_topic("default"))
        (run,) = await claim_some(storage, 10)
        assert run.id == f"job {n:02}"


@clause("QUEUE-2")
async def test_settings_bind_from_the_next_job_that_starts(storage: Storage) -> None:
    await storage.enqueue([job(f"job {n}") for n in range(6)])
    runs = await claim_some(storage, 3)
    await bound(storage, concurrency=1)
    assert (await offered(storage))[0] == ["job 3"]
    await end(storage, runs[0], GOOD)
    assert (await offered(storage))[0] == []
    await bound(storage)
    assert (await offered(storage))[0] == ["job 4", "job 5"]


@clause("QUEUE-2")
async def test_a_wider_bound_lets_jobs_go_at_once(storage: Storage) -> None:
    await bound(storage, concurrency=1)
    await storage.enqueue([job(f"job {n}") for n in range(4)])
    assert len((await offered(storage))[0]) == 1
    mark = await storage.wait([queue_topic("default")], after=None, timeout_ms=LONG_MS)
    await bound(storage, concurrency=3)
    assert await changed(storage, mark, queue_topic("default"))
    assert len((await offered(storage))[0]) == 2


@clause("QUEUE-2")
async def test_what_ran_under_a_bound_gives_its_unit_back_after_that_is_gone(storage: Storage) -> None:
    await bound(storage, concurrency=1)
    run = await start(storage)
    await bound(storage)
    await end(storage, run, GOOD)
    await bound(storage, concurrency=1)
    await storage.enqueue([job("a"), job("b")])
    assert (await offered(storage))[0] == ["a"]


@clause("QUEUE-2")
async def test_a_run_that_sleeps_gives_its_unit_back(storage: Storage, clock: Clock) -> None:
    await bound(storage, concurrency=1)
    run = await start(storage, "sleeps")
    await enqueue_one(storage, "other")
    await end(storage, run, Sleeping("nap", 5))
    assert (await offered(storage))[0] == ["other"]
    clock.advance_ms(5)
    assert (await offered(storage))[0] == []


@clause("QUEUE-1", "QUEUE-2")
@pytest.mark.parametrize(
    "settings",
    [
        {"max_ready": -1},
        {"concurrency": 0},
        {"concurrency": MAX_CONCURRENCY + 1},
        {"rate": 0},
        {"rate": 1, "rate_per_ms": 0},
        {"rate": 1, "rate_per_ms": MAX_PERIOD_MS + 1},
    ],
)
async def test_settings_out_of_range_are_refused(storage: Storage, settings: dict[str, int]) -> None:
    await bound(storage, max_ready=7)
    with pytest.raises(InvalidInput):
        await bound(storage, **settings)
    assert (await storage.get_queue("default")).settings == QueueSettings(max_ready=7)


@clause("QUEUE-1", "QUEUE-2")
async def test_a_queue_that_nobody_configured_has_no_bounds(storage: Storage) -> None:
    assert await storage.get_queue("unknown") == QueueStatus(name="unknown")
    await storage.pause("unknown")
    assert (await storage.get_queue("unknown")).paused
    with pytest.raises(InvalidName):
        await storage.configure("two words", QueueSettings())
    with pytest.raises(InvalidName):
        await storage.get_queue("two words")


@clause("QUEUE-2", "LIMIT-1")
async def test_the_limit_of_a_queue_is_no_limit_that_others_see(storage: Storage) -> None:
    await bound(storage, concurrency=2)
    await claim_some(storage, 1)
    assert await storage.get_limits() == []
