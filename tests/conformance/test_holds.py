"""Chapter 11: jobs that are held, by a budget, by hand, or by their own run."""

from typing import Any

import pytest

from aiq import bounds
from aiq.errors import Conflict, PriceUnknown, TooLarge
from aiq.model import (
    BudgetSpec,
    CallState,
    Cause,
    Deferred,
    Exceeded,
    Held,
    HeldFor,
    Lane,
    OnExceeded,
    Outcome,
    Refused,
    RouteSpec,
    State,
    Usage,
    Waiting,
)
from aiq.storage import Storage, queue_topic
from aiq.testing.actions import (
    GOOD,
    LONG_MS,
    changed,
    claim_one,
    claim_some,
    end,
    enqueue_one,
    failed,
    get_one,
    job,
    keep_up,
    look,
    spawn,
    start,
    states,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import (
    REFUSED,
    ask,
    balance,
    left,
    need,
    offered,
    open_call,
    put_budget,
    put_limit,
    put_prices,
    tell,
    the_budget,
    the_limit,
    tokens,
    units,
)

S = State
PURSE = ("purse",)


@clause("HOLD-1")
@pytest.mark.parametrize(
    ("on_exceeded", "reason"),
    [
        (OnExceeded.HOLD, HeldFor.BUDGET),
        (OnExceeded.APPROVE, HeldFor.APPROVAL),
        (OnExceeded.DEGRADE, HeldFor.BUDGET),
    ],
)
async def test_a_job_whose_budget_has_no_room_is_held_and_stands_in_no_line(
    storage: Storage, on_exceeded: OnExceeded, reason: HeldFor
) -> None:
    await put_budget(storage, tokens=100, on_exceeded=on_exceeded)
    await enqueue_one(storage, budgets=PURSE, estimate=need(101))
    await enqueue_one(storage, "behind", budgets=PURSE, estimate=need(99))

    assert (await offered(storage))[0] == ["behind"]
    record = await get_one(storage)
    assert (record.state, record.held, record.held_by) == (S.HELD, reason, "purse")
    assert (record.lease_id, record.events) == (None, 2)
    assert (await the_budget(storage)).waiting == 1


@clause("HOLD-2")
async def test_a_held_job_holds_no_limit_and_no_budget(storage: Storage) -> None:
    await put_limit(storage, requests=60, concurrency=3)
    await put_budget(storage, tokens=1_000)
    run = await start(storage, limits=("gpt",), budgets=PURSE, estimate=need(500, 100))
    await open_call(storage, run, 1, need(500, 100))
    await tell(storage, run, 1, used=Usage(input=500))
    await end(storage, run, Held(reason=HeldFor.BUDGET, by="purse", need={"tokens": 600}))

    status, record = await the_limit(storage), await get_one(storage)
    assert (status.requests_left, status.tokens_left, status.tokens_held, status.running) == (4, 4_500, 0, 0)
    assert (await balance(storage), record.state, record.lease_id) == ((500, 0), S.HELD, None)
    assert (await offered(storage))[0] == []


@clause("HOLD-2")
async def test_an_operator_may_hold_a_ready_job(storage: Storage) -> None:
    await storage.enqueue([job("a"), job("b"), job("c")])
    answer = await storage.hold(["b", "ghost", "c"])

    assert [record.id if record else None for record in answer] == ["b", None, "c"]
    assert [(r.state, r.held, r.held_by) for r in answer if r] == [(S.HELD, HeldFor.OPERATOR, "")] * 2
    assert [run.id for run in await claim_some(storage, 5)] == ["a"]
    before = await look(storage)
    assert await storage.hold(["c", "b"]) == [answer[2], answer[0]]
    assert await look(storage) == before


@clause("HOLD-2")
async def test_holding_a_job_that_is_neither_ready_nor_held_is_a_conflict_and_changes_nothing(
    storage: Storage, clock: Clock
) -> None:
    runs = await start(storage, "runs")
    ended = await start(storage, "ended")
    await end(storage, ended, GOOD)
    await storage.enqueue([job("ready"), job("later", delay_ms=5), job("waits", depends_on=("runs",))])
    before = await look(storage)
    for name in ("runs", "ended", "later", "waits"):
        with pytest.raises(Conflict) as refused:
            await storage.hold(["ready", name])
        assert refused.value.reason == "state"
    assert await look(storage) == before
    assert runs.fence == 1


@clause("HOLD-2", "STORE-9")
@pytest.mark.parametrize("operation", ["hold", "unhold"])
async def test_too_many_to_hold_or_let_go_are_refused(storage: Storage, operation: str) -> None:
    with pytest.raises(TooLarge):
        await getattr(storage, operation)(["job"] * (bounds.MAX_BATCH + 1))


@clause("HOLD-5")
async def test_a_budget_that_fails_ends_the_job_and_says_why(storage: Storage, clock: Clock) -> None:
    await put_budget(storage, tokens=1_000, on_exceeded=OnExceeded.FAIL)
    await enqueue_one(storage, budgets=PURSE, estimate=need(1_001))
    await enqueue_one(storage, "after", depends_on=("job",))
    assert (await offered(storage))[0] == []

    record = await get_one(storage)
    assert (record.state, record.cause, record.finished_at_ms) == (S.DEAD, Cause.BUDGET, clock())
    assert (record.failures, record.events, record.fence) == (0, 2, 0)
    (error,) = record.errors
    assert error.cause is Cause.BUDGET
    for figure in ("purse", "1,000", "1,001"):
        assert figure in error.message
    await keep_up(storage)
    assert (await get_one(storage, "after")).cause is Cause.UPSTREAM


@clause("HOLD-5")
async def test_a_child_that_its_budget_ends_counts_for_its_parent(storage: Storage) -> None:
    await put_budget(storage, tokens=10, on_exceeded=OnExceeded.FAIL)
    parent = await start(storage, "parent")
    await spawn(storage, parent, "child", key="k", queue="children", budgets=PURSE, estimate=need(11))
    await end(storage, parent, Waiting("k", None))
    assert (await offered(storage, "children"))[0] == []
    assert await states(storage, "child", "parent") == [S.DEAD, S.READY]


@clause("HOLD-6")
async def test_a_budget_that_degrades_takes_the_next_open_route_and_looks_anew(storage: Storage) -> None:
    await put_prices(storage, "large", input=10_000_000)
    await put_prices(storage, "small", input=1_000_000)
    await put_budget(storage, usd_micros=5_000, on_exceeded=OnExceeded.DEGRADE)
    routes = (RouteSpec(name="one", model="large"), RouteSpec(name="two", model="small"))
    await enqueue_one(storage, budgets=PURSE, routes=routes, estimate=need(1_000))
    await enqueue_one(storage, "cheap", budgets=PURSE, routes=routes, estimate=need(100))

    assert sorted((await offered(storage))[0]) == ["cheap", "job"]
    record = await get_one(storage)
    assert (record.route, record.closed_routes, record.lane, record.failures) == (1, 0, Lane.FRESH, 0)
    assert record.events == 3
    assert (await get_one(storage, "cheap")).route == 0
    assert await balance(storage, kind="usd_micros") == (0, 2_000)


@clause("HOLD-6")
async def test_a_budget_that_degrades_holds_a_job_that_has_no_route_left(storage: Storage) -> None:
    await put_budget(storage, tokens=5, on_exceeded=OnExceeded.DEGRADE)
    routes = tuple(RouteSpec(name=name) for name in ("one", "two", "three"))
    run = await start(storage, routes=routes)
    await end(storage, run, Deferred(REFUSED, 0, close_route=True))
    assert (await get_one(storage)).route == 1
    await enqueue_one(storage, "poor", routes=routes, budgets=PURSE, estimate=need(6))
    given, _ = await offered(storage)

    record = await get_one(storage, "poor")
    assert given == ["job"]
    assert (record.state, record.held, record.held_by, record.route) == (S.HELD, HeldFor.BUDGET, "purse", 2)


@clause("HOLD-6", "ROUTE-4")
async def test_degrading_leaves_out_what_is_closed(storage: Storage) -> None:
    for model, price in (("a", 10_000_000), ("b", 1_000_000), ("c", 2_000_000)):
        await put_prices(storage, model, input=price)
    await put_budget(storage, usd_micros=100_000, on_exceeded=OnExceeded.DEGRADE)
    routes = tuple(RouteSpec(name=name, model=name) for name in "abc")
    await enqueue_one(storage, budgets=PURSE, routes=routes, estimate=need(1_000), max_attempts=5)
    await tell_nothing_used(storage, failed())
    await tell_nothing_used(storage, Deferred(REFUSED, 0, close_route=True))
    await tell_nothing_used(storage, failed())
    record = await get_one(storage)
    assert (record.route, record.closed_routes) == (0, 0b010)
    await put_budget(storage, usd_micros=2_000, on_exceeded=OnExceeded.DEGRADE)

    assert (await offered(storage))[0] == ["job"]
    assert (await get_one(storage)).route == 2


async def tell_nothing_used(storage: Storage, outcome: Outcome) -> None:
    """Run the next job without a call, to this end."""
    run = await claim_one(storage)
    await tell(storage, run, 0, CallState.UNSENT)
    await end(storage, run, outcome)


@clause("HOLD-7")
@pytest.mark.parametrize(("count", "state"), [(100, S.READY), (101, S.HELD)])
async def test_a_run_that_holds_itself_for_a_budget_with_room_is_ready_at_once(
    storage: Storage, count: int, state: State
) -> None:
    await put_budget(storage, tokens=100)
    run = await start(storage, max_attempts=1)
    settled = await end(storage, run, Held(reason=HeldFor.BUDGET, by="purse", need={"tokens": count}))

    record = await get_one(storage)
    assert (settled.state, record.state, record.failures) == (state, state, 0)
    assert record.held is (HeldFor.BUDGET if state is S.HELD else None)
    await storage.grant("purse", "one", {"tokens": 1})
    assert ((await get_one(storage)).state, (await get_one(storage)).lane) == (S.READY, Lane.RETURNED)


@clause("HOLD-7")
async def test_what_a_run_that_holds_itself_gives_back_counts_as_room(storage: Storage) -> None:
    await put_budget(storage, tokens=100)
    run = await start(storage, budgets=PURSE, estimate=need(60))
    await open_call(storage, run, 1, need(60))
    assert isinstance(await ask(storage, run, 2, need(50)), Exceeded)
    await tell(storage, run, 1, CallState.OPEN, Usage(input=20))
    assert await balance(storage) == (20, 40)

    settled = await end(storage, run, Held(reason=HeldFor.BUDGET, by="purse", need={"tokens": 50}))
    assert settled.state is S.READY


@clause("HOLD-7", "HOLD-4")
@pytest.mark.parametrize("outcome", [Held(reason=HeldFor.OPERATOR), Held(reason=HeldFor.QUOTA)])
async def test_a_run_that_holds_itself_for_another_reason_is_held(storage: Storage, outcome: Outcome) -> None:
    run = await start(storage)
    assert (await end(storage, run, outcome)).state is S.HELD
    await storage.unhold(["job"])
    assert (await claim_one(storage)).id == "job"


@clause("HOLD-7", "CALL-16")
async def test_a_run_that_held_itself_goes_on_with_units_only(storage: Storage) -> None:
    await put_limit(storage)
    await put_budget(storage, tokens=1_000)
    run = await start(storage, limits=("gpt",), budgets=PURSE, estimate=need(500))
    await open_call(storage, run, 1, need(500))
    await tell(storage, run, 1, used=Usage(input=500))
    await end(storage, run, Held(reason=HeldFor.BUDGET, by="purse", need={"tokens": 600}))
    await storage.grant("purse", "one", {"tokens": 100})
    assert (await offered(storage))[0] == ["job"]
    assert (await left(storage), await balance(storage)) == ((4_500, 0), (500, 0))


@clause("HOLD-8")
@pytest.mark.parametrize("of", ["route", "estimate"])
async def test_a_job_under_a_budget_in_money_whose_model_has_no_price_is_refused(storage: Storage, of: str) -> None:
    await put_budget(storage, "org", usd_micros=10**6)
    await put_budget(storage, tokens=10**6, parent="org")
    await put_prices(storage, "gpt", input=1)
    routes = (RouteSpec(name="one", model="gpt"), RouteSpec(name="two", model="ghost"))
    options: dict[str, Any] = {"routes": routes} if of == "route" else {"estimate": need(1, model="ghost")}
    with pytest.raises(PriceUnknown) as refused:
        await storage.enqueue([job("before"), job(budgets=PURSE, **options)])
    assert refused.value.model == "ghost"
    assert await states(storage, "before", "job") == [None, None]

    await put_prices(storage, "ghost", output=1)
    await storage.enqueue([job(budgets=PURSE, **options)])


@clause("HOLD-8")
async def test_a_model_that_nobody_named_needs_no_price_at_enqueue(storage: Storage) -> None:
    await put_budget(storage, usd_micros=10**6)
    await enqueue_one(storage, budgets=PURSE)
    assert (await offered(storage))[0] == ["job"]


@clause("HOLD-8")
async def test_a_job_met_at_a_claim_without_a_price_is_held_for_it_and_a_price_lets_it_go(storage: Storage) -> None:
    await enqueue_one(storage, tenant="acme", estimate=need(1, model="ghost"))
    await enqueue_one(storage, "other", tenant="acme", estimate=need(1, model="spirit"))
    await put_budget(storage, "tenant:acme", usd_micros=10**6)
    assert (await offered(storage))[0] == []
    record = await get_one(storage)
    assert (record.state, record.held, record.held_by, record.failures) == (S.HELD, HeldFor.PRICE, "ghost", 0)

    mark = await storage.wait([queue_topic("default")], after=None, timeout_ms=LONG_MS)
    await put_prices(storage, "ghost", input=1)
    assert await changed(storage, mark, queue_topic("default"))
    assert await states(storage, "job", "other") == [S.READY, S.HELD]
    assert (await get_one(storage)).lane is Lane.RETURNED


@clause("HOLD-8")
async def test_a_call_without_a_price_under_a_budget_in_money_is_refused(storage: Storage) -> None:
    await put_budget(storage, usd_micros=10**6)
    await put_prices(storage, "gpt", input=1)
    run = await start(storage, budgets=PURSE, estimate=need(1, model="gpt"))
    answer = await ask(storage, run, 1, need(1, model="ghost"))
    assert isinstance(answer, Refused)
    assert answer.kind == "price_unknown"


@clause("HOLD-2", "POOL-6")
async def test_held_jobs_do_not_hinder_those_behind(storage: Storage) -> None:
    await storage.put_limits([tokens("gpt"), units("several", 200)])
    await storage.put_budgets([BudgetSpec(id="purse", caps={"tokens": 0})])
    batch = [job(f"poor {n}", budgets=PURSE, limits=("gpt",), estimate=need(1)) for n in range(100)]
    await storage.enqueue([*batch, job("rich", limits=("gpt",), estimate=need(1))])
    given: list[str] = []
    for _ in range(5):
        given += (await offered(storage))[0]
    assert given == ["rich"]
    assert (await the_budget(storage)).waiting == 100
