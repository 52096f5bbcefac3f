"""Chapter 12: why a job does not run, in one gate."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aiq.errors import NotFound
from aiq.model import (
    Band,
    Deferred,
    Gate,
    Held,
    HeldFor,
    OnExceeded,
    QueueSettings,
    RouteSpec,
    Sleeping,
    State,
    Suspended,
    Waiting,
)
from aiq.storage import Storage
from aiq.testing.actions import BAD, GOOD, claim_one, end, enqueue_one, job, look, spawn, start
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import (
    REFUSED,
    ask,
    need,
    offered,
    put_budget,
    put_limit,
    put_prices,
    tokens,
    units,
)

G, S = Gate, State
HOUR_MS = 3_600_000
Scene = Callable[[Storage], Awaitable[None]]


async def ready(storage: Storage) -> None:
    await enqueue_one(storage)


async def running(storage: Storage) -> None:
    await start(storage)


async def ended(storage: Storage) -> None:
    await end(storage, await start(storage), GOOD)


async def dead(storage: Storage) -> None:
    await end(storage, await start(storage), BAD)


async def later(storage: Storage) -> None:
    await enqueue_one(storage, delay_ms=700)


async def asleep(storage: Storage) -> None:
    await end(storage, await start(storage), Sleeping("nap", 700))


async def depends(storage: Storage) -> None:
    await storage.enqueue([job("done"), job("open", queue="other"), job("also open", queue="other")])
    await enqueue_one(storage, depends_on=("done", "open", "also open"))
    await end(storage, await claim_one(storage), GOOD)


async def children(storage: Storage) -> None:
    run = await start(storage)
    await spawn(storage, run, "a", "b", queue="children")
    await end(storage, run, Waiting("children", None))


async def signal(storage: Storage) -> None:
    await end(storage, await start(storage), Suspended("wait", "go"))


async def signal_in_time(storage: Storage) -> None:
    await end(storage, await start(storage), Suspended("wait", "go", 700))


async def paused(storage: Storage) -> None:
    await enqueue_one(storage)
    await storage.pause("default")


async def held(storage: Storage) -> None:
    await enqueue_one(storage)
    await storage.hold(["job"])


async def over_budget(storage: Storage) -> None:
    await put_budget(storage, tokens=1_000)
    await enqueue_one(storage, budgets=("purse",), estimate=need(1_234))
    await offered(storage)


async def over_budget_of_a_day(storage: Storage) -> None:
    await put_budget(storage, tokens=1_000, window="day")
    await enqueue_one(storage, budgets=("purse",), estimate=need(1_234))
    await offered(storage)


async def to_be_approved(storage: Storage) -> None:
    await put_budget(storage, tokens=1_000, on_exceeded=OnExceeded.APPROVE)
    await enqueue_one(storage, budgets=("purse",), estimate=need(1_234))
    await offered(storage)


async def will_be_over_budget(storage: Storage) -> None:
    await put_budget(storage, tokens=1_000)
    await enqueue_one(storage, budgets=("purse",), estimate=need(1_234))


async def without_quota(storage: Storage) -> None:
    run = await start(storage, routes=(RouteSpec(name="one"),))
    await end(storage, run, Deferred(REFUSED, 0, close_route=True))


async def without_price(storage: Storage) -> None:
    await enqueue_one(storage, tenant="acme", estimate=need(1, model="ghost"))
    await put_budget(storage, "tenant:acme", usd_micros=5)
    await offered(storage)


async def too_large(storage: Storage) -> None:
    await put_limit(storage)
    await enqueue_one(storage, limits=("gpt",), estimate=need(1_234))
    await put_limit(storage, tokens=60)
    await offered(storage)


async def behind_a_limit(storage: Storage) -> None:
    await put_limit(storage)
    await enqueue_one(storage, limits=("gpt",), estimate=need(5_700))
    await offered(storage)


async def behind_a_limit_that_nobody_has_met(storage: Storage) -> None:
    await put_limit(storage)
    await start(storage, "other", queue="other", limits=("gpt",), estimate=need(5_000))
    await enqueue_one(storage, limits=("gpt",), estimate=need(700))


async def behind_a_unit(storage: Storage) -> None:
    await storage.put_limits([units("gpt")])
    await start(storage, "other", queue="other", limits=("gpt",))
    await enqueue_one(storage, limits=("gpt",))
    await offered(storage)


async def behind_its_key(storage: Storage) -> None:
    await storage.put_limits([units("gpt", by="key")])
    await start(storage, "other", limits=("gpt",), key="k")
    await enqueue_one(storage, limits=("gpt",), key="k")
    await offered(storage)


async def behind_its_tenants_limit(storage: Storage) -> None:
    await storage.put_limits([tokens("gpt", by="tenant")])
    await start(storage, "other", queue="other", limits=("gpt",), tenant="acme", estimate=need(4_300))
    await enqueue_one(storage, limits=("gpt",), tenant="acme", estimate=need(1_400))
    await offered(storage)


async def behind_others_of_its_line(storage: Storage) -> None:
    await storage.enqueue([job(f"before {n}") for n in range(3)])
    await enqueue_one(storage)


async def behind_more_urgent_bands(storage: Storage) -> None:
    await enqueue_one(storage)
    await storage.enqueue([job(f"urgent {n}", band=Band.INTERACTIVE) for n in range(4)])


async def behind_another_tenant(storage: Storage) -> None:
    await storage.enqueue([job(f"a{n}", tenant="a") for n in range(2)])
    await storage.enqueue([job(f"b{n}", tenant="b") for n in range(3)])
    await storage.enqueue([job(tenant="b")])
    assert (await offered(storage, count=4))[0] == ["b0", "a0", "b1", "a1"]
    await storage.enqueue([job("a2", tenant="a")])
    assert (await offered(storage, count=1))[0] == ["b2"]


async def behind_its_queue(storage: Storage) -> None:
    await storage.configure("default", QueueSettings(concurrency=1))
    await start(storage, "other")
    await enqueue_one(storage)
    await offered(storage)


async def in_a_call_that_waits(storage: Storage) -> None:
    await put_limit(storage)
    run = await start(storage)
    await ask(storage, run, 1, need(5_700), "gpt")


DAY_LEFT_MS = 6_400_000
"""From the first instant of the clock to midnight in UTC."""
SCENES: list[tuple[Scene, Gate, str, int | None, tuple[str, ...]]] = [
    (ready, G.WORKER, "", None, ()),
    (running, G.NOTHING, "", None, ("worker",)),
    (ended, G.NOTHING, "", None, ("succeeded",)),
    (dead, G.NOTHING, "", None, ("dead",)),
    (later, G.TIME, "", 700, ()),
    (asleep, G.TIME, "", 700, ()),
    (depends, G.DEPENDENCY, "open", None, ("open",)),
    (children, G.CHILDREN, "children", None, ("2",)),
    (signal, G.SIGNAL, "go", None, ("go",)),
    (signal_in_time, G.SIGNAL, "go", 700, ("go",)),
    (paused, G.PAUSE, "default", None, ("default",)),
    (held, G.OPERATOR, "", None, ()),
    (over_budget, G.BUDGET, "purse", None, ("purse", "1,000", "1,234")),
    (over_budget_of_a_day, G.BUDGET, "purse", DAY_LEFT_MS, ("purse", "1,000", "1,234")),
    (to_be_approved, G.BUDGET, "purse", None, ("purse", "grant")),
    (will_be_over_budget, G.BUDGET, "purse", None, ("purse", "1,000", "1,234")),
    (without_quota, G.QUOTA, "", None, ()),
    (without_price, G.PRICE, "ghost", None, ("ghost",)),
    (too_large, G.SIZE, "gpt", None, ("gpt",)),
    (behind_a_limit, G.LIMIT, "gpt", 700, ("gpt", "5,000", "60,000")),
    (behind_a_limit_that_nobody_has_met, G.LIMIT, "gpt", 700, ("gpt", "60,000")),
    (behind_a_unit, G.LIMIT, "gpt", None, ("gpt", "1 of 1")),
    (behind_its_key, G.KEY, "gpt", None, ("gpt", "'k'")),
    (behind_its_tenants_limit, G.TENANT, "gpt", 700, ("gpt", "'acme'", "700 of 60,000")),
    (behind_others_of_its_line, G.TURN, "", None, ("3",)),
    (behind_more_urgent_bands, G.BAND, "", None, ("4",)),
    (behind_another_tenant, G.TENANT, "b", None, ("1",)),
    (behind_its_queue, G.LIMIT, "queue:default", None, ('"default"', "1 job at once")),
    (in_a_call_that_waits, G.CALL, "gpt", 700, ("gpt", "5,000")),
]


@clause("WHY-1")
@pytest.mark.parametrize(
    ("scene", "gate", "name", "opens_in_ms", "figures"), SCENES, ids=[scene.__name__ for scene, *_ in SCENES]
)
async def test_a_store_names_the_one_gate_that_a_job_waits_for_and_changes_nothing(
    storage: Storage, scene: Scene, gate: Gate, name: str, opens_in_ms: int | None, figures: tuple[str, ...]
) -> None:
    await scene(storage)
    before = await look(storage), await storage.get_limits(), await storage.get_budgets()
    why = await storage.explain("job")

    assert (why.gate, why.name, why.opens_in_ms) == (gate, name, opens_in_ms)
    assert why.text
    for figure in figures:
        assert figure in why.text
    assert (await look(storage), await storage.get_limits(), await storage.get_budgets()) == before
    assert await storage.explain("job") == why


@clause("WHY-1")
async def test_the_earliest_time_comes_nearer(storage: Storage, clock: Clock) -> None:
    await behind_a_limit(storage)
    for opens_in_ms in (700, 400, 100, 0):
        why = await storage.explain("job")
        if opens_in_ms:
            assert (why.gate, why.opens_in_ms, why.opens_in) == (G.LIMIT, opens_in_ms, opens_in_ms / 1000)
        else:
            assert why.gate is G.WORKER
        clock.advance_ms(300 if opens_in_ms > 100 else 100)
    assert (await offered(storage))[0] == ["job"]


@clause("WHY-1")
async def test_a_held_run_is_told_why_it_was_held(storage: Storage) -> None:
    await put_prices(storage, input=1)
    await put_budget(storage, usd_micros=2_500_000)
    run = await start(storage)
    await end(storage, run, Held(reason=HeldFor.BUDGET, by="purse", need={"usd_micros": 3_000_001}))
    why = await storage.explain("job")
    assert (why.gate, why.name) == (G.BUDGET, "purse")
    for figure in ("$2.5", "$3.000001"):
        assert figure in why.text


@clause("WHY-1")
async def test_there_is_nothing_to_say_of_a_job_that_is_not_there(storage: Storage) -> None:
    with pytest.raises(NotFound):
        await storage.explain("ghost")


@clause("WHY-1", "POOL-1")
async def test_who_is_told_a_time_may_go_then(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    names: list[tuple[str, dict[str, Any]]] = [("a", {"tenant": "x"}), ("b", {"tenant": "y"}), ("c", {"tenant": "z"})]
    for name, options in names:
        await enqueue_one(storage, name, limits=("gpt",), estimate=need(5_100), lease_ms=HOUR_MS, **options)
    for _ in range(3):
        given, due_ms = await offered(storage)
        assert given == []
        told = [await storage.explain(name) for name, _ in names]
        opens = [why.opens_in_ms for why in told if why.gate is G.LIMIT]
        assert opens
        assert min(one for one in opens if one is not None) == due_ms
        clock.advance_ms(due_ms or 0)
        assert len((await offered(storage))[0]) == 1
