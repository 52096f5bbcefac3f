"""Chapter 11: ceilings on tokens and money, and what draws from them."""

from collections.abc import Mapping

import pytest

from aiq.errors import NotFound
from aiq.model import (
    Admitted,
    BudgetSpec,
    CallState,
    Estimate,
    Exceeded,
    HeldFor,
    JobRecord,
    OnExceeded,
    State,
    Usage,
    Waiting,
)
from aiq.storage import Storage
from aiq.testing.actions import GOOD, claim_one, end, enqueue_one, failed, get_one, job, spawn, start, states
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import (
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
)

C, S = CallState, State
PURSE = ("purse",)


async def given(storage: Storage, estimate: Estimate, job_id: str = "job", **options: object) -> bool:
    """Whether a claim gives a job that draws from the purse."""
    await enqueue_one(storage, job_id, budgets=PURSE, estimate=estimate, **options)
    return (await offered(storage))[0] == [job_id]


@clause("BUDGET-1")
@pytest.mark.parametrize(("count", "fits"), [(999, True), (1_000, True), (1_001, False)])
async def test_a_reservation_that_fits_to_the_last_token_is_granted_and_one_more_is_not(
    storage: Storage, count: int, fits: bool
) -> None:
    await put_budget(storage, tokens=1_000)
    assert await given(storage, need(count)) is fits
    assert await balance(storage) == (0, count if fits else 0)


@clause("BUDGET-1")
@pytest.mark.parametrize(("spent", "held", "fits"), [(300, 400, True), (301, 400, False), (300, 401, False)])
async def test_what_is_spent_and_what_is_held_count_both(storage: Storage, spent: int, held: int, fits: bool) -> None:
    await put_budget(storage, tokens=1_000)
    run = await start(storage, "spends", queue="q", budgets=PURSE, estimate=need(spent))
    await tell(storage, run, 0, used=Usage(input=spent))
    await start(storage, "holds", queue="r", budgets=PURSE, estimate=need(0, held))
    assert await balance(storage) == (spent, held)
    assert await given(storage, need(300)) is fits


@clause("BUDGET-1")
@pytest.mark.parametrize(
    ("caps", "fits"),
    [
        ({"tokens": 1_500, "tokens.output": 500, "usd_micros": 7_500}, True),
        ({"tokens": 1_499, "tokens.output": 500, "usd_micros": 7_500}, False),
        ({"tokens": 1_500, "tokens.output": 499, "usd_micros": 7_500}, False),
        ({"tokens": 1_500, "tokens.output": 500, "usd_micros": 7_499}, False),
        ({"tokens.output": 500}, True),
        ({"tokens.cache_read": 1}, True),
        ({}, True),
    ],
)
async def test_every_amount_that_has_a_cap_must_fit(storage: Storage, caps: Mapping[str, int], fits: bool) -> None:
    await put_prices(storage, input=2_500_000, output=10_000_000)
    await put_budget(storage, caps=caps)
    assert await given(storage, need(1_000, 500, model="gpt")) is fits


@clause("BUDGET-1")
async def test_each_budget_of_the_chain_must_have_room_and_each_holds(storage: Storage) -> None:
    await put_budget(storage, "org", tokens=10_000)
    await put_budget(storage, "team", tokens=5_000, parent="org")
    await put_budget(storage, "purse", tokens=2_000, parent="team")
    await put_budget(storage, "tenant:acme", tokens=3_000, parent="org")
    assert await given(storage, need(1_000), tenant="acme")
    for name in ("purse", "team", "org", "tenant:acme"):
        # The organisation stands over two of them, and counts the job once.
        assert await balance(storage, name) == (0, 1_000)
    await tell(storage, await get_one(storage), 0, C.OPEN, Usage(input=300))
    assert [await balance(storage, name) for name in ("purse", "org")] == [(300, 700), (300, 700)]

    await put_budget(storage, "org", tokens=1_500)
    assert not await given(storage, need(501), "second", tenant="acme")
    assert (await get_one(storage, "second")).held_by == "org"
    assert await balance(storage, "purse") == (300, 700)


