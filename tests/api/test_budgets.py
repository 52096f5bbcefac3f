"""Budgets and prices as users write them, and what jobs, flows and children draw from."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

import aiq
from aiq.model import OnExceeded
from aiq.testing import Faulty
from aiq.testing.actions import start

PRICES = [aiq.Price("gpt", "input", "2.50"), aiq.Price("gpt", "output", 10)]


@aiq.task
async def write(topic: str) -> str:
    return topic


@aiq.task
async def merge(parts: list[str]) -> str:
    return ""


@pytest.mark.parametrize(
    ("written", "micros"),
    [
        ("2.50", 2_500_000),
        ("0", 0),
        (2, 2_000_000),
        (0.1, 100_000),
        (1e-6, 1),
        (Decimal("0.000125"), 125),
        (Decimal("1E+3"), 1_000_000_000),
        ("1.0000000", 1_000_000),
        (10**9, 10**15),
    ],
)
def test_money_is_kept_in_whole_micro_dollars_exactly(written: Any, micros: int) -> None:
    assert aiq.Budget("b", usd=written).spec().caps == {"usd_micros": micros}
    assert aiq.Budget("b", usd=written).usd == Decimal(micros) / 1_000_000


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("0.0000001", r"usd of a budget is '0\.0000001'; pass dollars, with at most six decimals"),
        (1e-7, r"is 1e-07; pass dollars"),
        (Decimal("1.00000000000000000000000000000000000000000000000000000000000000001"), r"pass dollars"),
        (Decimal("1E-999999"), r"pass dollars"),
        (Decimal("1E+999999"), r"pass dollars|from 0 to 1,000,000,000 dollars"),
        (1 / 3, r"pass dollars"),
        (-1, r"usd of a budget is -1; it must be from 0 to 1,000,000,000 dollars"),
        ("-0.01", r"is '-0\.01'; it must be"),
        (10**9 + 1, r"it must be from 0"),
        (float("nan"), r"is nan; pass dollars"),
        (float("inf"), r"is inf; pass dollars"),
        (Decimal("sNaN"), r"pass dollars"),
        ("$2", r"is '\$2'; pass dollars"),
        ("", r"is ''; pass dollars"),
        (True, r"is True; pass dollars"),
        ([2], r"is \[2\]; pass dollars"),
    ],
)
def test_money_that_cannot_be_kept_exactly_is_refused(written: Any, message: str) -> None:
    with pytest.raises(aiq.InvalidInput, match=message):
        aiq.Budget("b", usd=written)


@pytest.mark.parametrize("whose", [{"name": "a", "parent": "a"}, {"tenant": "a", "parent": "tenant:a"}])
def test_a_budget_is_not_its_own_parent(whose: dict[str, str]) -> None:
    with pytest.raises(aiq.InvalidInput, match="is its own parent; leave the parent out"):
        aiq.Budget(**whose, tokens=5)  # type: ignore[arg-type]


def test_money_that_is_refused_is_shown_as_a_number() -> None:
    with pytest.raises(aiq.InvalidInput, match=r"is NaN; pass dollars"):
        aiq.Budget("b", usd=Decimal("NaN"))


def test_a_budget_reads_back_as_it_was_written() -> None:
    for budget in (
        aiq.Budget("team", tokens=5, usd="0.5", per_category={"output": 3}, weights={"output": 5}, window="month"),
        aiq.Budget(tenant="acme: the firm", usd=50, window="day", on_exceeded="approve"),
        aiq.Budget("child", parent="tenant:acme", tokens=0, on_exceeded="fail"),
    ):
        assert aiq.Budget.of(budget.spec()) == budget
        assert hash(aiq.Budget.of(budget.spec())) == hash(budget)


def test_a_budget_is_known_by_its_name_or_tenant_or_comes_with_a_job() -> None:
    assert aiq.Budget("team", usd=1).spec("job:1").id == "team"
    assert aiq.Budget(tenant="acme", usd=1).spec("job:1").id == "tenant:acme"
    assert aiq.Budget(usd=1).spec("job:1").id == "job:1"
    assert aiq.Budget.of(aiq.Budget(usd=1).spec("job:1")) == aiq.Budget(usd=1)
    with pytest.raises(aiq.InvalidInput, match=r'Say whose budget it is: Budget\("team-a", …\)'):
        aiq.Budget(usd=1).spec()


def test_what_a_storage_is_handed_has_all_that_was_written() -> None:
    spec = aiq.Budget(
        "team",
        parent="tenant:acme",
        tokens=1_000,
        usd="2.5",
        per_category={"output": 10},
        weights={"output": 5.0},
        window="day",
        on_exceeded="degrade",
    ).spec()

    assert (spec.parent, spec.window, spec.on_exceeded) == ("tenant:acme", "day", OnExceeded.DEGRADE)
    assert dict(spec.caps) == {"tokens": 1_000, "usd_micros": 2_500_000, "tokens.output": 10}
    assert dict(spec.weights) == {"output": 5_000}


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({}, r"The budget bounds nothing; pass tokens=, usd= or per_category=\."),
        ({"tokens": -1}, r"tokens of a budget is -1; pass a whole number from 0 to 1,000,000,000,000\."),
        ({"tokens": 1.5}, r"is 1\.5; pass a whole number"),
        ({"tokens": float("nan")}, r"is nan; pass a whole number"),
        ({"per_category": {"output": 0.5}}, r"'output' in per_category of a budget is 0\.5; pass a whole number"),
        ({"per_category": ["output"]}, r'pass a mapping by category: \{"output": 100_000\}'),
        ({"tokens": 1, "weights": {"output": -2}}, r"'output' in weights of a budget is -2"),
        ({"tokens": 1, "window": "week"}, r"window of a budget is 'week'; it can be 'day', 'month' or None\."),
        ({"tokens": 1, "on_exceeded": "stop"}, r"is 'stop'; it can be 'hold' or 'fail' or 'degrade' or 'approve'\."),
        ({"tokens": 1, "name": "two words"}, r"not a name for a budget"),
        ({"tokens": 1, "name": "a", "tenant": "b"}, r"a name or a tenant, not both"),
        ({"tokens": 1, "tenant": ""}, r"tenant of a budget is ''; pass a text"),
        ({"tokens": 1, "parent": 7}, r"parent of a budget is 7; pass a text"),
    ],
)
def test_a_budget_that_cannot_work_is_refused_with_what_to_write(figures: dict[str, Any], message: str) -> None:
    with pytest.raises(aiq.InvalidInput, match=message):
        aiq.Budget(**figures)


def test_a_price_is_dollars_for_a_million_tokens_from_an_instant_on() -> None:
    begun = datetime(2027, 1, 1, tzinfo=UTC)
    price = aiq.Price("gpt", "output", "12.5", from_=begun)

    row = price.row()

    assert (row.model, row.category, row.usd_micros_per_million) == ("gpt", "output", 12_500_000)
    assert row.from_ms == round(begun.timestamp() * 1000)
    assert aiq.Price.of(row) == price
    assert aiq.Price.of(aiq.Price("gpt", "input", 1).row()) == aiq.Price("gpt", "input", 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", "input", 1), r"The price has no model"),
        (("m" * 257, "input", 1), r"The model is"),
        (("gpt", "in put", 1), r"'in put' is no name for a category"),
        (("gpt", "input", -1), r"price of gpt input is -1"),
        (("gpt", "input", "0.0000001"), r"at most six decimals"),
    ],
)
def test_a_price_that_cannot_be_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(aiq.InvalidInput, match=message):
        aiq.Price(*arguments)
    with pytest.raises(aiq.InvalidInput, match="time zone"):
        aiq.Price("gpt", "input", 1, from_=datetime(2027, 1, 1))  # noqa: DTZ001


def test_a_budget_of_a_job_is_stored_with_it_under_its_id() -> None:
    spec = write.job("x").using(budget=aiq.Budget(tokens=5)).spec(job_id="j1")

    assert spec.budgets == ("job:j1",)
    assert [budget.id for budget in spec.creates] == ["job:j1"]
    assert write.job("x").using(budget="team").spec(job_id="j1").creates == ()
    assert write.job("x").using(budget="team").spec(job_id="j1").budgets == ("team",)
    assert write.job("x").using(id="mine", budget=aiq.Budget(tokens=5)).spec(job_id="j1").budgets == ("job:mine",)


def test_a_budget_of_a_flow_is_that_of_all_its_jobs_after_their_own() -> None:
    flow = aiq.Flow("digest", budget=aiq.Budget(usd=1))
    part = flow.add(write.job("x"))
    flow.add(merge.job([part.output]).using(budget=aiq.Budget(tokens=5)))

    first, second = flow.specs("f1", queue_default="default")

    assert first.budgets == ("flow:f1",)
    assert second.budgets == (f"job:{second.id}", "flow:f1")
    assert [budget.id for budget in (*first.creates, *second.creates)] == ["flow:f1", f"job:{second.id}"]


def test_a_flow_that_is_run_again_with_other_options_is_another_flow() -> None:
    plain, bounded = aiq.Flow("digest"), aiq.Flow("digest", budget=aiq.Budget(usd=1))
    for flow in (plain, bounded):
        flow.add(write.job("x"))

    digests = [flow.specs("f1", queue_default="default")[0].digest for flow in (plain, bounded)]

    assert digests[0] != digests[1]
    with pytest.raises(aiq.InvalidInput, match="budget is 5; pass"):
        aiq.Flow("digest", budget=5)  # type: ignore[arg-type]


def test_the_budget_and_the_key_are_part_of_what_makes_a_job_the_same_job() -> None:
    jobs = [
        write.job("x"),
        write.job("x").using(budget=aiq.Budget(tokens=5)),
        write.job("x").using(budget=aiq.Budget(tokens=6)),
        write.job("x").using(budget=aiq.Budget(tokens=5, weights={"output": 2})),
        write.job("x").using(budget="team"),
        write.job("x").using(key="a"),
        write.job("x").using(estimate=aiq.Estimate(input=3)),
        write.job("x").using(max_deferral=60),
        write.job("x").using(routes=[aiq.Route("a")]),
        write.job("x").using(routes=[aiq.Route("a", patience=3)]),
    ]

    assert len({job.spec(job_id="a").digest for job in jobs}) == len(jobs)


async def test_a_child_draws_from_all_that_its_parent_draws_from_and_from_its_own_before(storage: Faulty) -> None:
    await aiq.Queue(storage).admin.put_budget(aiq.Budget("team", usd=5))
    parent = await start(
        storage,
        tenant="acme",
        budgets=("job:job", "team"),
        creates=(aiq.Budget(tokens=5_000).spec("job:job"),),
    )

    child = write.job("x").using(budget=aiq.Budget(tokens=5)).spec(job_id="c", parent=parent, child_of="found")
    plain = write.job("x").spec(job_id="d", parent=parent, child_of="found")

    assert child.budgets == ("job:c", "job:job", "team")
    assert plain.budgets == ("job:job", "team")
    assert [budget.id for budget in child.creates] == ["job:c"]


async def test_a_job_stores_its_budget_with_it(queue: aiq.Queue) -> None:
    job = await queue.enqueue(write.job("x"), budget=aiq.Budget(tokens=5_000))

    report = await queue.admin.budget(f"job:{job.id}")

    assert (report.budget, report.left.tokens, report.spent.tokens) == (aiq.Budget(tokens=5_000), 5_000, 0)


async def test_a_flow_stores_its_budget_with_it_and_one_that_is_run_with_another_has_that(queue: aiq.Queue) -> None:
    flow = aiq.Flow("digest", budget=aiq.Budget(usd=1))
    flow.add(write.job("x"))

    run = await queue.run(flow)
    other = await queue.run(flow, budget=aiq.Budget(usd=7))

    assert (await queue.admin.budget(f"flow:{run.id}")).left.usd == 1
    assert (await queue.admin.budget(f"flow:{other.id}")).left.usd == 7


async def test_a_budget_that_is_only_named_must_be_stored(queue: aiq.Queue) -> None:
    with pytest.raises(aiq.NotFound, match="team"):
        await queue.enqueue(write.job("x"), budget="team")

    await queue.admin.put_budget(aiq.Budget("team", usd=5))
    job = await queue.enqueue(write.job("x"), budget="team")

    assert (await job.record()).budgets == ("team",)


async def test_a_job_without_room_in_its_budget_is_held_and_a_grant_lets_it_go(queue: aiq.Queue) -> None:
    await queue.admin.put_budget(aiq.Budget(tenant="acme", tokens=10))
    declared = aiq.Estimate(input=8, max_output=8)
    job = await queue.enqueue(write.job("x"), tenant="acme", estimate=declared)
    worker = aiq.Worker(queue, tasks=[write])

    await worker.run_until_idle()
    why = await queue.explain(job)
    assert (why.gate, why.name) == (aiq.Gate.BUDGET, "tenant:acme")
    assert (await queue.admin.budget("tenant:acme")).waiting == 1

    await queue.admin.grant("tenant:acme", tokens=6)
    await worker.run_until_idle()

    assert await job.result(timeout=0) == "x"


async def test_money_on_a_model_without_a_price_is_refused_until_one_is_stored(queue: aiq.Queue) -> None:
    options: Any = {"budget": aiq.Budget(usd=1), "estimate": aiq.Estimate(model="gpt", input=3)}

    with pytest.raises(aiq.PriceUnknown, match='Model "gpt" has no price'):
        await queue.enqueue(write.job("x"), **options)
    await queue.admin.put_prices(PRICES)

    assert await (await queue.enqueue(write.job("x"), **options)).state() is aiq.State.READY
