"""Chapter 11: what lets held jobs go, and in which order."""

from typing import Any

import pytest

from aiq import bounds
from aiq.model import (
    CallState,
    HeldFor,
    Lane,
    OnExceeded,
    Released,
    State,
    Usage,
)
from aiq.storage import Storage, queue_topic
from aiq.testing.actions import (
    GOOD,
    LONG_MS,
    changed,
    claim_some,
    end,
    enqueue_one,
    get_one,
    job,
    keep_up,
    look,
    start,
    states,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import (
    need,
    offered,
    put_budget,
    tell,
    the_budget,
)

S = State
PURSE = ("purse",)


async def held_on_the_purse(storage: Storage, *counts: int, cap: int = 100, **options: Any) -> None:
    """Jobs "job 0", "job 1" … that need so many tokens each, and are held since all is spent."""
    await put_budget(storage, tokens=cap, **options)
    run = await start(storage, "spends", queue="spends", budgets=PURSE, estimate=need(cap))
    await tell(storage, run, 0, used=Usage(input=cap))
    for n, count in enumerate(counts):
        await enqueue_one(storage, f"job {n}", budgets=PURSE, estimate=need(count))
    assert (await offered(storage, count=len(counts)))[0] == []
    for n in range(len(counts)):
        assert (await get_one(storage, f"job {n}")).state is S.HELD


async def ready(storage: Storage, count: int) -> list[int]:
    """Which of the jobs are ready."""
    names = [f"job {n}" for n in range(count)]
    return [n for n, state in enumerate(await states(storage, *names)) if state is S.READY]


@clause("HOLD-3")
async def test_letting_go_makes_held_jobs_ready_in_front_in_the_order_given(storage: Storage) -> None:
    await storage.enqueue([job(name) for name in "abcd"])
    await storage.hold(["a", "b", "c"])
    answer = await storage.unhold(["c", "ghost", "a", "c"])

    assert [(r.id, r.state, r.lane) if r else None for r in answer] == [
        ("c", S.READY, Lane.RETURNED),
        None,
        ("a", S.READY, Lane.RETURNED),
        ("c", S.READY, Lane.RETURNED),
    ]
    record = await get_one(storage, "a")
    assert (record.held, record.held_by, record.failures, record.events) == (None, "", 0, 3)
    assert [run.id for run in await claim_some(storage, 5)] == ["c", "a", "d"]


@clause("HOLD-3")
async def test_letting_go_leaves_what_is_not_held_alone(storage: Storage) -> None:
    await start(storage)
    await enqueue_one(storage, "other")
    before = await look(storage)
    await storage.unhold(["job", "other"])
    assert await look(storage) == before


@clause("HOLD-3", "HOLD-1")
async def test_a_job_let_go_by_hand_is_held_again_by_a_budget_without_room(storage: Storage) -> None:
    await held_on_the_purse(storage, 10)
    await storage.unhold(["job 0"])
    assert await ready(storage, 1) == [0]
    assert (await offered(storage))[0] == []
    record = await get_one(storage, "job 0")
    assert (record.state, record.held) == (S.HELD, HeldFor.BUDGET)


@clause("HOLD-4")
async def test_a_grant_lets_jobs_go_in_the_order_in_which_they_were_held(storage: Storage) -> None:
    await held_on_the_purse(storage, 50, 30, 40, 5)
    await storage.grant("purse", "one", {"tokens": 49})
    assert await ready(storage, 4) == []
    await storage.grant("purse", "two", {"tokens": 50})

    # 99 are enough for the first two; the third needs 40 of the 19 that are left, and the fourth stands behind it.
    assert await ready(storage, 4) == [0, 1]
    assert [run.id for run in await claim_some(storage, 5)] == ["job 0", "job 1"]
    assert (await the_budget(storage)).waiting == 2


@clause("HOLD-4")
async def test_a_higher_cap_lets_jobs_go(storage: Storage) -> None:
    await held_on_the_purse(storage, 50, 50, 50)
    mark = await storage.wait([queue_topic("default")], after=None, timeout_ms=LONG_MS)
    await put_budget(storage, tokens=200)
    assert await ready(storage, 3) == [0, 1]
    assert await changed(storage, mark, queue_topic("default"))
    await put_budget(storage, caps={})
    assert await ready(storage, 3) == [0, 1, 2]


@clause("HOLD-4")
@pytest.mark.parametrize("how", ["settled", "unsent", "ended", "released"])
async def test_what_comes_back_to_a_budget_lets_jobs_go(storage: Storage, how: str) -> None:
    await put_budget(storage, tokens=100)
    run = await start(storage, "holds", queue="q", budgets=PURSE, estimate=need(100))
    await enqueue_one(storage, "job 0", budgets=PURSE, estimate=need(60))
    assert (await offered(storage))[0] == []
    match how:
        case "settled":
            await tell(storage, run, 0, used=Usage(input=40))
        case "unsent":
            await tell(storage, run, 0, CallState.UNSENT)
        case "ended":
            await tell(storage, run, 0, CallState.OPEN, Usage(input=40))
            assert await ready(storage, 1) == []
            await end(storage, run, GOOD)
        case "released":
            await end(storage, run, Released())
    assert await ready(storage, 1) == [0]


@clause("HOLD-4", "BUDGET-4")
async def test_a_late_correction_lets_jobs_go_too(storage: Storage, clock: Clock) -> None:
    await put_budget(storage, tokens=100)
    run = await start(storage, "lost", queue="q", budgets=PURSE, estimate=need(100), lease_ms=10)
    clock.advance_ms(10)
    await storage.upkeep()
    await enqueue_one(storage, "job 0", budgets=PURSE, estimate=need(60))
    assert (await offered(storage))[0] == []
    await tell(storage, run, 0, used=Usage(input=40))
    assert await ready(storage, 1) == [0]


@clause("HOLD-4")
async def test_room_in_a_parent_lets_go_who_is_held_on_the_parent(storage: Storage) -> None:
    await put_budget(storage, "org", tokens=100)
    await put_budget(storage, tokens=1_000, parent="org")
    await enqueue_one(storage, "job 0", budgets=PURSE, estimate=need(150))
    assert (await offered(storage))[0] == []
    await storage.grant("purse", "one", {"tokens": 1_000})
    assert await ready(storage, 1) == []
    await storage.grant("org", "one", {"tokens": 50})
    assert await ready(storage, 1) == [0]


@clause("HOLD-4")
async def test_one_held_for_an_approval_needs_a_grant(storage: Storage) -> None:
    await held_on_the_purse(storage, 50, on_exceeded=OnExceeded.APPROVE)
    await put_budget(storage, tokens=1_000, on_exceeded=OnExceeded.APPROVE)
    assert await ready(storage, 1) == []
    await storage.grant("purse", "one", {"tokens": 1})
    assert await ready(storage, 1) == [0]


@clause("HOLD-4")
async def test_a_grant_that_is_too_small_approves_nothing(storage: Storage) -> None:
    await held_on_the_purse(storage, 50, on_exceeded=OnExceeded.APPROVE)
    await storage.grant("purse", "one", {"tokens": 49})
    assert await ready(storage, 1) == []
    await storage.grant("purse", "one", {"tokens": 49})
    assert await ready(storage, 1) == []
    await storage.grant("purse", "two", {"tokens": 1})
    assert await ready(storage, 1) == [0]


@clause("HOLD-4")
async def test_a_sweep_of_held_jobs_goes_at_once_and_upkeep_lets_the_rest_go(storage: Storage) -> None:
    count = bounds.MAX_SWEEP + 20
    await put_budget(storage, tokens=0)
    for first in range(0, count, 100):
        names = [f"job {n}" for n in range(first, min(first + 100, count))]
        await storage.enqueue([job(name, budgets=PURSE, estimate=need(1)) for name in names])
    for _ in range(10):
        assert (await offered(storage, count=64))[0] == []
    assert (await storage.count())["default"] == {S.HELD: count}
    await storage.grant("purse", "one", {"tokens": count - 10})
    assert (await storage.count())["default"] == {S.HELD: 20, S.READY: bounds.MAX_SWEEP}

    assert (await offered(storage, "elsewhere"))[1] == 0
    assert (await storage.upkeep(4)).unheld == 4
    await keep_up(storage)
    assert (await storage.count())["default"] == {S.HELD: 10, S.READY: count - 10}


@clause("HOLD-4")
async def test_a_held_job_that_is_cancelled_stands_in_nobodys_way(storage: Storage) -> None:
    await held_on_the_purse(storage, 90, 10)
    await storage.cancel(["job 0"])
    await storage.grant("purse", "one", {"tokens": 10})
    assert await ready(storage, 2) == [1]


@clause("HOLD-4")
async def test_one_that_can_never_fit_is_passed_over_and_stays_held(storage: Storage) -> None:
    await held_on_the_purse(storage, 5_000, 50, 110, 40)
    await storage.grant("purse", "one", {"tokens": 100})
    # 5,000 are more than the 200 that the purse gives at most; the third could fit later, so it keeps its place.
    assert await ready(storage, 4) == [1]
    await storage.grant("purse", "two", {"tokens": 9})
    assert await ready(storage, 4) == [1]
    await storage.grant("purse", "three", {"tokens": 41})
    assert await ready(storage, 4) == [1, 2, 3]
    assert (await the_budget(storage)).waiting == 1


@clause("HOLD-4")
async def test_one_that_a_higher_cap_could_hold_keeps_those_behind_it_again(storage: Storage) -> None:
    await held_on_the_purse(storage, 5_000, 50, 50)
    await storage.grant("purse", "one", {"tokens": 50})
    assert await ready(storage, 3) == [1]
    await put_budget(storage, tokens=5_000)
    assert await ready(storage, 3) == [1]
    await storage.grant("purse", "two", {"tokens": 50})
    assert await ready(storage, 3) == [0, 1]


@clause("HOLD-4")
async def test_a_sweep_of_those_that_can_never_fit_keeps_nobody_waiting(storage: Storage) -> None:
    await held_on_the_purse(storage, 1)
    for first in range(0, bounds.MAX_SWEEP + 10, 100):
        await storage.enqueue([job(f"big {first + n}", budgets=PURSE, estimate=need(999)) for n in range(100)])
    await enqueue_one(storage, "small", budgets=PURSE, estimate=need(1))
    for _ in range(10):
        assert (await offered(storage, count=64))[0] == []
    await storage.grant("purse", "one", {"tokens": 2})
    assert await states(storage, "job 0", "small", "big 0") == [S.READY, S.READY, S.HELD]