@clause("BUDGET-1")
async def test_the_nearest_budget_without_room_decides(storage: Storage) -> None:
    await put_budget(storage, "org", tokens=10, on_exceeded=OnExceeded.FAIL)
    await put_budget(storage, "tenant:acme", tokens=10, on_exceeded=OnExceeded.APPROVE)
    await put_budget(storage, "near", tokens=10, parent="org")
    await put_budget(storage, "far", tokens=10, on_exceeded=OnExceeded.FAIL)
    await enqueue_one(storage, budgets=("near", "far"), tenant="acme", estimate=need(11))
    assert (await offered(storage))[0] == []
    record = await get_one(storage)
    assert (record.state, record.held, record.held_by) == (S.HELD, HeldFor.BUDGET, "near")


@clause("BUDGET-1")
async def test_the_tenants_budget_comes_before_the_parents(storage: Storage) -> None:
    await put_budget(storage, "org", tokens=10, on_exceeded=OnExceeded.FAIL)
    await put_budget(storage, "tenant:acme", tokens=10, on_exceeded=OnExceeded.APPROVE)
    await put_budget(storage, "purse", tokens=100, parent="org")
    await enqueue_one(storage, budgets=PURSE, tenant="acme", estimate=need(11))
    await offered(storage)
    assert (await get_one(storage)).held_by == "tenant:acme"


@clause("BUDGET-2")
@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({}, {"tokens": 1_500, "tokens.input": 1_000, "tokens.output": 500, "usd_micros": 7_500}),
        (
            {"input": 100, "output": 3_000},
            {"tokens": 1_600, "tokens.input": 1_000, "tokens.output": 500, "usd_micros": 7_500},
        ),
    ],
)
async def test_a_call_reserves_its_input_and_the_most_output(
    storage: Storage, weights: Mapping[str, int], expected: Mapping[str, int]
) -> None:
    await put_prices(storage, input=2_500_000, output=10_000_000)
    caps = dict.fromkeys(expected, 100_000)
    await put_budget(storage, caps=caps, weights=weights)
    assert await given(storage, Estimate(input=1_000, output=5, max_output=500, model="gpt"))
    assert (await the_budget(storage)).state.held == expected


@clause("BUDGET-2")
async def test_a_dispatch_reserves_at_least_one_of_each_amount(storage: Storage) -> None:
    await put_budget(storage, caps={"tokens": 1, "tokens.output": 1, "usd_micros": 1})
    assert await given(storage, Estimate(input=0, output=0, max_output=1))
    assert (await the_budget(storage)).state.held == {"tokens": 1, "tokens.output": 1, "usd_micros": 1}
    assert not await given(storage, need(1), "second")


@clause("BUDGET-2")
async def test_a_job_that_is_declared_to_need_nothing_starts_on_a_budget_that_is_used_up(storage: Storage) -> None:
    await put_budget(storage, caps={"tokens": 0, "usd_micros": 0})
    assert await given(storage, need(0))
    assert not any((await the_budget(storage)).state.held.values())


@clause("BUDGET-2")
async def test_a_job_that_waited_for_its_children_goes_on_when_they_have_used_its_budget(storage: Storage) -> None:
    await put_budget(storage, tokens=2_000)
    await start(storage, "parent", budgets=PURSE)
    await storage.grant("purse", "more", {"tokens": 1})
    await spawn(storage, await get_one(storage, "parent"), "child", queue="children", budgets=PURSE, estimate=need(1))
    await end(storage, await get_one(storage, "parent"), Waiting("children", None))
    child = await claim_one(storage, "children")
    await tell(storage, child, 0, used=Usage(input=3_000))
    await end(storage, child, GOOD)

    assert (await claim_one(storage)).id == "parent"


