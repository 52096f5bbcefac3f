"""Chapter 13: what was used, and what it costs."""

import pytest

from aiq.bounds import MAX_MONEY
from aiq.errors import InvalidInput
from aiq.model import CallState, Deferred, PriceRow, Report, Usage, UsageFilter, UsageRow
from aiq.storage import Storage
from aiq.testing.actions import BAD, GOOD, claim_one, end, enqueue_one, failed, start
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import (
    REFUSED,
    balance,
    counted,
    need,
    open_call,
    put_budget,
    put_limit,
    put_prices,
    tell,
    units,
    used,
)

C = CallState
MINUTE_MS, HOUR_MS = 60_000, 3_600_000


def minute(clock: Clock) -> int:
    return clock() - clock() % MINUTE_MS


@clause("USAGE-1")
async def test_what_is_reported_is_counted_by_category_and_model_for_everybody_it_concerns(
    storage: Storage, clock: Clock
) -> None:
    run = await start(storage, flow="flow", tenant="acme")
    await tell(storage, run, 1, used=[Usage("gpt", 100, 30, reasoning=5), Usage("claude", 7)])
    rows = [
        UsageRow(minute_ms=minute(clock), model="claude", category="input", tokens=7, usd_micros=0, unpriced=7),
        UsageRow(minute_ms=minute(clock), model="gpt", category="input", tokens=100, usd_micros=0, unpriced=100),
        UsageRow(minute_ms=minute(clock), model="gpt", category="output", tokens=30, usd_micros=0, unpriced=30),
        UsageRow(minute_ms=minute(clock), model="gpt", category="reasoning", tokens=5, usd_micros=0, unpriced=5),
    ]
    for whose in ({}, {"job_id": "job"}, {"flow": "flow"}, {"tenant": "acme"}):
        assert await used(storage, **whose) == rows
    for whose in ({"job_id": "other"}, {"flow": "other"}, {"tenant": "other"}, {"tenant": ""}):
        assert await used(storage, **whose) == []


@clause("USAGE-1")
async def test_use_is_counted_once_whatever_is_repeated(storage: Storage) -> None:
    await put_limit(storage)
    run = await start(storage)
    await open_call(storage, run, 1, need(1_000, 500), "gpt")
    first = Report(lease=run.lease, call=1, state=C.OPEN, used=(Usage("gpt", 900, 50),))
    told = Report(lease=run.lease, call=1, state=C.OPEN, used=(Usage("gpt", 1_000, 100),))
    done = Report(lease=run.lease, call=1, state=C.SETTLED, used=(Usage("gpt", 1_000, 300),))
    for reports in ([first], [told], [first], [told], [told, done], [done], [told], [done]):
        await storage.report(reports)
    await end(storage, run, GOOD)
    await storage.report([done])
    assert await counted(storage) == {"input": 1_000, "output": 300}


@clause("USAGE-1", "USAGE-3")
async def test_each_run_of_a_job_counts_what_it_used(storage: Storage) -> None:
    await enqueue_one(storage, max_attempts=5)
    for outcome in (failed(), Deferred(REFUSED, 0), BAD):
        run = await claim_one(storage)
        await tell(storage, run, 1, used=Usage("gpt", 100, 10))
        await end(storage, run, outcome)
    assert await counted(storage, job_id="job") == {"input": 300, "output": 30}


@clause("USAGE-3")
@pytest.mark.parametrize("force", [True, False])
async def test_a_cancelled_run_has_used_what_it_reported(storage: Storage, force: bool) -> None:
    run = await start(storage)
    await tell(storage, run, 1, C.OPEN, Usage("gpt", 100))
    await storage.cancel(["job"], force=force)
    if not force:
        await end(storage, run, BAD)
    assert await counted(storage) == {"input": 100}


