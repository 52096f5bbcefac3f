"""The order of a claim: lines, bands, pools, and what becomes of jobs that cannot be given."""

from collections import Counter
from itertools import cycle

import pytest
from msgspec import structs

from aiq.bounds import MAX_BYPASSED, MAX_INSTANT_MS, MAX_REFUSED
from aiq.model import (
    Band,
    BudgetSpec,
    Cause,
    Estimate,
    HeldFor,
    JobRecord,
    Lane,
    LimitSpec,
    OnExceeded,
    RouteSpec,
    State,
)
from aiq.rules import fairness
from tests.rules.ledger import Ledger, full, tokens


def ids(jobs: list[JobRecord]) -> list[str]:
    return [job.id for job in jobs]


def costing(cost: int) -> Estimate:
    return Estimate(input=cost, max_output=0)


@pytest.fixture
def ledger() -> Ledger:
    """A store with a limit so large that it refuses nothing."""
    ledger = Ledger()
    ledger.put(tokens(60_000_000))
    full(ledger, "gpt")
    return ledger


@pytest.fixture
def narrow() -> Ledger:
    """A store with a limit of 6,000 tokens a minute, full."""
    ledger = Ledger()
    ledger.put(tokens(6_000))
    full(ledger, "gpt")
    return ledger


def drain(ledger: Ledger, left: int = 0, name: str = "gpt") -> None:
    full(ledger, name)
    ledger.states[name, ""] = structs.replace(ledger.left(name), tokens=left * 10_000)


# Names of pools.


@pytest.mark.parametrize(
    ("fields", "pool"),
    [
        ({}, ""),
        ({"tenant": "a"}, "~"),
        ({"limits": ("each",)}, ""),
        ({"limits": ("each",), "tenant": "a"}, "~"),
        ({"limits": ("gpt", "each", "a")}, "a,gpt|"),
        ({"limits": ("gpt",), "estimate": Estimate(model="m")}, "gpt|m"),
        ({"routes": (RouteSpec(name="r", model="n", limits=("gpt",)),)}, "gpt|n"),
    ],
)
def test_pools_are_made_of_the_limits_without_by_and_the_model(fields: dict[str, object], pool: str) -> None:
    stored = {spec.name: spec for spec in (tokens(60), tokens(60, "a"), tokens(60, "each", by="key"))}

    assert fairness.pool_of(stored, JobRecord(id="j", task="t", state=State.READY, **fields)) == pool  # type: ignore[arg-type]


# Lines.


def test_one_line_is_served_in_its_order_those_that_come_back_first(ledger: Ledger) -> None:
    first = ledger.add("1")
    ledger.add("2")
    ledger.add("3")
    ledger.hold(first, HeldFor.OPERATOR, "", {})
    ledger.add("4")
    ledger.ready(ledger.jobs["1"], lane=Lane.RETURNED)

    assert ids(ledger.claim(4)) == ["1", "2", "3", "4"]


def test_the_line_with_the_least_service_is_next_and_at_equal_service_the_one_with_the_lesser_digest(
    ledger: Ledger,
) -> None:
    for number in range(2):
        for tenant, cost in (("a", 300), ("b", 100), ("c", 100)):
            ledger.add(f"{tenant}{number}", tenant=tenant, limits=("gpt",), estimate=costing(cost))
    order = sorted("abc", key=fairness.digest)

    given = ids(ledger.claim(6))

    assert given[:3] == [f"{tenant}0" for tenant in order]
    assert sorted(given[3:5]) == ["b1", "c1"]
    assert given[5] == "a1"


def test_a_tenant_of_twice_the_weight_is_served_twice_as_much(ledger: Ledger) -> None:
    ledger.weights["a"] = 2_000
    for number in range(30):
        for tenant in "ab":
            ledger.add(f"{tenant}{number}", tenant=tenant, limits=("gpt",), estimate=costing(100))

    assert Counter(job.tenant for job in ledger.claim(30)) == {"a": 20, "b": 10}


