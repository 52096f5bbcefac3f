"""Chapter 10, what is taken: the claim's reservation, and how calls open on it."""

from typing import Any

import pytest

from aiq import bounds
from aiq.errors import InvalidInput, LeaseLost, LostReason
from aiq.model import (
    Admitted,
    CallRequest,
    Charge,
    Estimate,
    LimitSpec,
    MustWait,
    Refused,
    Released,
    RouteSpec,
    Sleeping,
    Suspended,
    Usage,
    Waiting,
)
from aiq.storage import Storage
from aiq.testing.actions import (
    GOOD,
    changes,
    claim_one,
    claim_some,
    end,
    enqueue_one,
    failed,
    job,
    look,
    spawn,
    start,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import (
    OPENING,
    ask,
    balance,
    left,
    need,
    offered,
    open_call,
    put_budget,
    put_limit,
    tell,
    the_budget,
    the_limit,
    tokens,
    units,
)

GPT = ("gpt",)
HOUR_MS = 3_600_000
HALVED = {"input": 500, "output": 2_000}
THIRDS = {"input": 333, "output": 333}


@clause("CALL-1", "CALL-2")
@pytest.mark.parametrize(
    ("charge", "weights", "estimate", "expected"),
    [
        (Charge.STREAM, {}, Estimate(input=1_000, output=300, max_output=800), (4_000, 300)),
        (Charge.STREAM, {}, Estimate(input=1_000, output=900, max_output=800), (4_000, 800)),
        (Charge.STREAM, HALVED, Estimate(input=1_000, output=300, max_output=800), (4_500, 600)),
        (Charge.STREAM, THIRDS, Estimate(input=10, output=11, max_output=11), (4_997, 3)),
        (Charge.STREAM, {"input": 0}, Estimate(input=1_000, output=300, max_output=800), (5_000, 300)),
        (Charge.RESERVE, {}, Estimate(input=1_000, output=300, max_output=800), (3_200, 0)),
        (Charge.RESERVE, HALVED, Estimate(input=1_000, output=300, max_output=800), (2_900, 0)),
        (Charge.RESERVE, THIRDS, Estimate(input=10, output=5, max_output=11), (4_994, 0)),
        (Charge.MAX, {}, Estimate(input=1_000, output=300, max_output=800), (4_000, 0)),
        (Charge.MAX, {}, Estimate(input=100, output=300, max_output=800), (4_200, 0)),
        (Charge.MAX, HALVED, Estimate(input=1_000, output=300, max_output=800), (3_400, 0)),
        (Charge.INPUT, {}, Estimate(input=1_000, output=300, max_output=800), (4_000, 0)),
        (Charge.INPUT, HALVED, Estimate(input=1_000, output=300, max_output=800), (4_500, 0)),
    ],
)
async def test_a_claim_takes_what_the_provider_would(
    storage: Storage, charge: Charge, weights: dict[str, int], estimate: Estimate, expected: tuple[int, int]
) -> None:
    await put_limit(storage, charge=charge, weights=weights, requests=60)
    await start(storage, limits=GPT, estimate=estimate)

    assert await left(storage) == expected
    assert (await the_limit(storage)).requests_left == 4


@clause("CALL-1")
async def test_a_call_takes_of_all_its_limits_and_budgets_or_of_none(storage: Storage) -> None:
    await storage.put_limits([tokens("roomy"), tokens("scarce", tokens=600), units("several", 2)])
    await put_budget(storage, tokens=10_000)
    names = ("roomy", "scarce", "several")
    run = await start(storage, limits=(), budgets=("purse",), estimate=need(10))
    answer = await ask(storage, run, 1, need(100), *names)

    assert isinstance(answer, MustWait)
    assert answer.limit == "scarce"
    assert [(await left(storage, name))[0] for name in ("roomy", "scarce")] == [5_000, 50]
    assert (await the_limit(storage, "several")).running == 0
    assert await balance(storage) == (0, 10)

    await enqueue_one(storage, "next", limits=names, estimate=need(100), budgets=("purse",))
    assert (await offered(storage))[0] == []
    assert [(await left(storage, name))[0] for name in ("roomy", "scarce")] == [5_000, 50]
    assert (await the_limit(storage, "several")).running == 0
    assert await balance(storage) == (0, 10)


@clause("CALL-2")
async def test_a_job_without_limits_and_budgets_reserves_nothing(storage: Storage) -> None:
    await put_limit(storage)
    run = await start(storage, estimate=need(1_000))
    assert not (await the_limit(storage)).used
    await end(storage, run, GOOD)
    assert not (await the_limit(storage)).used


@clause("CALL-2", "EST-1")
async def test_a_job_that_declares_nothing_reserves_a_default(storage: Storage) -> None:
    await put_limit(storage)
    await start(storage, limits=GPT)
    assert await left(storage) == (OPENING - 1_000, 1_000)


@clause("CALL-2", "ROUTE-1")
async def test_a_claim_reserves_on_the_limits_of_the_route_it_stands_on(storage: Storage) -> None:
    await storage.put_limits([tokens("gpt"), tokens("claude")])
    routes = (RouteSpec(name="one", limits=("claude",)), RouteSpec(name="two", limits=GPT))
    await start(storage, routes=routes, estimate=need(1_000))

    assert (await left(storage, "claude"), await left(storage)) == ((4_000, 0), (OPENING, 0))


@clause("CALL-3")
@pytest.mark.parametrize(("asked", "expected"), [((2_000, 300), (3_000, 300)), ((100, 900), (4_900, 900))])
async def test_the_first_call_adopts_what_the_claim_reserved_and_takes_or_returns_the_difference(
    storage: Storage, asked: tuple[int, int], expected: tuple[int, int]
) -> None:
    await put_limit(storage, requests=60, concurrency=5)
    run = await start(storage, limits=GPT, estimate=need(1_000, 500))
    assert await left(storage) == (4_000, 500)

    assert await open_call(storage, run, 1, need(*asked)) == Admitted(max_output=asked[1])

    status = await the_limit(storage)
    assert await left(storage) == expected
    assert (status.requests_left, status.running) == (4, 1)
    await tell(storage, run, 1, used=Usage(input=asked[0], output=asked[1]))
    assert await left(storage) == (OPENING - sum(asked), 0)


@clause("CALL-3")
async def test_only_the_first_call_adopts(storage: Storage) -> None:
    await put_limit(storage)
    run = await start(storage, limits=GPT, estimate=need(1_000, 100))
    await open_call(storage, run, 1, need(1_000, 100))
    await open_call(storage, run, 2, need(500, 50))

    assert await left(storage) == (3_500, 150)


@clause("CALL-3")
async def test_a_call_that_adopts_gives_back_what_call_0_held_elsewhere(storage: Storage) -> None:
    await storage.put_limits([tokens("gpt", requests=60), tokens("other", requests=60, concurrency=2)])
    run = await start(storage, limits=("gpt", "other"), estimate=need(1_000, 500))
    await open_call(storage, run, 1, need(1_000, 500), "gpt")

    other = await the_limit(storage, "other")
    assert await left(storage) == (4_000, 500)
    assert await left(storage, "other") == (OPENING, 0)
    assert (other.requests_left, other.running) == (5, 1)


@clause("CALL-3")
async def test_a_call_on_limits_that_are_not_all_those_of_call_0_leaves_it_for_the_next(storage: Storage) -> None:
    await storage.put_limits([tokens("gpt"), tokens("other")])
    run = await start(storage, limits=GPT, estimate=need(1_000))
    await open_call(storage, run, 1, need(200), "gpt", "other")
    assert (await left(storage), await left(storage, "other")) == ((3_800, 0), (4_800, 0))

    await open_call(storage, run, 2, need(300))
    assert await left(storage) == (4_500, 0)


@clause("CALL-3")
async def test_a_call_that_fits_into_what_was_reserved_need_not_wait(storage: Storage) -> None:
    await put_limit(storage)
    run = await start(storage, limits=GPT, estimate=need(OPENING))
    assert await left(storage) == (0, 0)
    await open_call(storage, run, 1, need(OPENING))

    assert await ask(storage, run, 2, need(1)) == MustWait(limit="gpt", wait_ms=1)


@clause("CALL-3", "BUDGET-5")
async def test_a_call_that_adopts_takes_the_budgets_along(storage: Storage) -> None:
    await put_limit(storage)
    await put_budget(storage, tokens=1_500)
    run = await start(storage, limits=GPT, estimate=need(1_000, 500), budgets=("purse",))
    assert (await the_budget(storage)).state.held["tokens"] == 1_500

    await open_call(storage, run, 1, need(1_200, 100))
    assert (await the_budget(storage)).state.held["tokens"] == 1_300
    await end(storage, run, GOOD)
    assert (await the_budget(storage)).state.held == {}


@clause("CALL-3")
async def test_what_a_first_call_does_not_say_is_as_its_job_has_it(storage: Storage) -> None:
    await put_limit(storage)
    run = await start(storage, limits=GPT, estimate=need(1_000, 500, max_output=700))
    assert await open_call(storage, run, 1, Estimate(input=900)) == Admitted(max_output=700)
    assert await left(storage) == (4_100, 500)
    assert await open_call(storage, run, 2, Estimate(input=100)) == Admitted(max_output=None)
    assert await left(storage) == (4_000, 1_500)


@clause("CALL-3")
async def test_a_first_call_adopts_what_a_job_with_budgets_alone_reserved(storage: Storage) -> None:
    await put_limit(storage)
    await put_budget(storage, tokens=1_500)
    run = await start(storage, estimate=need(1_000, 500), budgets=("purse",))
    await open_call(storage, run, 1, need(1_000, 400), "gpt")
    assert await balance(storage) == (0, 1_400)


@clause("CALL-3", "CALL-5")
async def test_a_call_that_adopts_enough_waits_for_nobody(storage: Storage) -> None:
    await put_limit(storage)
    run = await start(storage, limits=GPT, estimate=need(1_000))
    other = await start(storage, "other", queue="other")
    assert isinstance(await ask(storage, other, 1, need(9_000), "gpt"), MustWait)

    await open_call(storage, run, 1, need(900))
    assert isinstance(await ask(storage, run, 2, need(10)), MustWait)


@clause("CALL-4")
async def test_a_run_holds_one_unit_from_its_claim_to_its_end(storage: Storage) -> None:
    await storage.put_limits([units(concurrency=3)])
    run = await start(storage, limits=GPT)
    assert (await the_limit(storage)).running == 1
    await open_call(storage, run, 1, need(1))
    assert (await the_limit(storage)).running == 1
    await tell(storage, run, 1, used=Usage(input=1))
    assert (await the_limit(storage)).running == 1
    await end(storage, run, GOOD)
    assert (await the_limit(storage)).running == 0


@clause("CALL-4")
async def test_a_run_holds_as_many_units_as_it_has_calls_open(storage: Storage) -> None:
    await storage.put_limits([units(concurrency=3), units("other", 2)])
    run = await start(storage, limits=GPT)
    seen = []
    for number in (1, 2, 3):
        await open_call(storage, run, number, need(1), "gpt")
        seen.append((await the_limit(storage)).running)
    assert await ask(storage, run, 4, need(1), "gpt") == MustWait(limit="gpt", wait_ms=None)
    for number in (2, 1, 3):
        await tell(storage, run, number, used=Usage(input=1))
        seen.append((await the_limit(storage)).running)
    assert seen == [1, 2, 3, 2, 1, 1]

    await open_call(storage, run, 5, need(1), "other")
    assert (await the_limit(storage, "other")).running == 1
    await tell(storage, run, 5, used=Usage(input=1))
    assert (await the_limit(storage, "other")).running == 0


@clause("CALL-19")
async def test_a_call_inside_of_those_that_have_every_unit_is_refused(storage: Storage) -> None:
    await storage.put_limits([tokens("gpt"), units("pair", 2)])
    run = await start(storage)
    await open_call(storage, run, 1, need(1), "pair")
    other = await ask(storage, run, 2, need(1), "pair", inside=(1,))
    assert isinstance(other, Admitted), "one unit was free"
    answer = await ask(storage, run, 3, need(1), "gpt", "pair", inside=(1, 2))

    assert isinstance(answer, Refused)
    assert (answer.kind, "pair" in answer.text) == ("own_units", True)
    assert (await left(storage), (await the_limit(storage, "pair")).running) == ((OPENING, 0), 2)
    # Not by number: what the calls around it do not want is free to it, and what others have comes back.
    assert isinstance(await ask(storage, run, 4, need(1), "gpt", inside=(1, 2)), Admitted)
    assert await ask(storage, run, 5, need(1), "pair", inside=(1,)) == MustWait(limit="pair", wait_ms=None)


@clause("CALL-7")
async def test_a_call_that_is_asked_for_again_gets_the_first_answer_and_takes_nothing_twice(storage: Storage) -> None:
    await put_limit(storage, requests=60)
    run = await start(storage)
    first = await open_call(storage, run, 1, need(1_000, 500), "gpt")
    for again in (need(1_000, 500), need(3_000, 70)):
        assert await ask(storage, run, 1, again, "gpt") == first

    assert await left(storage) == (4_000, 500)
    assert (await the_limit(storage)).requests_left == 4


@clause("CALL-7", "CALL-14")
async def test_a_call_that_was_closed_and_is_asked_for_again_stays_closed(storage: Storage) -> None:
    await put_limit(storage)
    run = await start(storage)
    first = await open_call(storage, run, 1, need(1_000, 500), "gpt")
    await tell(storage, run, 1, used=Usage(input=1_000, output=200))

    assert await ask(storage, run, 1, need(1_000, 500), "gpt") == first
    assert await left(storage) == (3_800, 0)


@clause("CALL-7")
async def test_calls_of_two_runs_of_one_job_are_two(storage: Storage) -> None:
    await put_limit(storage)
    run = await start(storage)
    await open_call(storage, run, 1, need(1_000), "gpt")
    await end(storage, run, failed())
    again = await claim_one(storage)
    await open_call(storage, again, 1, need(500), "gpt")

    assert await left(storage) == (3_500, 0)


@clause("CALL-7")
async def test_calls_are_answered_in_the_order_of_the_request_each_by_itself(storage: Storage) -> None:
    await put_limit(storage)
    runs = [await start(storage, f"job {n}", queue=f"q{n}") for n in range(3)]
    requests = [
        CallRequest(lease=run.lease, number=1, limits=GPT, estimate=need(amount))
        for run, amount in zip(runs, (3_000, 4_000, 1_500), strict=True)
    ]
    answers = await storage.acquire(requests)

    # The third would fit, but stands behind the second.
    assert [type(answer) for answer in answers] == [Admitted, MustWait, MustWait]
    assert await left(storage) == (2_000, 0)


@clause("CALL-8")
async def test_a_call_opens_only_under_a_live_lease(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    run = await start(storage, lease_ms=1_000)
    clock.advance_ms(1_000)
    answer = await ask(storage, run, 1, need(1), "gpt")
    assert isinstance(answer, LeaseLost)
    assert answer.reason is LostReason.EXPIRED
    await claim_one(storage)
    answer = await ask(storage, run, 1, need(1), "gpt")
    assert isinstance(answer, LeaseLost)
    assert answer.reason is LostReason.TAKEN

    assert not (await the_limit(storage)).used


@clause("CALL-8")
async def test_one_lost_lease_leaves_the_calls_of_others_alone(storage: Storage) -> None:
    await put_limit(storage)
    lost, kept = await start(storage, "lost"), await start(storage, "kept")
    await end(storage, lost, GOOD)
    answers = await storage.acquire(
        [CallRequest(lease=run.lease, number=1, limits=GPT, estimate=need(1)) for run in (lost, kept)]
    )
    assert [type(answer) for answer in answers] == [LeaseLost, Admitted]


@clause("CALL-7")
async def test_a_batch_of_calls_has_a_bound(storage: Storage) -> None:
    run = await start(storage)
    request = CallRequest(lease=run.lease, number=1, limits=GPT)
    with pytest.raises(InvalidInput):
        await storage.acquire([request] * (bounds.MAX_BATCH + 1))
    for wrong in (
        CallRequest(lease=run.lease, number=0, limits=GPT),
        CallRequest(lease=run.lease, number=1, limits=("two words",)),
        CallRequest(lease=run.lease, number=1, limits=tuple(f"l{n}" for n in range(bounds.MAX_LIMITS + 1))),
    ):
        with pytest.raises(InvalidInput):
            await storage.acquire([wrong])


@clause("CALL-16")
@pytest.mark.parametrize(
    "outcome",
    [Suspended("until", "go", 10), Sleeping("until", 10), Waiting("until", None)],
    ids=["signal", "time", "children"],
)
async def test_a_run_that_goes_on_after_a_wait_reserves_units_only(
    storage: Storage, clock: Clock, outcome: Any
) -> None:
    await put_limit(storage, requests=60, concurrency=2)
    await put_budget(storage, tokens=10_000)
    run = await start(storage, limits=GPT, estimate=need(1_000, 500), budgets=("purse",))
    await open_call(storage, run, 1, need(1_000, 500))
    await tell(storage, run, 1, used=Usage(input=1_000, output=500))
    await spawn(storage, run, "child", key="until", queue="children")
    await end(storage, run, outcome)
    await end(storage, await claim_one(storage, "children"), GOOD)
    clock.advance_ms(10)
    await storage.upkeep()

    await claim_one(storage)
    status = await the_limit(storage)
    assert (status.requests_left, status.tokens_left, status.tokens_held, status.running) == (4, 3_510, 0, 1)
    assert (await the_budget(storage)).state.held == {}


@clause("CALL-16")
async def test_a_run_that_goes_on_is_not_kept_by_an_empty_bucket(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    run = await start(storage, limits=GPT, estimate=need(1_000))
    await open_call(storage, run, 1, need(1_000))
    await tell(storage, run, 1, used=Usage(input=9_000))
    await end(storage, run, Sleeping("until", 10))
    clock.advance_ms(10)

    assert (await left(storage))[0] == -3_990
    assert (await offered(storage))[0] == ["job"]


@clause("CALL-16")
@pytest.mark.parametrize("opened", [True, False])
async def test_a_run_that_is_tried_again_reserves_like_the_first(storage: Storage, opened: bool) -> None:
    await put_limit(storage)
    run = await start(storage, limits=GPT, estimate=need(1_000))
    if opened:
        await open_call(storage, run, 1, need(1_000))
    await end(storage, run, failed())
    await claim_one(storage)
    assert await left(storage) == (3_000, 0)


@clause("CALL-16")
async def test_a_job_that_never_opened_a_call_reserves_again_after_a_wait(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    run = await start(storage, limits=GPT, estimate=need(1_000))
    await end(storage, run, Sleeping("until", 10))
    clock.advance_ms(10)
    await claim_one(storage)
    assert await left(storage) == (3_010, 0)


@clause("CALL-2")
async def test_asking_for_calls_changes_nothing_of_a_job_but_that_it_has_opened_one(storage: Storage) -> None:
    await put_limit(storage)
    run = await start(storage, limits=GPT, estimate=need(1_000))
    before = await look(storage)
    assert isinstance(await ask(storage, run, 1, need(9_000)), MustWait)
    assert await look(storage) == before
    await open_call(storage, run, 1, need(1))
    assert changes(before, await look(storage)) == {"job": {"opened_calls": True}}


@clause("CALL-1")
async def test_calls_of_many_runs_take_turns_on_one_bucket(storage: Storage) -> None:
    await storage.put_limits([LimitSpec(name="gpt", requests=60)])
    await storage.enqueue([job(f"job {n}") for n in range(7)])
    answers = [await ask(storage, run, 1, need(1), "gpt") for run in await claim_some(storage, 7)]

    assert [type(answer) for answer in answers] == [Admitted] * 5 + [MustWait] * 2
    assert [answer.wait_ms for answer in answers[5:] if isinstance(answer, MustWait)] == [1_000, 2_000]
    assert (await the_limit(storage)).waiting == 2


@clause("CALL-11", "CALL-12")
async def test_a_released_run_has_taken_nothing(storage: Storage) -> None:
    await put_limit(storage, requests=60, concurrency=1)
    run = await start(storage, limits=GPT, estimate=need(1_000, 500))
    await end(storage, run, Released())

    status = await the_limit(storage)
    assert (status.requests_left, status.tokens_left, status.tokens_held, status.running) == (5, OPENING, 0, 0)