@clause("BUDGET-3")
@pytest.mark.parametrize(("used", "spent"), [(Usage(input=400, output=50), 450), (Usage(input=2_000), 2_000)])
async def test_a_settlement_spends_what_was_used(storage: Storage, used: Usage, spent: int) -> None:
    await put_budget(storage, tokens=1_500)
    run = await start(storage, budgets=PURSE, estimate=need(1_000, 500))
    assert await balance(storage) == (0, 1_500)
    await tell(storage, run, 0, used=used)
    await end(storage, run, GOOD)
    assert await balance(storage) == (spent, 0)


@clause("BUDGET-3", "BUDGET-6")
async def test_after_more_was_used_than_the_cap_nothing_more_is_granted(storage: Storage) -> None:
    await put_budget(storage, tokens=1_500)
    run = await start(storage, budgets=PURSE, estimate=need(1_000, 500))
    await tell(storage, run, 0, used=Usage(input=1_000, output=600))
    assert not await given(storage, need(0), "next")
    assert (await get_one(storage, "next")).state is S.HELD


@clause("BUDGET-3")
async def test_use_so_far_is_spent_while_the_call_goes_on(storage: Storage) -> None:
    await put_budget(storage, tokens=1_500)
    run = await start(storage, budgets=PURSE, estimate=need(1_000, 500))
    seen = []
    for output in (0, 300, 300, 200, 700):
        await tell(storage, run, 0, C.OPEN, Usage(input=1_000, output=output))
        seen.append(await balance(storage))
    assert seen == [(1_000, 500), (1_300, 200), (1_300, 200), (1_300, 200), (1_700, 0)]


@clause("BUDGET-3", "USAGE-5")
async def test_money_is_spent_at_the_prices_of_the_model(storage: Storage) -> None:
    await put_prices(storage, input=2_500_000, output=10_000_001)
    await put_budget(storage, usd_micros=1_000_000)
    run = await start(storage, budgets=PURSE, estimate=need(1_000, 500, model="gpt"))
    assert await balance(storage, kind="usd_micros") == (0, 2_500 + 5_001)
    await tell(storage, run, 0, used=Usage("gpt", 1_000, 3))
    assert await balance(storage, kind="usd_micros") == (2_531, 0)


@clause("BUDGET-5")
async def test_failed_and_tried_again_runs_spend_what_each_used(storage: Storage) -> None:
    await put_budget(storage, tokens=10_000)
    await enqueue_one(storage, budgets=PURSE, estimate=need(1_000))
    for count in (100, 200, 300):
        run = await claim_one(storage)
        await tell(storage, run, 0, used=Usage(input=count))
        await end(storage, run, failed())
    assert await balance(storage) == (600, 0)


@clause("BUDGET-6")
async def test_a_cap_that_is_lowered_stops_nothing_that_runs(storage: Storage) -> None:
    await put_budget(storage, tokens=10_000)
    run = await start(storage, budgets=PURSE, estimate=need(1_000))
    await put_budget(storage, tokens=10)
    assert await balance(storage) == (0, 1_000)
    await tell(storage, run, 0, used=Usage(input=900))
    assert await balance(storage) == (900, 0)
    assert not await given(storage, need(0), "next")


@clause("BUDGET-8")
async def test_a_call_is_admitted_with_the_most_output_that_fits(storage: Storage) -> None:
    await put_limit(storage)
    await put_budget(storage, tokens=2_000)
    run = await start(storage, limits=("gpt",), budgets=PURSE, estimate=need(500))
    estimate = Estimate(input=500, output=2_500, max_output=3_000, min_output=100)

    assert await open_call(storage, run, 1, estimate) == Admitted(max_output=1_500)
    assert await balance(storage) == (0, 2_000)
    assert await left(storage) == (4_500, 1_500)


@clause("BUDGET-8")
async def test_a_call_of_which_nobody_said_the_most_output_is_bound_only_by_a_budget_without_room(
    storage: Storage,
) -> None:
    await put_budget(storage, tokens=4_000)
    run = await start(storage, budgets=PURSE)
    for number in (1, 1, 2):
        asked = await open_call(storage, run, number, Estimate(input=500))
        assert asked == Admitted(max_output=None)
    assert await balance(storage) == (0, 3_000)

    for _ in range(2):
        assert await open_call(storage, run, 3, Estimate(input=300)) == Admitted(max_output=700)
    assert await balance(storage) == (0, 4_000)