@clause("USAGE-1")
async def test_use_is_counted_in_the_minute_in_which_it_was_told(storage: Storage, clock: Clock) -> None:
    clock.set_ms(minute(clock) + MINUTE_MS - 1)
    run = await start(storage)
    await tell(storage, run, 1, C.OPEN, Usage("gpt", 100))
    clock.advance_ms(1)
    await tell(storage, run, 1, C.SETTLED, Usage("gpt", 150))
    first, second = await used(storage)
    assert (second.minute_ms - first.minute_ms, first.tokens, second.tokens) == (MINUTE_MS, 100, 50)


@clause("USAGE-2")
async def test_a_report_that_says_less_changes_nothing(storage: Storage) -> None:
    await put_limit(storage)
    run = await start(storage)
    await open_call(storage, run, 1, need(1_000, 500), "gpt")
    for usage in (Usage("gpt", 800, 100), Usage("gpt", 700, 200), Usage("gpt", 10)):
        await tell(storage, run, 1, C.OPEN, usage)
    assert await counted(storage) == {"input": 800, "output": 200}
    await tell(storage, run, 1, C.SETTLED, Usage("gpt", 1))
    assert await counted(storage) == {"input": 800, "output": 200}


@clause("USAGE-4")
async def test_an_estimate_is_counted_and_marked_until_it_is_known_better(storage: Storage) -> None:
    await put_limit(storage)
    await put_prices(storage, input=1_000_000, output=2_000_000)
    run = await start(storage, limits=("gpt",), estimate=need(1_000, 500, model="gpt"))
    await end(storage, run, GOOD)
    assert [(row.category, row.tokens, row.estimated, row.usd_micros) for row in await used(storage)] == [
        ("input", 1_000, 1_000, 1_000),
        ("output", 500, 500, 1_000),
    ]
    await tell(storage, run, 0, used=Usage("gpt", 300, 40))
    assert [(row.category, row.tokens, row.estimated, row.usd_micros) for row in await used(storage)] == [
        ("input", 300, 0, 300),
        ("output", 40, 0, 80),
    ]


@clause("USAGE-4")
async def test_a_call_that_nobody_estimated_and_nothing_was_reserved_for_counts_nothing(storage: Storage) -> None:
    await storage.put_limits([units("gpt", 5)])
    run = await start(storage, limits=("gpt",))
    await end(storage, run, GOOD)
    assert await used(storage) == []


@clause("USAGE-5")
@pytest.mark.parametrize(
    ("usage", "prices", "cost"),
    [
        (Usage("gpt", 1_000_000), {"input": 2_500_000}, 2_500_000),
        (Usage("gpt", 1), {"input": 1}, 1),
        (Usage("gpt", 1_000_000), {"input": 1}, 1),
        (Usage("gpt", 1_000_001), {"input": 1}, 2),
        (Usage("gpt", 3, 5), {"input": 100_000, "output": 300_000}, 2),
        (Usage("gpt", 400_000, 300_000), {"input": 1, "output": 2}, 1),
        (Usage("gpt", 7, 5, cache_read=1_000), {"input": 10, "output": 10, "cache_read": 1}, 1),
        (Usage("gpt", 5), {"input": 0}, 0),
    ],
)
async def test_the_cost_of_a_call_is_rounded_up_once(
    storage: Storage, usage: Usage, prices: dict[str, int], cost: int
) -> None:
    await put_prices(storage, **prices)
    run = await start(storage, estimate=need(0, model="gpt"))
    await tell(storage, run, 1, used=usage)
    assert sum(row.usd_micros for row in await used(storage)) == cost


@clause("USAGE-5")
async def test_a_cost_told_in_pieces_is_the_same_in_the_end(storage: Storage) -> None:
    await put_prices(storage, input=333_333, output=777_777)
    run = await start(storage, estimate=need(0, model="gpt"))
    for n in range(1, 8):
        await tell(storage, run, 1, C.OPEN, Usage("gpt", n, n))
    # 7 · (333,333 + 777,777) / 1,000,000 = 7.78
    assert sum(row.usd_micros for row in await used(storage)) == 8


@clause("USAGE-5")
async def test_each_model_of_a_call_is_rounded_for_itself(storage: Storage) -> None:
    await put_prices(storage, "gpt", input=1)
    await put_prices(storage, "claude", input=1)
    run = await start(storage)
    await tell(storage, run, 1, used=[Usage("gpt", 1), Usage("claude", 1)])
    assert sum(row.usd_micros for row in await used(storage)) == 2


