"""Chapter 12: each tenant has its share of what a pool gives."""

from hashlib import sha256
from typing import Any

import pytest

from aiq.bounds import MAX_WEIGHT
from aiq.errors import InvalidInput
from aiq.model import Band, CallState, JobRecord, LimitSpec, Released, Throttle, Usage
from aiq.storage import Storage
from aiq.testing.actions import claim_some, end, job
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import need, open_call, tell, units

GPT = ("gpt",)
PLENTY = LimitSpec(name="gpt", tokens=10**9)
"""A limit that never keeps anybody waiting here."""


async def enqueue_of(storage: Storage, tenant: str, count: int, tokens: int | None = None, **options: Any) -> None:
    """Ready jobs of a tenant; with `tokens` each takes so many of a limit, else they take none."""
    if tokens is not None:
        options |= {"limits": GPT, "estimate": need(tokens)}
    place = sum(sum(states.values()) for states in (await storage.count()).values())
    await storage.enqueue([job(f"{tenant} {place + n}", tenant=tenant, **options) for n in range(count)])


async def order(storage: Storage, count: int, at_once: int = 1) -> str:
    """The tenants of the next jobs that claims give."""
    told = ""
    while len(told) < count:
        runs = await claim_some(storage, min(at_once, count - len(told)))
        if not runs:
            break
        told += "".join(run.tenant for run in runs)
    return told


assert sorted("abc", key=lambda tenant: sha256(tenant.encode()).hexdigest()) == ["c", "b", "a"]
AT_ONCE = pytest.mark.parametrize("at_once", [1, 4, 100])


@clause("FAIR-1")
@AT_ONCE
async def test_tenants_take_turns_whoever_came_first_and_with_whatever_crowd(storage: Storage, at_once: int) -> None:
    await enqueue_of(storage, "a", 50)
    await enqueue_of(storage, "b", 3)
    await enqueue_of(storage, "c", 3)
    assert await order(storage, 12, at_once) == "cba" * 3 + "aaa"


@clause("FAIR-1")
@AT_ONCE
async def test_what_a_job_costs_counts_and_not_how_many_there_are(storage: Storage, at_once: int) -> None:
    await storage.put_limits([PLENTY])
    await enqueue_of(storage, "a", 5, 3_000)
    await enqueue_of(storage, "b", 12, 1_000)
    # A job of the one counts as three of the other; at equal service the digest of b is less.
    assert await order(storage, 10, at_once) == "babbbabbba"


@clause("FAIR-1")
async def test_what_a_job_holds_counts_too(storage: Storage) -> None:
    await storage.put_limits([PLENTY])
    for tenant, estimate in (("a", need(0, 3_000)), ("b", need(600, 400))):
        options = {"limits": GPT, "estimate": estimate, "tenant": tenant}
        await storage.enqueue([job(f"{tenant}{n}", **options) for n in range(9)])
    assert await order(storage, 10) == "babbbabbba"


@clause("FAIR-1")
async def test_the_cost_is_charge_and_held_on_the_first_limit_with_tokens_by_name(storage: Storage) -> None:
    await storage.put_limits(
        [PLENTY, LimitSpec(name="b-limit", tokens=10**9, weights={"input": 10_000}), units("a", 99)]
    )
    for tenant, estimate in (("a", need(100)), ("b", need(0, 100))):
        limits = ("gpt", "a", "b-limit")
        await storage.enqueue([job(f"{tenant}{n}", tenant=tenant, limits=limits, estimate=estimate) for n in range(12)])
    # On "b-limit" input weighs ten times as much: a costs 1,000 and b 100.
    assert await order(storage, 12) == "ba" + "b" * 10


@clause("FAIR-1")
async def test_without_a_limit_of_tokens_each_job_costs_the_same(storage: Storage) -> None:
    await storage.put_limits([units("gpt", 99)])
    await enqueue_of(storage, "a", 5, 3_000)
    await enqueue_of(storage, "b", 5, 1_000)
    assert await order(storage, 8) == "babababa"