@clause("BUDGET-8")
async def test_a_call_that_cannot_have_the_least_output_of_use_is_refused(storage: Storage) -> None:
    await put_limit(storage)
    await put_budget(storage, tokens=2_000)
    run = await start(storage, limits=("gpt",), budgets=PURSE, estimate=need(500))
    answer = await ask(storage, run, 1, Estimate(input=1_000, output=3_000, max_output=3_000, min_output=1_001))

    assert isinstance(answer, Exceeded)
    assert (answer.budget, answer.on_exceeded, answer.need["tokens"]) == ("purse", OnExceeded.HOLD, 2_001)
    assert "purse" in answer.text
    assert await balance(storage) == (0, 500)
    assert await left(storage) == (4_500, 0)
    assert isinstance(
        await ask(storage, run, 1, Estimate(input=1_000, output=3_000, max_output=3_000, min_output=1_000)), Admitted
    )


@clause("BUDGET-8")
async def test_a_job_that_says_the_least_of_use_is_given_with_less(storage: Storage) -> None:
    await put_limit(storage)
    await put_budget(storage, tokens=2_000)
    await enqueue_one(
        storage,
        limits=("gpt",),
        budgets=PURSE,
        estimate=Estimate(input=500, output=3_000, max_output=3_000, min_output=1),
    )
    assert (await offered(storage))[0] == ["job"]
    assert (await balance(storage), await left(storage)) == ((0, 2_000), (4_500, 1_500))


@clause("BUDGET-8")
async def test_a_guess_of_the_input_counts_as_the_room_that_is_left_where_little_output_is_asked_for(
    storage: Storage,
) -> None:
    await put_budget(storage, tokens=100)
    await start(storage, budgets=PURSE, estimate=Estimate(output=1, max_output=1))

    assert await balance(storage) == (0, 100), "and not the thousand tokens that stand for an unknown input"


@clause("BUDGET-8")
async def test_the_output_shrinks_to_what_the_money_buys(storage: Storage) -> None:
    await put_prices(storage, input=2_500_000, output=10_000_000)
    await put_budget(storage, usd_micros=10_000)
    run = await start(storage, budgets=PURSE, estimate=need(0))
    estimate = Estimate(input=1_000, max_output=3_000, output=3_000, min_output=1, model="gpt")
    assert await open_call(storage, run, 1, estimate) == Admitted(max_output=750)
    assert await balance(storage, kind="usd_micros") == (0, 10_000)


@clause("BUDGET-8")
async def test_the_output_fits_into_the_scarcest_budget_of_the_chain(storage: Storage) -> None:
    await put_budget(storage, "org", tokens=1_200)
    await put_budget(storage, tokens=2_000, parent="org")
    run = await start(storage, budgets=PURSE, estimate=need(0))
    estimate = Estimate(input=1_000, output=900, max_output=900, min_output=1)
    assert await open_call(storage, run, 1, estimate) == Admitted(max_output=200)
    assert (await balance(storage), await balance(storage, "org")) == ((0, 1_200), (0, 1_200))


@clause("BUDGET-8")
async def test_a_need_that_nobody_declared_counts_as_the_room_that_is_left(storage: Storage) -> None:
    await put_budget(storage, tokens=300)
    await enqueue_one(storage, "first", budgets=PURSE)
    assert (await offered(storage))[0] == ["first"]
    assert await balance(storage) == (0, 300)

    await enqueue_one(storage, "second", budgets=PURSE)
    assert (await offered(storage))[0] == []
    assert (await get_one(storage, "second")).state is S.HELD