@clause("USAGE-6")
@pytest.mark.parametrize("when", ["stored", "begun"])
async def test_the_prices_of_a_call_are_those_of_its_admission(storage: Storage, clock: Clock, when: str) -> None:
    await put_limit(storage)
    await put_budget(storage, usd_micros=10**9)
    await put_prices(storage, input=1_000_000)
    if when == "begun":
        await put_prices(storage, from_ms=clock() + 1, input=9_000_000)
    run = await start(storage, limits=("gpt",), estimate=need(100, model="gpt"), budgets=("purse",))
    if when == "stored":
        await put_prices(storage, input=9_000_000)
    clock.advance_ms(1)
    await tell(storage, run, 0, used=Usage("gpt", 100))
    assert await balance(storage, kind="usd_micros") == (100, 0)
    await end(storage, run, GOOD)

    again = await start(storage, "again", limits=("gpt",), estimate=need(100, model="gpt"), budgets=("purse",))
    await tell(storage, again, 0, used=Usage("gpt", 100))
    assert await balance(storage, kind="usd_micros") == (1_000, 0)


@clause("USAGE-6", "CALL-3")
async def test_a_call_that_adopts_is_admitted_at_the_prices_of_its_own_time(storage: Storage) -> None:
    await put_limit(storage)
    await put_prices(storage, input=1_000_000)
    run = await start(storage, limits=("gpt",), estimate=need(100, model="gpt"))
    await put_prices(storage, input=9_000_000)
    await open_call(storage, run, 1, need(100, model="gpt"))
    await put_prices(storage, input=77_000_000)
    await tell(storage, run, 1, used=Usage("gpt", 100))
    assert sum(row.usd_micros for row in await used(storage)) == 900


@clause("USAGE-7")
async def test_the_newest_price_that_has_begun_holds(storage: Storage, clock: Clock) -> None:
    for from_ms, price in ((0, 1), (clock() - 5, 3), (clock() - 10, 2), (clock() + 5, 4)):
        await put_prices(storage, from_ms=from_ms, input=price * 1_000_000)
    seen = []
    for n in range(3):
        run = await start(storage, f"job {n}", estimate=need(0, model="gpt"))
        await tell(storage, run, 1, used=Usage("gpt", 1))
        seen.append(sum(row.usd_micros for row in await used(storage, job_id=f"job {n}")))
        clock.advance_ms((4, 1, 0)[n])
    assert seen == [3, 3, 4]


@clause("USAGE-7")
async def test_a_price_stored_again_takes_its_place_and_the_rows_are_listed_in_order(storage: Storage) -> None:
    for price in (5, 7):
        await put_prices(storage, from_ms=100, output=price)
    await put_prices(storage, input=1, output=2)
    assert [(row.category, row.from_ms, row.usd_micros_per_million) for row in await storage.get_prices("gpt")] == [
        ("input", 0, 1),
        ("output", 0, 2),
        ("output", 100, 7),
    ]
    assert await storage.get_prices("ghost") == []


@clause("USAGE-7")
async def test_storing_absent_prices_leaves_a_model_that_has_any_alone(storage: Storage) -> None:
    await put_prices(storage, "gpt", input=1)
    rows = [
        PriceRow(model="gpt", category="output", usd_micros_per_million=9),
        PriceRow(model="claude", category="input", usd_micros_per_million=9),
        PriceRow(model="claude", category="output", usd_micros_per_million=9),
    ]
    await storage.put_prices(rows, absent_only=True)
    assert [row.category for row in await storage.get_prices("gpt")] == ["input"]
    assert await storage.get_prices("claude") == rows[1:]