@clause("FAIR-1", "FAIR-5")
@AT_ONCE
async def test_a_tenant_of_three_times_the_weight_has_three_times_the_share(storage: Storage, at_once: int) -> None:
    await storage.put_limits([PLENTY])
    await storage.weigh("a", 3_000)
    await enqueue_of(storage, "a", 20, 1_000)
    await enqueue_of(storage, "b", 20, 1_000)
    # Each job of a counts 333,333: the fourth in a row follows because 999,999 is less than 1,000,000.
    assert await order(storage, 13, at_once) == "b" + "aaaa" + "b" + "aaa" + "b" + "aaa"


@clause("FAIR-1", "FAIR-5")
@AT_ONCE
async def test_a_weight_shares_jobs_without_tokens_too(storage: Storage, at_once: int) -> None:
    await storage.weigh("a", 2_000)
    await enqueue_of(storage, "a", 20)
    await enqueue_of(storage, "b", 20)
    assert await order(storage, 10, at_once) == "baabaabaab"


@clause("FAIR-1")
async def test_no_weight_lets_a_tenant_starve_the_others(storage: Storage) -> None:
    await storage.put_limits([PLENTY])
    await storage.weigh("a", MAX_WEIGHT)
    await enqueue_of(storage, "a", 20, 1)
    await enqueue_of(storage, "b", 20, 1)
    # The service of a rises by 1 at least, and so does that of b.
    assert await order(storage, 8) == "babababa"


@clause("FAIR-5")
async def test_a_weight_counts_from_the_next_job_on(storage: Storage) -> None:
    await enqueue_of(storage, "a", 10)
    await enqueue_of(storage, "b", 10)
    assert await order(storage, 2) == "ba"
    await storage.weigh("a", 500)
    assert await order(storage, 8) == "babbabba"


@clause("FAIR-5")
@pytest.mark.parametrize("weight", [0, -1, MAX_WEIGHT + 1])
async def test_a_weight_out_of_range_is_refused(storage: Storage, weight: int) -> None:
    with pytest.raises(InvalidInput):
        await storage.weigh("a", weight)


async def first_runs(storage: Storage, tokens: int = 1_000) -> dict[str, JobRecord]:
    """One run of a and one of b, each of the same cost, with many of their jobs ready."""
    await storage.put_limits([PLENTY])
    await enqueue_of(storage, "a", 20, tokens)
    await enqueue_of(storage, "b", 20, tokens)
    runs = {run.tenant: run for run in await claim_some(storage, 2)}
    assert set(runs) == {"a", "b"}
    return runs


@clause("FAIR-2")
@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (Usage(input=1_000), "baba"),
        (Usage(input=4_000), "bbbba"),
        (Usage(input=1_000, output=1_500), "bbab"),
        (Usage(input=100), "aba"),
    ],
)
async def test_what_a_call_used_sets_the_service_right(storage: Storage, used: Usage, expected: str) -> None:
    runs = await first_runs(storage)
    await tell(storage, runs["a"], 0, used=used)
    assert await order(storage, len(expected)) == expected


@clause("FAIR-2")
async def test_a_run_that_was_given_back_has_had_no_service(storage: Storage) -> None:
    runs = await first_runs(storage)
    await end(storage, runs["a"], Released())
    assert await order(storage, 4) == "abab"


@clause("FAIR-2")
async def test_a_lost_run_keeps_the_cost_that_was_counted(storage: Storage, clock: Clock) -> None:
    runs = await first_runs(storage)
    await tell(storage, runs["a"], 0, CallState.OPEN, Usage(input=100))
    await storage.cancel([runs["a"].id], force=True)
    assert await order(storage, 4) == "baba"
    await tell(storage, runs["a"], 0, used=Usage(input=100_000))
    assert await order(storage, 4) == "baba"


@clause("FAIR-2")
async def test_a_further_call_adds_its_own_cost_when_it_is_admitted(storage: Storage) -> None:
    runs = await first_runs(storage)
    await open_call(storage, runs["a"], 1, need(1_000))
    await open_call(storage, runs["a"], 2, need(2_000))
    assert await order(storage, 5) == "bbbab"
    await tell(storage, runs["a"], 2, CallState.UNSENT)
    assert await order(storage, 4) == "aaab"


@clause("FAIR-2")
async def test_a_first_call_that_asks_for_more_adds_the_difference(storage: Storage) -> None:
    runs = await first_runs(storage)
    await open_call(storage, runs["a"], 1, need(3_000))
    assert await order(storage, 4) == "bbba"


