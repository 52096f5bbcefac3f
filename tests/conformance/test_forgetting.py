"""What is kept for a while only: closed calls, parts of limits, past windows of budgets, lines that say nothing."""

from typing import Any

import pytest

from aiq.bounds import RESERVATION_KEPT_MS
from aiq.model import JobRecord, LimitSpec, Released, Throttle, Usage, Window
from aiq.storage import Storage
from aiq.testing.actions import GOOD, claim_one, claim_some, end, enqueue_one, job, start
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import balance, need, put_budget, put_limit, tell, tokens, units

GPT, PURSE = ("gpt",), ("purse",)
KEPT_MS = RESERVATION_KEPT_MS
DAY_MS = 24 * 3_600_000
OCTOBER_MS = 1_727_740_800_000
"""The first instant of a month of 31 days, in UTC."""
PLENTY = LimitSpec(name="gpt", tokens=10**9)
"""A limit that never keeps anybody waiting here."""


async def parts(storage: Storage, name: str = "gpt") -> list[str]:
    """The tenants or keys of whose part of a limit anything is kept."""
    return [status.key for status in await storage.get_limits([name]) if status.used]


async def use_up(storage: Storage, *tenants: str, count: int = 10, **options: Any) -> None:
    """Run a job of each tenant, one after the other, that uses so much of the limit "gpt"."""
    for tenant in tenants:
        run = await begin(storage, tenant, count=count, **options)
        await tell(storage, run, 0, used=Usage(input=count))
        await end(storage, run, GOOD)


async def begin(storage: Storage, tenant: str, count: int = 10, **options: Any) -> JobRecord:
    """Start a job of a tenant, whose name is also its key."""
    place = sum(sum(states.values()) for states in (await storage.count()).values())
    name, limits = f"{tenant} {place}", {"limits": GPT, "estimate": need(count), "lease_ms": DAY_MS}
    return await start(storage, name, tenant=tenant, key=tenant or None, **{**limits, **options})


async def after(storage: Storage, clock: Clock, ms: int) -> None:
    """Let so much time pass, and do what is due then."""
    clock.advance_ms(ms)
    await storage.upkeep()


# Parts of limits.


@clause("LIMIT-17")
@pytest.mark.parametrize("by", ["tenant", "key"])
async def test_a_part_that_nobody_used_for_a_day_is_forgotten(storage: Storage, clock: Clock, by: str) -> None:
    await put_limit(storage, by=by)
    await use_up(storage, "acme")
    clock.advance_ms(1)
    await use_up(storage, "bolt")

    await after(storage, clock, KEPT_MS - 2)
    assert await parts(storage) == ["acme", "bolt"]
    await after(storage, clock, 1)
    assert await parts(storage) == ["bolt"]
    await after(storage, clock, 1)
    assert await parts(storage) == []


@clause("LIMIT-17", "LIMIT-4")
async def test_a_part_that_was_forgotten_begins_anew(storage: Storage, clock: Clock) -> None:
    await put_limit(storage, by="tenant", ramp_ms=60_000)
    await use_up(storage, "acme")
    (before,) = await storage.get_limits(GPT)
    assert before.pace == 100
    await after(storage, clock, KEPT_MS - 1)
    (grown,) = await storage.get_limits(GPT)
    assert grown.pace == 1_000
    await after(storage, clock, 1)

    await use_up(storage, "acme")
    assert await storage.get_limits(GPT) == [before]


@clause("LIMIT-17")
async def test_what_is_asked_of_a_part_keeps_it_for_another_day(storage: Storage, clock: Clock) -> None:
    await put_limit(storage, by="tenant")
    for _ in range(3):
        await use_up(storage, "acme")
        await after(storage, clock, KEPT_MS - 1)
        assert await parts(storage) == ["acme"]
    await after(storage, clock, 1)
    assert await parts(storage) == []