@clause("USAGE-7")
@pytest.mark.parametrize(
    "row",
    [
        PriceRow(model="", category="input", usd_micros_per_million=1),
        PriceRow(model="gpt", category="two words", usd_micros_per_million=1),
        PriceRow(model="gpt", category="input", usd_micros_per_million=-1),
        PriceRow(model="gpt", category="input", usd_micros_per_million=MAX_MONEY + 1),
        PriceRow(model="gpt", category="input", usd_micros_per_million=1, from_ms=-1),
    ],
    ids=range(5),
)
async def test_a_price_out_of_range_is_refused(storage: Storage, row: PriceRow) -> None:
    with pytest.raises(InvalidInput):
        await storage.put_prices([PriceRow(model="good", category="input", usd_micros_per_million=1), row])
    assert await storage.get_prices("good") == []


@clause("USAGE-8")
async def test_a_report_lists_minutes_models_and_categories_in_their_order_a_page_at_a_time(
    storage: Storage, clock: Clock
) -> None:
    for n in range(3):
        run = await start(storage, f"job {n}", tenant=f"tenant {n % 2}", lease_ms=HOUR_MS)
        await tell(storage, run, 1, used=Usage("b", 1, 2))
        await tell(storage, run, 2, used=Usage("a", 3))
        clock.advance_ms(MINUTE_MS)
    everything = await used(storage)
    places = [(row.minute_ms, row.model, row.category) for row in everything]
    assert places == sorted(places)
    assert len(places) == 9

    page = await storage.usage(UsageFilter(), limit=4)
    rows = list(page.rows)
    while page.cursor is not None:
        page = await storage.usage(UsageFilter(), cursor=page.cursor, limit=4)
        rows += page.rows
    assert rows == everything
    assert len(await used(storage, tenant="tenant 0")) == 6


@clause("USAGE-8")
async def test_a_report_adds_up_what_fell_into_one_minute(storage: Storage) -> None:
    for n in range(3):
        run = await start(storage, f"job {n}", tenant="acme", flow=f"flow {n % 2}")
        await tell(storage, run, 1, used=Usage("gpt", 10))
    (row,) = await used(storage)
    assert row.tokens == 30
    assert [row.tokens for row in await used(storage, flow="flow 0")] == [20]


@clause("USAGE-8")
async def test_a_report_is_of_minutes_from_an_instant_up_to_another(storage: Storage, clock: Clock) -> None:
    began = minute(clock)
    for n in range(4):
        run = await start(storage, f"job {n}", lease_ms=HOUR_MS)
        await tell(storage, run, 1, used=Usage("gpt", 10**n))
        clock.advance_ms(MINUTE_MS)
    assert await counted(storage, since_ms=began + MINUTE_MS, until_ms=began + 3 * MINUTE_MS) == {"input": 110}
    assert await counted(storage, since_ms=began + 3 * MINUTE_MS) == {"input": 1_000}
    assert await counted(storage, until_ms=began + MINUTE_MS) == {"input": 1}


@clause("USAGE-8")
async def test_a_report_is_of_one_job_flow_or_tenant(storage: Storage) -> None:
    with pytest.raises(InvalidInput):
        await storage.usage(UsageFilter(job_id="job", tenant="acme"))
    with pytest.raises(InvalidInput):
        await storage.usage(UsageFilter(), cursor="no cursor of this storage")
    with pytest.raises(InvalidInput):
        await storage.usage(UsageFilter(), limit=0)


@clause("USAGE-9")
async def test_a_category_without_a_price_costs_what_the_dearest_of_its_model_does(storage: Storage) -> None:
    await put_prices(storage, input=1_000_000, output=8_000_000)
    run = await start(storage, estimate=need(0, model="gpt"))
    await tell(storage, run, 1, used=Usage("gpt", 10, video=100))
    assert [(row.category, row.usd_micros, row.unpriced) for row in await used(storage)] == [
        ("input", 10, 0),
        ("video", 800, 100),
    ]


@clause("USAGE-9")
async def test_a_model_without_any_price_costs_nothing_and_is_told_as_unpriced(storage: Storage) -> None:
    run = await start(storage)
    await tell(storage, run, 1, used=Usage("ghost", 10, 20))
    assert [(row.usd_micros, row.unpriced) for row in await used(storage)] == [(0, 10), (0, 20)]