@clause("BUDGET-12")
async def test_a_child_draws_from_the_chain_of_its_parent_and_from_its_own_before(storage: Storage) -> None:
    await put_budget(storage, tokens=1_000)
    parent = await start(storage, "parent", budgets=PURSE, estimate=need(100))
    mine = BudgetSpec(id="job:child", caps={"tokens": 300})
    budgets = ("job:child", *parent.budgets)
    await spawn(storage, parent, "child", queue="children", budgets=budgets, creates=(mine,), estimate=need(250))
    await spawn(storage, parent, "greedy", queue="children", budgets=budgets, estimate=need(51))

    assert (await offered(storage, "children"))[0] == ["child"]
    assert (await balance(storage), await balance(storage, "job:child")) == ((0, 350), (0, 250))
    assert (await get_one(storage, "greedy")).held_by == "job:child"


@clause("BUDGET-13")
async def test_a_budget_of_a_tenant_binds_its_jobs_from_the_moment_it_is_stored(storage: Storage) -> None:
    for n in range(3):
        await enqueue_one(storage, f"acme {n}", tenant="acme", estimate=need(100))
    run = await claim_one(storage)
    await put_budget(storage, "tenant:acme", tokens=150)
    await enqueue_one(storage, "bolt", tenant="bolt", estimate=need(100))

    given, _ = await offered(storage)
    assert sorted(given) == ["acme 1", "bolt"]
    assert (await get_one(storage, "acme 2")).held_by == "tenant:acme"
    assert await balance(storage, "tenant:acme") == (0, 100)
    # The one that ran before holds nothing, and yet spends what it says.
    await tell(storage, run, 0, used=Usage(input=30))
    assert await balance(storage, "tenant:acme") == (30, 100)


@clause("BUDGET-14")
@pytest.mark.parametrize("on_exceeded", OnExceeded)
async def test_a_job_refused_by_a_budget_counts_no_failure_and_takes_nothing_of_a_limit(
    storage: Storage, on_exceeded: OnExceeded
) -> None:
    await put_limit(storage, requests=60, concurrency=1)
    await put_budget(storage, "roomy", tokens=10_000)
    await put_budget(storage, tokens=100, on_exceeded=on_exceeded)
    await enqueue_one(storage, limits=("gpt",), budgets=("roomy", "purse"), estimate=need(101))
    await enqueue_one(storage, "behind", limits=("gpt",), estimate=need(10))

    assert (await offered(storage))[0] == ["behind"]
    record, status = await get_one(storage), await the_limit(storage)
    assert (record.failures, record.stalls, record.fence) == (0, 0, 0)
    assert (status.requests_left, status.tokens_left, status.running) == (4, 4_990, 1)
    assert await balance(storage, "roomy") == (0, 0)


@clause("BUDGET-14")
async def test_a_call_refused_by_a_budget_stands_in_no_line(storage: Storage) -> None:
    await put_limit(storage)
    await put_budget(storage, tokens=100)
    run = await start(storage, budgets=PURSE, estimate=need(10))
    assert isinstance(await ask(storage, run, 1, need(6_000), "gpt"), Exceeded)

    assert (await the_limit(storage)).waiting == 0
    other = await start(storage, "other", queue="other")
    assert isinstance(await ask(storage, other, 1, need(5_000), "gpt"), Admitted)


@clause("BUDGET-3")
async def test_a_call_without_a_reservation_draws_from_the_chain_all_the_same(storage: Storage) -> None:
    await put_budget(storage, "org", tokens=10_000)
    await put_budget(storage, tokens=1_000, parent="org")
    run: JobRecord = await start(storage, budgets=PURSE, estimate=need(0))
    await tell(storage, run, 3, used=Usage(input=400, output=100))
    assert [(await balance(storage, name))[0] for name in ("purse", "org")] == [500, 500]


@clause("BUDGET-1")
async def test_a_job_that_names_an_unknown_budget_is_refused(storage: Storage, clock: Clock) -> None:
    with pytest.raises(NotFound):
        await storage.enqueue([job("before"), job(budgets=("ghost",))])
    assert await states(storage, "before", "job") == [None, None]
