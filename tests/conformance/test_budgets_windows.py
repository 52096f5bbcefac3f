"""Chapter 11: budgets that begin anew with each day or month."""

from datetime import UTC, datetime
from typing import Any

import pytest

from aiq.model import CallState, OnExceeded, State, Usage, Window
from aiq.storage import Storage
from aiq.testing.actions import GOOD, claim_one, end, enqueue_one, get_one, start
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import balance, need, offered, put_budget, tell, the_budget

S = State
PURSE = ("purse",)
DAY_MS = 24 * 3_600_000


def at(text: str) -> int:
    """An instant in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)


async def spend(storage: Storage, job_id: str, count: int) -> None:
    """Run a job to its end that uses so many tokens of the purse."""
    run = await start(storage, job_id, queue=job_id, budgets=PURSE, estimate=need(count), lease_ms=DAY_MS)
    await tell(storage, run, 0, used=Usage(input=count))
    await end(storage, run, GOOD)


@clause("BUDGET-7")
@pytest.mark.parametrize(
    ("window", "now", "begins", "ends"),
    [
        ("day", "2023-11-14T22:13:20", "2023-11-14", "2023-11-15"),
        ("day", "2023-12-31T23:59:59.999", "2023-12-31", "2024-01-01"),
        ("month", "2023-11-14T22:13:20", "2023-11-01", "2023-12-01"),
        ("month", "2024-01-31T12:00:00", "2024-01-01", "2024-02-01"),
        ("month", "2024-02-29T23:59:59.999", "2024-02-01", "2024-03-01"),
        ("month", "2023-02-28T23:59:59.999", "2023-02-01", "2023-03-01"),
        ("month", "2100-02-28T12:00:00", "2100-02-01", "2100-03-01"),
        ("month", "2023-12-01T00:00:00", "2023-12-01", "2024-01-01"),
    ],
)
async def test_a_window_is_a_day_or_month_in_utc(
    storage: Storage, clock: Clock, window: Window, now: str, begins: str, ends: str
) -> None:
    clock.set_ms(at(now))
    await put_budget(storage, tokens=1_000, window=window)
    await spend(storage, "first", 600)
    assert ((await the_budget(storage)).state.window_ms, await balance(storage)) == (at(begins), (600, 0))

    clock.set_ms(at(ends) - 1)
    assert await balance(storage) == (600, 0)
    clock.advance_ms(1)
    assert ((await the_budget(storage)).state.window_ms, await balance(storage)) == (at(ends), (0, 0))
    await spend(storage, "second", 600)


@clause("BUDGET-7")
async def test_a_budget_without_a_window_never_begins_anew(storage: Storage, clock: Clock) -> None:
    await put_budget(storage, tokens=1_000)
    await spend(storage, "first", 600)
    clock.advance_ms(400 * DAY_MS)
    assert ((await the_budget(storage)).state.window_ms, await balance(storage)) == (0, (600, 0))


@clause("BUDGET-7")
@pytest.mark.parametrize("how", ["settled", "reported", "unsent", "expired", "corrected"])
async def test_a_reservation_is_settled_in_the_window_in_which_it_was_admitted(
    storage: Storage, clock: Clock, how: str
) -> None:
    await put_budget(storage, tokens=1_000, window="day")
    clock.set_ms(at("2024-05-01T23:59:59"))
    run = await start(storage, budgets=PURSE, estimate=need(700), lease_ms=2_000)
    clock.advance_ms(1_000)
    assert await balance(storage) == (0, 0)
    match how:
        case "settled":
            await tell(storage, run, 0, used=Usage(input=500))
        case "reported":
            await tell(storage, run, 0, CallState.OPEN, Usage(input=500))
        case "unsent":
            await tell(storage, run, 0, CallState.UNSENT)
        case "expired" | "corrected":
            clock.advance_ms(1_000)
            await storage.upkeep()
    if how == "corrected":
        await tell(storage, run, 0, used=Usage(input=500))
    assert await balance(storage) == (0, 0)

    clock.set_ms(at("2024-05-01T23:59:59"))
    expected = {"settled": (500, 0), "reported": (500, 200), "unsent": (0, 0), "expired": (700, 0)}
    assert await balance(storage) == expected.get(how, (500, 0))


@clause("BUDGET-7", "BUDGET-10")
async def test_a_grant_is_for_the_present_window(storage: Storage, clock: Clock) -> None:
    await put_budget(storage, tokens=100, window="day")
    await storage.grant("purse", "one", {"tokens": 50})
    await spend(storage, "first", 150)
    clock.advance_ms(DAY_MS)
    assert dict((await the_budget(storage)).state.granted) == {}
    await enqueue_one(storage, budgets=PURSE, estimate=need(101))
    assert (await offered(storage))[0] == []

    assert dict((await storage.grant("purse", "one", {"tokens": 50})).state.granted) == {}
    await storage.grant("purse", "two", {"tokens": 1})
    assert (await offered(storage))[0] == ["job"]


async def held_for_a_day(storage: Storage, clock: Clock, *counts: int, **options: Any) -> None:
    """Jobs that are held on a budget whose day is over in a second."""
    clock.set_ms(at("2024-05-01T23:59:59"))
    await put_budget(storage, tokens=1_000, window="day", **options)
    await spend(storage, "spends", 999)
    for n, count in enumerate(counts):
        await enqueue_one(storage, f"job {n}", budgets=PURSE, estimate=need(count))
    assert (await offered(storage))[0] == []
    for n in range(len(counts)):
        assert (await get_one(storage, f"job {n}")).state is S.HELD


@clause("BUDGET-7", "HOLD-4")
async def test_a_new_window_lets_held_jobs_go_in_their_order(storage: Storage, clock: Clock) -> None:
    await held_for_a_day(storage, clock, 500, 400, 200)
    assert (await offered(storage))[1] == 1_000
    clock.advance_ms(999)
    assert (await storage.upkeep()).unheld == 0
    clock.advance_ms(1)

    done = await storage.upkeep()
    assert (done.unheld, done.total) == (2, 2)
    assert (await offered(storage))[0] == ["job 0", "job 1"]
    assert (await get_one(storage, "job 2")).state is S.HELD
    assert await balance(storage) == (0, 900)


@clause("BUDGET-7", "HOLD-4")
async def test_a_new_window_does_not_approve(storage: Storage, clock: Clock) -> None:
    await held_for_a_day(storage, clock, 500, on_exceeded=OnExceeded.APPROVE)
    clock.advance_ms(DAY_MS)
    assert (await storage.upkeep()).unheld == 0
    assert (await get_one(storage, "job 0")).state is S.HELD


@clause("BUDGET-7", "HOLD-4")
async def test_who_is_left_over_goes_with_the_window_after(storage: Storage, clock: Clock) -> None:
    await held_for_a_day(storage, clock, 700, 700)
    for n in range(2):
        clock.advance_ms(DAY_MS)
        assert (await storage.upkeep()).unheld == 1
        run = await claim_one(storage)
        assert run.id == f"job {n}"
        await end(storage, run, GOOD)


@clause("BUDGET-7")
async def test_parents_with_other_windows_count_each_for_themselves(storage: Storage, clock: Clock) -> None:
    clock.set_ms(at("2024-05-30T12:00:00"))
    await put_budget(storage, "month", tokens=1_500, window="month")
    await put_budget(storage, tokens=1_000, window="day", parent="month")
    seen = []
    for n in range(3):
        await enqueue_one(storage, f"job {n}", queue=f"q{n}", budgets=PURSE, estimate=need(800))
        given, _ = await offered(storage, f"q{n}")
        seen.append((bool(given), await balance(storage), await balance(storage, "month")))
        if given:
            run = await get_one(storage, given[0])
            await tell(storage, run, 0, used=Usage(input=800))
            await end(storage, run, GOOD)
        clock.advance_ms(DAY_MS)
    assert seen == [
        (True, (0, 800), (0, 800)),
        (False, (0, 0), (800, 0)),
        (True, (0, 800), (0, 800)),
    ]
    assert (await get_one(storage, "job 1")).held_by == "month"