@clause("FAIR-2", "FAIR-5")
async def test_a_correction_is_weighed_too(storage: Storage) -> None:
    await storage.weigh("a", 2_000)
    runs = await first_runs(storage)
    # a stands at 500,000 and b at 1,000,000; 4,000 more at twice the weight are 2,000,000.
    await tell(storage, runs["a"], 0, used=Usage(input=5_000))
    assert await order(storage, 3) == "bba"


@clause("FAIR-2")
async def test_where_no_tokens_count_use_moves_nothing(storage: Storage) -> None:
    await enqueue_of(storage, "a", 5)
    await enqueue_of(storage, "b", 5)
    runs = {run.tenant: run for run in await claim_some(storage, 2)}
    await tell(storage, runs["a"], 0, used=Usage(input=100_000))
    assert await order(storage, 4) == "baba"


@clause("FAIR-3")
async def test_a_tenant_that_comes_late_is_not_owed_what_others_had_before(storage: Storage) -> None:
    await enqueue_of(storage, "a", 20)
    assert await order(storage, 5) == "aaaaa"
    await enqueue_of(storage, "b", 10)
    assert await order(storage, 6) == "bababa"


@clause("FAIR-3")
async def test_a_tenant_that_comes_late_begins_with_the_least_served_of_those_who_wait(storage: Storage) -> None:
    await storage.put_limits([PLENTY])
    await enqueue_of(storage, "a", 5, 5_000)
    await enqueue_of(storage, "b", 20, 1_000)
    assert await order(storage, 2) == "ba"
    await enqueue_of(storage, "c", 20, 1_000)
    assert await order(storage, 8) == "cbcbcbcb"


@clause("FAIR-3")
async def test_a_tenant_that_comes_into_an_empty_pool_begins_where_the_last_one_stood(storage: Storage) -> None:
    await enqueue_of(storage, "b", 5)
    assert await order(storage, 5) == "bbbbb"
    await enqueue_of(storage, "a", 10)
    await enqueue_of(storage, "b", 10)
    assert await order(storage, 4) == "baba"


@clause("FAIR-3")
async def test_a_tenant_that_was_ahead_begins_where_it_was(storage: Storage) -> None:
    await storage.put_limits([PLENTY])
    await enqueue_of(storage, "a", 1, 5_000)
    await enqueue_of(storage, "b", 20, 1_000)
    assert await order(storage, 2) == "ba"
    # a has had 5,000 and stands at that when it comes back, though b has had one.
    await enqueue_of(storage, "a", 5, 1_000)
    assert await order(storage, 6) == "bbbbba"


@clause("FAIR-3")
async def test_bands_of_a_tenant_are_lines_of_their_own(storage: Storage) -> None:
    await enqueue_of(storage, "a", 5, band=Band.HIGH)
    await order(storage, 5)
    await enqueue_of(storage, "a", 5)
    await enqueue_of(storage, "b", 5)
    assert await order(storage, 4) == "baba"


@clause("FAIR-4")
async def test_a_line_that_stands_aside_keeps_its_service(storage: Storage, clock: Clock) -> None:
    await storage.put_limits([units("mine", 99, by="tenant")])
    for tenant in "ab":
        await enqueue_of(storage, tenant, 20, limits=("mine",))
    assert await order(storage, 2) == "ba"
    await storage.throttled([Throttle(limit="mine", key="a", retry_after_ms=1_000)])
    assert await order(storage, 4) == "bbbb"
    clock.advance_ms(1_000)

    # b has had five by now and a one: a catches up.
    assert await order(storage, 6) == "aaaaba"


@clause("FAIR-1", "BAND-4")
async def test_a_tenant_that_comes_back_goes_first_within_its_own_line_only(storage: Storage) -> None:
    await enqueue_of(storage, "a", 3)
    await enqueue_of(storage, "b", 3)
    runs = await claim_some(storage, 2)
    assert [run.tenant for run in runs] == ["b", "a"]
    await end(storage, runs[0], Released())
    given = await claim_some(storage, 4)
    assert [run.tenant for run in given] == ["b", "a", "b", "a"]
    assert given[0].id == runs[0].id