@clause("LIMIT-17")
@pytest.mark.parametrize("spec", [tokens(by="tenant"), units(by="tenant")], ids=["held", "a unit"])
async def test_a_part_of_which_something_is_taken_is_kept(storage: Storage, clock: Clock, spec: LimitSpec) -> None:
    await storage.put_limits([spec])
    run = await begin(storage, "acme", estimate=need(0, 4_000))
    clock.advance_ms(DAY_MS - 1)
    await storage.renew([run.lease])
    await after(storage, clock, DAY_MS - 1)
    assert await parts(storage) == ["acme"]
    (status,) = await storage.get_limits(GPT)
    assert status.tokens_held == (4_000 if spec.tokens else 0)

    await end(storage, run, GOOD)
    await after(storage, clock, KEPT_MS)
    assert await parts(storage) == []


SLOW: dict[str, Any] = {"burst_ms": 3 * DAY_MS, "tokens": 1_000, "per_ms": DAY_MS}


@clause("LIMIT-17")
@pytest.mark.parametrize(
    ("options", "throttle"),
    [
        (SLOW, None),
        ({"requests": 1, "burst_ms": 3 * DAY_MS, "per_ms": DAY_MS}, None),
        ({"ramp_ms": 3 * DAY_MS}, None),
        ({"tokens": None, "concurrency": 9}, Throttle(limit="gpt", key="acme", retry_after_ms=3 * DAY_MS)),
    ],
    ids=["tokens", "requests", "ramp", "frozen"],
)
async def test_a_part_is_kept_until_it_is_full_at_full_pace_and_not_frozen(
    storage: Storage, clock: Clock, options: dict[str, Any], throttle: Throttle | None
) -> None:
    await put_limit(storage, by="tenant", **options)
    await use_up(storage, "acme", count=3_000 if options == SLOW else 10)
    if throttle is not None:
        await storage.throttled([throttle])
    if "requests" in options:
        await use_up(storage, "acme", "acme")
    for _ in range(2):
        await after(storage, clock, KEPT_MS)
    assert await parts(storage) == ["acme"]
    for _ in range(3):
        await after(storage, clock, KEPT_MS)
    assert await parts(storage) == []


