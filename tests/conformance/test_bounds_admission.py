"""Chapter 9, the bounds of what came with limits, budgets and use: what is too much is refused, and nothing is done."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aiq import bounds
from aiq.errors import InvalidInput, TooLarge, Unavailable
from aiq.model import (
    BudgetSpec,
    CallState,
    Deferred,
    Held,
    HeldFor,
    JobError,
    PriceRow,
    QueueSettings,
    Report,
    RouteSpec,
    Settlement,
    Throttle,
    Usage,
    UsageFilter,
)
from aiq.storage import Storage
from aiq.testing.actions import enqueue_one, job, look, start
from aiq.testing.marks import clause
from aiq.testing.spending import need, put_budget, put_limit, tokens

MANY = bounds.MAX_BATCH + 1
NAMES = [f"name-{n}" for n in range(MANY)]
PRICE = PriceRow(model="gpt", category="input", usd_micros_per_million=1)
LIMITS = tuple(f"limit-{n}" for n in range(bounds.MAX_LIMITS + 1))
CATEGORIES = {f"category-{n}": 1 for n in range(bounds.MAX_CATEGORIES + 1)}
Call = Callable[[Storage], Awaitable[object]]

TOO_MANY: dict[str, Call] = {
    "put_limits": lambda s: s.put_limits([tokens(name) for name in NAMES]),
    "get_limits": lambda s: s.get_limits(NAMES),
    "get_limits page": lambda s: s.get_limits(limit=bounds.MAX_PAGE + 1),
    "put_budgets": lambda s: s.put_budgets([BudgetSpec(id=name) for name in NAMES]),
    "get_budgets": lambda s: s.get_budgets(NAMES),
    "get_budgets page": lambda s: s.get_budgets(limit=bounds.MAX_PAGE + 1),
    "put_prices": lambda s: s.put_prices([PRICE] * MANY),
    "usage page": lambda s: s.usage(UsageFilter(), limit=bounds.MAX_PAGE + 1),
    "hold": lambda s: s.hold(NAMES),
    "unhold": lambda s: s.unhold(NAMES),
    "throttled": lambda s: s.throttled([Throttle(limit="gpt")] * MANY),
    "limits of a job": lambda s: s.enqueue([job("new", limits=LIMITS)]),
    "routes of a job": lambda s: s.enqueue([job("new", routes=tuple(RouteSpec(name=name) for name in LIMITS))]),
    "limits of a route": lambda s: s.enqueue([job("new", routes=(RouteSpec(name="one", limits=LIMITS),))]),
    "budgets of a job": lambda s: s.enqueue([job("new", budgets=LIMITS)]),
    "budgets that a job creates": lambda s: s.enqueue([job("new", creates=tuple(BudgetSpec(id=n) for n in LIMITS))]),
    "weights of a limit": lambda s: s.put_limits([tokens(weights=CATEGORIES)]),
    "caps of a budget": lambda s: s.put_budgets([BudgetSpec(id="b", caps={f"tokens.{n}": 1 for n in CATEGORIES})]),
}


@clause("STORE-9")
@pytest.mark.parametrize("operation", TOO_MANY)
async def test_more_than_a_bound_allows_is_refused_and_nothing_is_done(storage: Storage, operation: str) -> None:
    await start(storage)
    before = await look(storage), await storage.get_limits(), await storage.get_budgets()
    with pytest.raises(TooLarge):
        await TOO_MANY[operation](storage)
    assert (await look(storage), await storage.get_limits(), await storage.get_budgets()) == before


@clause("STORE-9", "CALL-9")
@pytest.mark.parametrize("wrong", ["categories", "models"])
async def test_a_usage_of_too_many_kinds_is_refused(storage: Storage, wrong: str) -> None:
    run = await start(storage)
    many = {"categories": (Usage("gpt", **CATEGORIES),), "models": tuple(Usage(name, 1) for name in LIMITS)}
    told = Report(lease=run.lease, call=1, state=CallState.SETTLED, used=many[wrong])
    with pytest.raises(TooLarge):
        await storage.report([told])
    assert (await storage.usage(UsageFilter())).rows == ()


WRONG_JOBS: dict[str, dict[str, Any]] = {
    "a limit of two words": {"limits": ("two words",)},
    "a route without a name": {"routes": (RouteSpec(name=""),)},
    "a patience below zero": {"routes": (RouteSpec(name="one", patience_ms=-1),)},
    "a deferral below zero": {"max_deferral_ms": -1},
    "a budget without an id": {"creates": (BudgetSpec(id=""),)},
    "a cap below zero": {"creates": (BudgetSpec(id="b", caps={"tokens": -1}),)},
}


@clause("ENQ-8", "ENQ-4")
@pytest.mark.parametrize("wrong", WRONG_JOBS)
async def test_a_job_whose_terms_are_improper_is_refused(storage: Storage, wrong: str) -> None:
    with pytest.raises(InvalidInput):
        await storage.enqueue([job("before"), job(**WRONG_JOBS[wrong])])
    assert await storage.get(["before", "job"]) == [None, None]


@clause("STORE-12")
@pytest.mark.parametrize(
    "outcome",
    [
        Deferred(JobError(type="E", message="m"), 5, (Throttle(limit="gpt", retry_after_ms=-1),)),
        Deferred(JobError(type="E", message="m"), 5, tuple(Throttle(limit=name) for name in NAMES)),
        Held(reason=HeldFor.BUDGET, by="purse", need={"tokens": -1}),
        Held(reason=HeldFor.BUDGET, by="purse", need={"dollars": 1}),
    ],
    ids=range(4),
)
async def test_an_outcome_that_is_improper_is_refused_and_nothing_is_settled(storage: Storage, outcome: Any) -> None:
    run = await start(storage)
    before = await look(storage)
    with pytest.raises(InvalidInput):
        await storage.exchange([Settlement(run.lease, "1", outcome)])
    assert await look(storage) == before


@clause("STORE-9")
async def test_batches_of_nothing_do_nothing(storage: Storage) -> None:
    assert await storage.put_limits([]) == []
    assert await storage.put_budgets([]) == []
    assert await storage.acquire([]) == []
    assert await storage.report([]) == []
    assert await storage.hold([]) == []
    assert await storage.unhold([]) == []
    await storage.put_prices([])
    await storage.throttled([])
    assert await storage.get_limits() == []


@clause("STORE-11")
async def test_answers_come_in_the_order_that_was_asked(storage: Storage) -> None:
    await storage.put_limits([tokens(name) for name in "abc"])
    for name in "abc":
        await put_budget(storage, name, tokens=1)
        await enqueue_one(storage, name)
    assert [status.spec.name for status in await storage.get_limits(["c", "a"])] == ["c", "a"]
    assert [status.spec.id for status in await storage.get_budgets(["b", "a"])] == ["b", "a"]
    assert [record.id for record in await storage.hold(["c", "b"]) if record] == ["c", "b"]


NEW: dict[str, Call] = {
    "hold": lambda s: s.hold(["job"]),
    "unhold": lambda s: s.unhold(["job"]),
    "explain": lambda s: s.explain("job"),
    "configure": lambda s: s.configure("default", QueueSettings()),
    "get_queue": lambda s: s.get_queue("default"),
    "weigh": lambda s: s.weigh("acme", 1_000),
    "put_limits": lambda s: s.put_limits([tokens()]),
    "get_limits": lambda s: s.get_limits(),
    "acquire": lambda s: s.acquire([]),
    "report": lambda s: s.report([]),
    "throttled": lambda s: s.throttled([]),
    "put_budgets": lambda s: s.put_budgets([]),
    "get_budgets": lambda s: s.get_budgets(),
    "grant": lambda s: s.grant("purse", "one", {}),
    "put_prices": lambda s: s.put_prices([PRICE]),
    "get_prices": lambda s: s.get_prices("gpt"),
    "usage": lambda s: s.usage(UsageFilter()),
}


@clause("STORE-7", "STORE-12")
@pytest.mark.parametrize("operation", NEW)
async def test_a_sibling_that_was_closed_is_unavailable_and_the_storage_goes_on(
    storage: Storage, operation: str
) -> None:
    await enqueue_one(storage)
    await put_budget(storage, tokens=1)
    sibling = await storage.sibling()
    await sibling.close()
    with pytest.raises(Unavailable):
        await NEW[operation](sibling)
    await NEW[operation](storage)


@clause("STORE-7")
async def test_a_sibling_sees_the_same_limits_budgets_and_use(storage: Storage) -> None:
    sibling = await storage.sibling()
    try:
        await put_limit(storage)
        await put_budget(storage, tokens=1_000)
        run = await start(sibling, limits=("gpt",), budgets=("purse",), estimate=need(100))
        await sibling.report([Report(lease=run.lease, call=0, state=CallState.SETTLED, used=(Usage("gpt", 60),))])
        assert await storage.get_limits() == await sibling.get_limits()
        assert await storage.get_budgets() == await sibling.get_budgets()
        assert await storage.usage(UsageFilter()) == await sibling.usage(UsageFilter())
    finally:
        await sibling.close()