def test_a_line_that_had_no_jobs_begins_with_the_least_service_of_those_that_have(ledger: Ledger) -> None:
    for number in range(10):
        ledger.add(f"a{number}", tenant="a", limits=("gpt",), estimate=costing(100))
    ledger.claim(5)
    for number in range(10):
        ledger.add(f"b{number}", tenant="b", limits=("gpt",), estimate=costing(100))

    assert Counter(job.tenant for job in ledger.claim(6)) == {"a": 3, "b": 3}


def test_a_line_begins_with_the_service_of_the_line_served_last_when_there_is_no_other(ledger: Ledger) -> None:
    ledger.add("a", tenant="a", limits=("gpt",), estimate=costing(100))
    ledger.claim()

    ledger.add("b", tenant="b", limits=("gpt",), estimate=costing(100))

    assert ledger.lines["gpt|", Band.NORMAL, "b"].service == 100


def jain(served: list[int]) -> float:
    return sum(served) ** 2 / (len(served) * sum(one * one for one in served))


def test_ten_tenants_of_whom_one_floods_and_two_have_dear_jobs_share_the_tokens() -> None:
    """What a job has cost is known only when it ends, thirty jobs later, and most guesses are wrong by half."""
    ledger = Ledger()
    ledger.put(tokens(60_000_000))
    full(ledger, "gpt")
    served: Counter[str] = Counter()
    running: list[tuple[JobRecord, int]] = []
    counts: Counter[str] = Counter()
    factors = cycle((1, 3, 1, 2, 4))

    def refill(tenant: int, number: int) -> None:
        cost = 60_000 if tenant in (8, 9) else 2_000
        for _ in range(number):
            counts[f"t{tenant}"] += 1
            name = f"t{tenant}-{counts[f't{tenant}']}"
            ledger.add(name, tenant=f"t{tenant}", limits=("gpt",), estimate=costing(cost))

    for tenant in range(10):
        refill(tenant, 50 if tenant == 0 else 2)
    while sum(served.values()) < 9_000_000:
        (record,) = ledger.claim()
        expected = record.estimate.input  # type: ignore[union-attr]
        running.append((record, next(factors) * expected // 2))  # type: ignore[operator]
        refill(int(record.tenant[1:]), 1)
        if len(running) > 30:
            done, used = running.pop(0)
            ledger.report_used(done, used)
            served[done.tenant] += used
            ledger.forget(done)
            full(ledger, "gpt")

    assert jain([served[f"t{tenant}"] for tenant in range(10)]) >= 0.99


# Bands.


def test_a_more_urgent_band_is_served_first_save_for_a_share_of_the_less_urgent_ones(ledger: Ledger) -> None:
    for number in range(30):
        ledger.add(f"high{number}", band=Band.HIGH)
        ledger.add(f"batch{number}", band=Band.BATCH)

    given = [job.band for job in ledger.claim(22)]

    assert given == [*[Band.HIGH] * 10, Band.BATCH, *[Band.HIGH] * 10, Band.BATCH]


def test_the_share_of_a_less_urgent_band_is_counted_in_cost(ledger: Ledger) -> None:
    for number in range(30):
        ledger.add(f"high{number}", band=Band.HIGH, limits=("gpt",), estimate=costing(100))
    ledger.add("batch", band=Band.BATCH, limits=("gpt",), estimate=costing(200))

    assert ids(ledger.claim(30)).index("batch") == 20


def test_credit_stops_at_what_the_head_costs(ledger: Ledger) -> None:
    ledger.add("high", band=Band.HIGH, limits=("gpt",), estimate=costing(90_000))
    for number in range(2):
        ledger.add(f"batch{number}", band=Band.BATCH, limits=("gpt",), estimate=costing(100))
    ledger.add("high2", band=Band.HIGH, limits=("gpt",), estimate=costing(100))

    assert ids(ledger.claim(4)) == ["high", "batch0", "high2", "batch1"]


def test_a_band_that_runs_empty_loses_its_credit(ledger: Ledger) -> None:
    for number in range(9):
        ledger.add(f"high{number}", band=Band.HIGH)
    batch = ledger.add("batch", band=Band.BATCH)
    ledger.claim(9)
    assert ledger.pool("").credits[Band.BATCH] == 900_000

    ledger.claim()
    assert ledger.pool("").credits[Band.BATCH] == 0
    ledger.ready(batch)
    for number in range(9, 20):
        ledger.add(f"high{number}", band=Band.HIGH)
    assert ids(ledger.claim(5)) == [f"high{number}" for number in range(9, 14)]


def test_among_pools_the_most_urgent_band_goes_first_and_in_a_band_the_lowest_position(ledger: Ledger) -> None:
    ledger.add("1", tenant="a")
    ledger.add("2")
    ledger.add("3", limits=("gpt",))
    ledger.add("4", tenant="a", band=Band.HIGH)
    ledger.add("5")

    assert ids(ledger.claim(5)) == ["4", "1", "2", "3", "5"]


def test_among_pools_less_urgent_bands_have_a_share_as_well(ledger: Ledger) -> None:
    for number in range(22):
        ledger.add(f"high{number}", band=Band.HIGH)
        ledger.add(f"batch{number}", band=Band.BATCH, tenant="a")

    given = ids(ledger.claim(22))

    assert [given.index(job) for job in given if job.startswith("batch")] == [10, 21]


def test_a_band_in_which_nobody_stands_any_more_loses_its_credit_with_the_queue(ledger: Ledger) -> None:
    for number in range(5):
        ledger.add(f"high{number}", band=Band.HIGH)
    ledger.add("batch", band=Band.BATCH, tenant="a")
    ledger.claim(5)
    assert ledger.credits[Band.BATCH] == 500

    ledger.claim()

    assert ledger.credits == (0, 0, 0, 0)


def test_a_head_that_its_pools_credit_lets_go_first_stands_in_the_band_that_it_displaces(ledger: Ledger) -> None:
    ledger.add("other", band=Band.NORMAL)
    for number in range(11):
        ledger.add(f"high{number}", band=Band.HIGH, tenant="a")
    ledger.add("batch", band=Band.BATCH, tenant="a")

    given = ids(ledger.claim(12))

    assert given.index("batch") == 11
    assert given.index("other") == 10


# Pools and limits.


def test_a_pool_whose_head_is_refused_is_parked_until_the_time_that_was_named(narrow: Ledger) -> None:
    drain(narrow)
    narrow.add("job", limits=("gpt",), estimate=costing(100))

    assert narrow.claim() == []
    pool = narrow.pool("gpt|")
    assert (pool.wake_at_ms, pool.parked_by) == (narrow.now_ms + 1_000, "gpt")
    narrow.now_ms += 999
    looked = narrow.looked
    assert narrow.claim() == []
    assert narrow.looked == looked
    narrow.now_ms += 1
    assert ids(narrow.claim()) == ["job"]


def test_a_pool_that_waits_for_a_unit_is_parked_until_it_is_told() -> None:
    ledger = Ledger()
    ledger.put(LimitSpec(name="gpu", concurrency=1))
    run = ledger.start("first", limits=("gpu",))
    ledger.add("second", limits=("gpu",))

    assert ledger.claim() == []
    assert ledger.pool("gpu|").wake_at_ms == MAX_INSTANT_MS
    ledger.settle(run)
    assert ids(ledger.claim()) == ["second"]


def test_a_parked_pool_leaves_the_others_as_they_are(narrow: Ledger) -> None:
    drain(narrow)
    narrow.add("refused", limits=("gpt",), estimate=costing(100), band=Band.HIGH)
    narrow.add("plain")

    assert ids(narrow.claim(2)) == ["plain"]


def test_small_jobs_of_other_lines_pass_a_head_for_a_quarter_of_what_it_costs(narrow: Ledger) -> None:
    drain(narrow, left=2_000)
    narrow.add("head", tenant="a", limits=("gpt",), estimate=costing(4_000))
    narrow.lines["gpt|", Band.NORMAL, "a"] = structs.replace(narrow.lines["gpt|", Band.NORMAL, "a"], service=-1)
    for tenant in "bcdef":
        for number in range(3):
            narrow.add(f"{tenant}{number}", tenant=tenant, limits=("gpt",), estimate=costing(300))

    given = narrow.claim(10)

    assert len(given) == 3
    assert "head" not in ids(given)
    assert narrow.pool("gpt|").bypass == 100
    narrow.now_ms = narrow.pool("gpt|").wake_at_ms
    assert ids(narrow.claim())[0] == "head"


def test_what_has_passed_lengthens_the_wait_of_the_head_by_no_more_than_it_cost(narrow: Ledger) -> None:
    drain(narrow, left=3_000)
    narrow.add("head", tenant="a", limits=("gpt",), estimate=costing(4_000))
    narrow.lines["gpt|", Band.NORMAL, "a"] = structs.replace(narrow.lines["gpt|", Band.NORMAL, "a"], service=-1)
    for number in range(50):
        narrow.add(f"b{number}", tenant=f"b{number}", limits=("gpt",), estimate=costing(100))
    begun_ms = narrow.now_ms

    while narrow.jobs["head"].state is State.READY:
        narrow.claim(50)
        narrow.now_ms += 100

    # 1,000 tokens are missing at 100 a second, and a quarter of the head may pass.
    assert narrow.now_ms - 100 - begun_ms <= 10_000 + 10_000


def test_a_job_never_passes_one_of_its_own_line(narrow: Ledger) -> None:
    drain(narrow, left=500)
    narrow.add("head", limits=("gpt",), estimate=costing(4_000))
    narrow.add("small", limits=("gpt",), estimate=costing(1))

    assert narrow.claim(2) == []


def test_a_job_that_cannot_ever_fit_at_once_is_given_when_the_limit_is_full(narrow: Ledger) -> None:
    drain(narrow, left=5_999)
    narrow.add("large", limits=("gpt",), estimate=Estimate(input=6_000, max_output=3_000))

    assert narrow.claim() == []
    narrow.now_ms += 10
    assert ids(narrow.claim()) == ["large"]


def test_a_limit_by_tenant_parks_the_line_and_the_lines_of_others_go_on() -> None:
    ledger = Ledger()
    ledger.put(LimitSpec(name="each", concurrency=1, by="tenant"))
    for tenant in "ab":
        for number in range(2):
            ledger.add(f"{tenant}{number}", tenant=tenant, limits=("each",))

    given = ledger.claim(4)

    assert sorted(ids(given)) == ["a0", "b0"]
    line = ledger.lines["each|", Band.NORMAL, "a"]
    assert (line.parked_by, line.wake_at_ms) == ("each", MAX_INSTANT_MS)
    ledger.settle(next(job for job in given if job.tenant == "a"))
    assert ledger.lines["each|", Band.NORMAL, "a"] == structs.replace(line, wake_at_ms=0, parked_by="")
    assert ids(ledger.claim(4)) == ["a1"]


def test_a_limit_by_key_sets_the_job_aside_and_those_behind_it_go_on() -> None:
    ledger = Ledger()
    ledger.put(LimitSpec(name="each", concurrency=1, by="key"))
    for number, key in enumerate(["k", "k", "l", None]):
        ledger.add(f"{number}", key=key, limits=("each",))

    given = ledger.claim(4)

    assert ids(given) == ["0", "2", "3"]
    assert ledger.aside["1"] == ("each", "k", MAX_INSTANT_MS)
    ledger.add("4")
    ledger.settle(given[0])
    assert ids(ledger.claim(2)) == ["1", "4"]


def test_a_claim_looks_at_a_bounded_number_of_jobs_that_it_must_refuse() -> None:
    ledger = Ledger()
    ledger.put(LimitSpec(name="each", concurrency=1, by="key"))
    ledger.start("0", key="k", limits=("each",))
    for number in range(1, 100):
        ledger.add(f"{number}", key="k", limits=("each",))
    ledger.add("last")
    ledger.looked = 0

    assert ledger.claim() == []
    assert ledger.more
    assert ledger.looked <= MAX_REFUSED + 1
    assert ids(ledger.claim()) == ["last"]
    assert not ledger.more


def test_a_claim_looks_at_few_jobs_behind_the_head_of_a_pool(narrow: Ledger) -> None:
    drain(narrow)
    for number in range(100):
        narrow.add(f"{number}", tenant=f"{number}", limits=("gpt",), estimate=costing(4_000))
    narrow.add("plain")
    narrow.looked = 0

    assert ids(narrow.claim(5)) == ["plain"]
    assert narrow.looked <= MAX_BYPASSED + 3


def test_a_parked_pool_costs_a_claim_the_same_whatever_stands_in_it(narrow: Ledger) -> None:
    drain(narrow)
    narrow.add("0", limits=("gpt",), estimate=costing(4_000))
    narrow.claim()
    for number in range(1, 50):
        narrow.add(f"{number}", tenant=f"{number}", limits=("gpt",), estimate=costing(4_000))
    narrow.looked = 0

    assert narrow.claim(10) == []
    assert narrow.looked == 0


def test_a_claim_ends_where_its_bytes_do_and_takes_nothing_for_the_job_that_is_left(narrow: Ledger) -> None:
    for number in range(3):
        narrow.add(f"{number}", limits=("gpt",), estimate=costing(100))

    assert ids(narrow.claim(3, lambda record: record.id != "1")) == ["0"]
    assert set(narrow.reservations) == {("0", 1, 0)}
    assert narrow.left("gpt").tokens == 5_900 * 10_000
    assert narrow.jobs["1"].state is State.READY


# Budgets.


def short(way: OnExceeded, **fields: object) -> Ledger:
    ledger = Ledger()
    ledger.put(BudgetSpec(id="b", caps={"tokens": 10}, on_exceeded=way), tokens(6_000), tokens(6_000, "other"))
    full(ledger, "gpt", "other")
    ledger.add("job", budgets=("b",), limits=("gpt",), estimate=costing(11), **fields)
    ledger.add("next", limits=("gpt",), estimate=costing(1))
    assert ids(ledger.claim(2)) == ["next"]
    assert ledger.left("gpt").tokens == 5_999 * 10_000
    return ledger


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        (OnExceeded.HOLD, HeldFor.BUDGET),
        (OnExceeded.APPROVE, HeldFor.APPROVAL),
        (OnExceeded.DEGRADE, HeldFor.BUDGET),
    ],
)
def test_a_job_that_its_budget_cannot_hold_is_held(way: OnExceeded, reason: HeldFor) -> None:
    job = short(way).jobs["job"]

    assert (job.state, job.held, job.held_by, job.failures) == (State.HELD, reason, "b", 0)