@clause("LIMIT-17")
async def test_a_limit_that_is_one_for_all_is_never_forgotten(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    await use_up(storage, "acme")
    for _ in range(3):
        await after(storage, clock, KEPT_MS)
    assert await parts(storage) == [""]


@clause("LIMIT-17", "CALL-13")
async def test_a_late_report_finds_its_part(storage: Storage, clock: Clock) -> None:
    await put_limit(storage, by="tenant", **SLOW)
    run = await begin(storage, "acme", 2_000, lease_ms=1_000)
    await after(storage, clock, 1_000)
    await storage.cancel([run.id], force=True)
    await after(storage, clock, KEPT_MS - 1)
    await tell(storage, run, 0, used=Usage(input=500))

    (status,) = await storage.get_limits(GPT)
    # 2,000 were charged of 3,000; in a day 999 came back, and 1,500 with the report.
    assert status.tokens_left == min(3_000, 3_000 - 2_000 + 999 + 1_500)


@clause("TIME-8")
async def test_upkeep_forgets_the_oldest_and_no_more_than_its_limit(storage: Storage, clock: Clock) -> None:
    await put_limit(storage, by="tenant")
    for tenant in ("c", "a", "d", "b"):
        await use_up(storage, tenant)
        clock.advance_ms(1)
    clock.advance_ms(KEPT_MS)

    for left in (["a", "b", "d"], ["b", "d"], ["b"]):
        done = await storage.upkeep(1)
        assert (await parts(storage), done.total, done.next_due_ms) == (left, 0, 0)
    await storage.upkeep()
    assert await parts(storage) == []
    assert (await storage.upkeep()).next_due_ms is None


@clause("TIME-8")
async def test_what_must_be_kept_does_not_stand_before_what_is_forgotten(storage: Storage, clock: Clock) -> None:
    await put_limit(storage, by="tenant")
    run = await begin(storage, "acme", estimate=need(0, 4_000))
    clock.advance_ms(DAY_MS - 1)
    await storage.renew([run.lease])
    await use_up(storage, "bolt")
    clock.advance_ms(DAY_MS - 1)
    await storage.renew([run.lease])
    clock.advance_ms(1)

    assert (await storage.upkeep(1)).next_due_ms == 0
    await storage.upkeep(1)
    assert await parts(storage) == ["acme"]


@clause("TIME-8", "CALL-13")
async def test_closed_calls_are_forgotten_a_few_at_a_time(storage: Storage, clock: Clock) -> None:
    await storage.put_limits([PLENTY])
    for _ in range(3):
        await use_up(storage, "")
    clock.advance_ms(KEPT_MS)
    assert [(await storage.upkeep(1)).next_due_ms for _ in range(2)] == [0, 0]


# Windows of budgets, and grants.


async def spend(storage: Storage, count: int) -> None:
    """Run a job to its end that uses so many tokens of the purse."""
    run = await draw(storage, count)
    await tell(storage, run, 0, used=Usage(input=count))
    await end(storage, run, GOOD)


async def draw(storage: Storage, count: int, **options: Any) -> JobRecord:
    """Start a job that holds so many tokens of the purse."""
    return await begin(storage, "", **{"limits": (), "budgets": PURSE, "estimate": need(count), **options})


async def granted(storage: Storage, grant_id: str = "one") -> int:
    """Grant a token, and tell how many were granted in this window."""
    status = await storage.grant("purse", grant_id, {"tokens": 1})
    return status.state.granted.get("tokens", 0)


@clause("BUDGET-15", "BUDGET-10")
@pytest.mark.parametrize(("window", "days"), [("day", 1), ("month", 31)])
async def test_the_id_of_a_grant_is_known_until_a_day_after_its_window(
    storage: Storage, clock: Clock, window: Window, days: int
) -> None:
    clock.set_ms(OCTOBER_MS)
    await put_budget(storage, tokens=100, window=window)
    assert await granted(storage) == 1
    for _ in range(days):
        await after(storage, clock, DAY_MS)
    assert await granted(storage) == 0
    await after(storage, clock, KEPT_MS - 1)
    assert await granted(storage) == 0
    await after(storage, clock, 1)
    assert await granted(storage) == 1


@clause("BUDGET-15", "BUDGET-10")
async def test_a_grant_without_a_window_is_known_for_ever(storage: Storage, clock: Clock) -> None:
    await put_budget(storage, tokens=100)
    assert await granted(storage) == 1
    for _ in range(40):
        await after(storage, clock, DAY_MS)
    assert await granted(storage) == 1


@clause("BUDGET-15", "BUDGET-10")
async def test_grants_of_later_windows_are_known_for_as_long(storage: Storage, clock: Clock) -> None:
    clock.set_ms(OCTOBER_MS)
    await put_budget(storage, tokens=100, window="day")
    await granted(storage)
    clock.advance_ms(2 * DAY_MS)
    assert await granted(storage, "two") == 1
    await storage.upkeep()
    assert [await granted(storage, name) for name in ("two", "one")] == [1, 2]


@clause("BUDGET-15", "TIME-8")
async def test_grants_go_a_few_at_a_time_and_with_the_last_of_them_their_window(storage: Storage, clock: Clock) -> None:
    clock.set_ms(OCTOBER_MS)
    await put_budget(storage, tokens=100, window="day")
    await spend(storage, 7)
    for n in range(3):
        await granted(storage, f"{n}")
    clock.advance_ms(2 * DAY_MS)

    assert (await storage.upkeep(2)).next_due_ms == 0
    clock.set_ms(OCTOBER_MS)
    assert await balance(storage) == (7, 0)
    clock.set_ms(OCTOBER_MS + 2 * DAY_MS)
    assert await granted(storage, "2") == 0
    await storage.upkeep(2)
    assert await granted(storage, "2") == 1
    clock.set_ms(OCTOBER_MS)
    assert await balance(storage) == (0, 0)


@clause("BUDGET-15")
async def test_what_was_spent_is_kept_until_a_day_after_its_window(storage: Storage, clock: Clock) -> None:
    clock.set_ms(OCTOBER_MS)
    await put_budget(storage, tokens=100, window="day")
    await spend(storage, 7)
    for later_ms, kept in ((DAY_MS, 7), (2 * DAY_MS - 1, 7), (2 * DAY_MS, 0)):
        clock.set_ms(OCTOBER_MS + later_ms)
        await storage.upkeep()
        clock.set_ms(OCTOBER_MS)
        assert await balance(storage) == (kept, 0)


@clause("BUDGET-15")
async def test_the_present_window_is_kept_however_long_nobody_spends(storage: Storage, clock: Clock) -> None:
    clock.set_ms(OCTOBER_MS)
    await put_budget(storage, tokens=100, window="month")
    await spend(storage, 7)
    for _ in range(30):
        await after(storage, clock, DAY_MS)
    assert await balance(storage) == (7, 0)


@clause("BUDGET-15")
async def test_a_window_in_which_something_is_held_is_kept(storage: Storage, clock: Clock) -> None:
    clock.set_ms(OCTOBER_MS + DAY_MS - 1)
    await put_budget(storage, tokens=100, window="day")
    run = await draw(storage, 7)
    for _ in range(3):
        clock.advance_ms(DAY_MS - 1)
        await storage.renew([run.lease])
        await storage.upkeep()
    clock.set_ms(OCTOBER_MS)
    assert await balance(storage) == (0, 7)
    clock.set_ms(OCTOBER_MS + 3 * DAY_MS)
    await end(storage, run, Released())
    clock.set_ms(OCTOBER_MS)
    assert await balance(storage) == (0, 0)


@clause("BUDGET-15", "CALL-13")
async def test_a_late_report_finds_its_window(storage: Storage, clock: Clock) -> None:
    clock.set_ms(OCTOBER_MS)
    await put_budget(storage, tokens=100, window="day")
    run = await draw(storage, 7)
    clock.advance_ms(DAY_MS - 1)
    await storage.renew([run.lease])
    clock.advance_ms(DAY_MS - 2)
    await storage.cancel([run.id], force=True)
    await after(storage, clock, KEPT_MS - 1)
    await tell(storage, run, 0, used=Usage(input=3))

    clock.set_ms(OCTOBER_MS)
    assert await balance(storage) == (3, 0)


# Lines and pools.


async def two_lines(storage: Storage) -> None:
    """Two jobs of a and two of b, of which those of a use five times as much as they were expected to."""
    await storage.put_limits([PLENTY])
    names = [(f"{n}{who}", who) for n in "12" for who in "ab"]
    await storage.enqueue([job(name, tenant=who, limits=GPT, estimate=need(1_000)) for name, who in names])
    for run in await claim_some(storage, 4):
        await tell(storage, run, 0, used=Usage(input=5_000 if run.tenant == "a" else 1_000))
        await end(storage, run, GOOD)


async def order(storage: Storage) -> str:
    """The tenants of the next jobs, of which b and a have nine each."""
    await storage.enqueue(
        [job(f"next {who}{n}", tenant=who, limits=GPT, estimate=need(1_000)) for who in "ba" for n in range(9)]
    )
    return "".join(run.tenant for run in await claim_some(storage, 10))


FORGOTTEN, REMEMBERED = "bababababa", "bbbbbbbbba"


@clause("FAIR-6")
@pytest.mark.parametrize(("age_ms", "expected"), [(KEPT_MS - 1, REMEMBERED), (KEPT_MS, FORGOTTEN)])
async def test_the_lines_of_a_pool_that_nobody_used_for_a_day_begin_anew(
    storage: Storage, clock: Clock, age_ms: int, expected: str
) -> None:
    await two_lines(storage)
    await after(storage, clock, age_ms)
    assert await order(storage) == expected


@clause("FAIR-6")
async def test_a_line_that_was_served_more_than_others_is_kept_while_its_pool_is_used(
    storage: Storage, clock: Clock
) -> None:
    await two_lines(storage)
    for _ in range(3):
        await after(storage, clock, KEPT_MS - 1)
        await enqueue_one(storage, f"cancelled {clock()}", tenant="c", limits=GPT, estimate=need(1_000))
        await storage.cancel([f"cancelled {clock()}"])
    assert await order(storage) == REMEMBERED


@clause("FAIR-6")
async def test_a_line_is_kept_while_others_with_less_service_have_jobs(storage: Storage, clock: Clock) -> None:
    await two_lines(storage)
    await enqueue_one(storage, "stands", tenant="b", limits=GPT, estimate=need(1_000))
    for _ in range(3):
        await after(storage, clock, KEPT_MS)
    assert await order(storage) == REMEMBERED


@clause("FAIR-6", "FAIR-3")
async def test_a_line_that_is_forgotten_is_lifted_as_it_would_have_been(storage: Storage, clock: Clock) -> None:
    await two_lines(storage)
    await enqueue_one(storage, "stands", tenant="a", limits=GPT, estimate=need(1_000))
    for _ in range(2):
        await after(storage, clock, KEPT_MS)
    # What b had is below what a has, which is all that counts.
    assert await order(storage) == FORGOTTEN


@clause("FAIR-6", "FAIR-2")
async def test_a_line_is_kept_for_a_day_from_the_end_of_its_run(storage: Storage, clock: Clock) -> None:
    await storage.put_limits([PLENTY])
    runs = [await begin(storage, tenant, 1_000) for tenant in "ab"]
    clock.advance_ms(DAY_MS // 2)
    for run, count in zip(runs, (10_000, 1_000), strict=True):
        await tell(storage, run, 0, used=Usage(input=count))
        await end(storage, run, GOOD)
    await after(storage, clock, DAY_MS // 2)
    assert await order(storage) == REMEMBERED


@clause("FAIR-6", "FAIR-3")
async def test_a_line_is_held_against_the_least_of_those_that_stand_and_not_the_last_that_was_served(
    storage: Storage, clock: Clock
) -> None:
    await storage.put_limits([units(by="tenant")])
    run = await begin(storage, "b")
    await storage.enqueue([job(f"next b{n}", tenant="b", limits=GPT) for n in range(9)])
    # The line of b stands aside, while a is served three times and d five times.
    await use_up(storage, *"aaaddddd")
    clock.advance_ms(DAY_MS - 1)
    await storage.renew([run.lease])
    await after(storage, clock, 1)

    await end(storage, run, GOOD)
    await storage.enqueue([job(f"next a{n}", tenant="a", limits=GPT) for n in range(9)])
    told = ""
    for _ in range(5):
        told += (run := await claim_one(storage)).tenant
        await end(storage, run, GOOD)
    assert told == "bbbba"


@clause("FAIR-6")
async def test_the_pools_of_each_queue_are_forgotten_for_themselves(storage: Storage, clock: Clock) -> None:
    await two_lines(storage)
    clock.advance_ms(1)
    other = {"queue": "other", "limits": GPT, "estimate": need(1_000)}
    await storage.enqueue([job(f"other {n}", tenant="ab"[n % 2], **other) for n in range(6)])
    await storage.cancel([f"other {n}" for n in range(6)])
    await after(storage, clock, KEPT_MS - 1)
    assert await order(storage) == FORGOTTEN