def test_a_job_dies_of_its_budget_with_the_figures_if_the_budget_says_so() -> None:
    job = short(OnExceeded.FAIL).jobs["job"]

    assert (job.state, job.cause, job.failures) == (State.DEAD, Cause.BUDGET, 0)
    assert job.last_error
    assert job.last_error.message == 'Budget "b" has 10 tokens left of 10 tokens, and 11 tokens are needed.'


def degrading(*limits: str, closed: int = 0) -> Ledger:
    ledger = Ledger()
    ledger.put(BudgetSpec(id="b", caps={"usd_micros": 0}, on_exceeded=OnExceeded.DEGRADE), tokens(6_000))
    ledger.put(tokens(6_000, "other"), LimitSpec(name="queue:default", concurrency=9))
    full(ledger, "gpt", "other")
    routes = tuple(RouteSpec(name=f"r{number}", limits=(name,)) for number, name in enumerate(limits))
    ledger.add("job", budgets=("b",), routes=routes, closed_routes=closed, estimate=costing(11))
    return ledger


def test_a_job_whose_budget_degrades_it_takes_its_next_open_route_and_is_looked_at_anew() -> None:
    ledger = degrading("gpt", "gpt", "other", closed=0b010)
    ledger.add("cheap", limits=("other",), estimate=costing(1))

    assert ids(ledger.claim(2)) == ["cheap"]
    assert (ledger.jobs["job"].route, ledger.jobs["job"].state) == (2, State.HELD)


def test_a_job_without_an_open_route_behind_its_own_is_held() -> None:
    ledger = degrading("gpt", "other")

    assert ledger.claim() == []
    assert (ledger.jobs["job"].route, ledger.jobs["job"].held) == (1, HeldFor.BUDGET)


def test_a_job_that_is_too_large_for_its_limit_is_held_for_its_size(narrow: Ledger) -> None:
    narrow.add("job", limits=("gpt",), estimate=costing(6_001))
    narrow.add("next", limits=("gpt",), estimate=costing(1))

    assert ids(narrow.claim(2)) == ["next"]
    assert (narrow.jobs["job"].held, narrow.jobs["job"].held_by) == (HeldFor.SIZE, "gpt")
