"""A storage in which everything has happened that leaves something behind."""

from typing import Any

from aiq.model import (
    Band,
    BudgetSpec,
    ChunkKind,
    Deferred,
    JobError,
    JobRecord,
    Keep,
    QueueSettings,
    Released,
    RetentionSpec,
    RouteSpec,
    Sleeping,
    Succeeded,
    Suspended,
    Throttle,
    Usage,
    Waiting,
)
from aiq.storage import Storage, append, claim
from aiq.testing.actions import GOOD, chunks, claim_one, end, enqueue_one, job, keep_up, spawn, start, value, wish
from aiq.testing.burials import deadly, redrive
from aiq.testing.clock import Clock
from aiq.testing.schedules import fire_due, fires, put_one, the_schedule
from aiq.testing.spending import need, open_call, put_budget, put_limit, put_prices, tell, units

FLOW_MS = 60_000


async def live(storage: Storage, clock: Clock) -> None:
    """Let everything happen. Each job has a queue of its own, so that none is in another's way."""
    first = (gone, scheduled, limited, aside, dead, keyed, unique, in_the_middle)
    for deed in (*first, streamed, parked, flipped, going, held):
        await deed(storage, clock)


async def begin(storage: Storage, name: str, **options: Any) -> JobRecord:
    """A running job. The options are those of JobSpec, hence Any."""
    return await start(storage, name, queue=name, **options)


async def gone(storage: Storage, clock: Clock) -> None:
    """Jobs that are gone, one with a child that still runs, one with its stream trimmed; what is kept is short."""
    await storage.put_retention(
        RetentionSpec(streams=Keep(for_ms=1_000), events=Keep(count=10_000), results=Keep(for_ms=30_000))
    )
    parent = await begin(storage, "gone", keep_ms=1_000, digest="digest")
    await spawn(storage, parent, "left", queue="left", on_parent="leave")
    await end(storage, await claim_one(storage, "left"), GOOD)
    await end(storage, parent, GOOD)
    silent = await begin(storage, "trimmed")
    await append(storage, silent.lease, chunks("one", "two"))
    await end(storage, silent, Succeeded(b"1"))
    clock.advance_ms(60_000)
    await keep_up(storage)


async def limited(storage: Storage, clock: Clock) -> None:
    """Limits, budgets, prices and tenants, with calls that are open and closed."""
    await put_limit(storage, tokens=60_000)
    await put_limit(storage, "each", tokens=60_000, by="tenant")
    await put_prices(storage, "m", input=2_500_000, output=10_000_000)
    await put_prices(storage, "m", clock() + 3_600_000, input=1)
    await put_budget(storage, "org", tokens=10**9)
    await put_budget(storage, "purse", tokens=100_000, parent="org", window="day")
    await storage.grant("purse", "more", {"tokens": 5})
    await storage.weigh("acme", 500)
    await storage.configure("newest", QueueSettings(max_ready=5, lifo=True))
    await storage.pause("paused")
    await enqueue_one(storage, "first of the newest", queue="newest", band=Band.HIGH)
    bound = {"tenant": "acme", "limits": ("gpt", "each"), "estimate": need(100, model="m")}
    run = await begin(storage, "spends", budgets=("purse",), timeout_ms=9_000, **bound)
    await open_call(storage, run, 1, need(50, model="m"))
    await tell(storage, run, 1, used=[Usage("m", 40, 2), Usage("unpriced", 3)])
    await open_call(storage, run, 2, need(60, model="m"))
    done = await begin(storage, "spent", flow="flow", keep_ms=10**10, **bound)
    await tell(storage, done, 0, used=[Usage("m", 30, 10)])
    await end(storage, done, Succeeded(b"1"))
    await storage.enqueue([job(f"fair {n}", queue="fair", **{**bound, "tenant": f"tenant {n}"}) for n in range(3)])
    await end(storage, await claim_one(storage, "fair"), GOOD)


async def held(storage: Storage, clock: Clock) -> None:
    """Jobs that are held, by hand and by a budget that is used up."""
    await put_budget(storage, "empty", tokens=10, window="day")
    await enqueue_one(storage, "poor", queue="poor", budgets=("empty",), estimate=need(20))
    assert await claim(storage, wish(1, "poor")) == ()
    await storage.hold([await enqueue_one(storage, "by_hand", queue="by_hand")])
    await put_budget(storage, "crowded", tokens=1)
    for first in range(0, 300, 100):
        names = [f"crowded {n}" for n in range(first, first + 100)]
        await storage.enqueue([job(name, queue="crowded", budgets=("crowded",), estimate=need(2)) for name in names])
        for _ in range(2):
            assert await claim(storage, wish(100, "crowded")) == ()
    await storage.grant("crowded", "more", {"tokens": 10**6})


async def aside(storage: Storage, clock: Clock) -> None:
    """A job that a limit gave back, on its second route, and one that has patience with a limit."""
    await storage.put_limits([units("one", 1), units("slow", 1)])
    routes = (
        RouteSpec(name="a", model="m", limits=("one",), patience_ms=60_000),
        RouteSpec(name="b", model="n", limits=("slow",)),
    )
    first = await begin(storage, "routed", routes=routes, max_attempts=5, max_deferral_ms=10**6)
    await end(storage, first, Deferred(JobError(type="QuotaExhausted", message="quota"), 0, (), close_route=True))
    again = await claim_one(storage, "routed")
    assert again.route == 1
    await end(storage, again, Deferred(JobError(type="RateLimited", message="429"), 500, (Throttle(limit="slow"),)))
    await begin(storage, "taking", limits=("one",))
    await enqueue_one(storage, "patient", queue="patient", routes=routes)
    assert await claim(storage, wish(1, "patient")) == ()


async def dead(storage: Storage, clock: Clock) -> None:
    """Jobs that died alike: one stays, one is redriven and runs, one has recovered and one has relapsed."""
    told = {"code": "429", "place": "a.py:7", "pattern": "no row <n>", "traceback": "line", "at_ms": 5}
    sample = "input"
    for name in ("dies", "redriven", "recovered", "relapsed"):
        run = await begin(storage, name, max_attempts=2, lease_ms=1_000, max_stalls=3)
        clock.advance_ms(1_000)
        await storage.upkeep()
        run = await claim_one(storage, name)
        await tell(storage, run, 0, used=[Usage("m", 7, 1)])
        await end(storage, run, deadly(sample=sample, **told))
    await redrive(storage, "redriven", "recovered", "relapsed")
    await end(storage, await claim_one(storage, "recovered"), GOOD)
    await end(storage, await claim_one(storage, "relapsed"), deadly(sample=sample, **told))
    await claim_one(storage, "redriven")


async def keyed(storage: Storage, clock: Clock) -> None:
    """Ordered keys: one whose holder runs, with a line, one that is paused, and one of which a dead job lives again."""
    options = {"queue": "talk", "key": "talk", "per_key": 1, "while_parked": "free"}
    await storage.enqueue([job(f"talk {n}", **options) for n in range(3)])
    await end(storage, await claim_one(storage, "talk"), Released(0))
    await claim_one(storage, "talk")
    await enqueue_one(storage, "waits", queue="shut", key="shut", per_key=2)
    await storage.pause_key("shut", "shut")
    above = await begin(storage, "above", key="tree", per_key=2)
    below = job("below", queue="above", child_of="children", key="tree", per_key=2)
    await storage.enqueue([below], parent=above.lease)
    again = await begin(storage, "again", key="again", per_key=1)
    await end(storage, again, deadly("c" * 32))
    await redrive(storage, "again", id="key")


async def unique(storage: Storage, clock: Clock) -> None:
    """Unique keys: of one that stands, and of one whose window outlives it."""
    await enqueue_one(storage, "only", queue="only", unique="work", digest="a", unique_for_ms=10**6)
    done = await begin(storage, "was", unique="done", digest="b", unique_for_ms=10**9)
    await end(storage, done, GOOD)


async def in_the_middle(storage: Storage, clock: Clock) -> None:
    """A flow in its middle: children that have run and that run, and a parent that waits for them."""
    parent = await begin(storage, "parent", flow="flow", creates=(BudgetSpec(id="flow:flow", caps={"tokens": 10**6}),))
    await storage.save_step(parent.lease, value("plan", b"paid for", "digest"))
    await append(storage, parent.lease, chunks("one", "two", step="plan"))
    await append(storage, parent.lease, chunks("50 %", first=3, kind=ChunkKind.PROGRESS))
    await spawn(storage, parent, "fails", "works", queue="children", origin="origin", max_attempts=1, on_parent="leave")
    await storage.enqueue([job("after", queue="after", depends_on=("works",), on_upstream="continue")])
    await end(storage, await claim_one(storage, "children"), deadly("b" * 32))
    clock.advance_ms(1_000)
    await claim_one(storage, "children")
    await storage.cancel(["works"])
    await storage.cancel([await enqueue_one(storage, "cancelled", queue="cancelled")])
    await end(storage, parent, Waiting("children", 1, "leave"))


async def streamed(storage: Storage, clock: Clock) -> None:
    """A stream that a run began which was lost, and another one goes on with."""
    lost = await begin(storage, "streams", lease_ms=1_000)
    await append(storage, lost.lease, chunks("lost"))
    clock.advance_ms(1_000)
    await storage.upkeep()
    await append(storage, (await claim_one(storage, "streams")).lease, chunks("one", "two"))


async def parked(storage: Storage, clock: Clock) -> None:
    """Jobs that sleep and wait for signals, one of which was sent early; with deadlines and delays."""
    asks = await begin(storage, "asks", expires_ms=10**9)
    await storage.send("asks", "early", "signal 1", b"kept")
    await end(storage, asks, Suspended("approval", "approved", FLOW_MS))
    told = await begin(storage, "told")
    await storage.send("told", "said", "signal 3", b"bound")
    await end(storage, told, Suspended("said", "said", FLOW_MS))
    resumed = await begin(storage, "resumed")
    await end(storage, resumed, Sleeping("nap", 1_000))
    clock.advance_ms(1_000)
    await keep_up(storage)
    late = await begin(storage, "late", lease_ms=1_000)
    clock.advance_ms(1_000)
    await end(storage, late, Suspended("go", "go", FLOW_MS))
    await storage.send("late", "go", "signal 2", b"bound")
    later = [job("delayed", queue="delayed", delay_ms=10**6), job("at", queue="at", at_ms=clock() + 10**6)]
    await storage.enqueue(later)


async def flipped(storage: Storage, clock: Clock) -> None:
    """More children than one step cancels, so that the rest is still to be done."""
    parent = await begin(storage, "wide")
    for first in range(0, 300, 100):
        await spawn(storage, parent, *[f"child {n}" for n in range(first, first + 100)], queue="crowd")
    await end(storage, parent, Waiting("children", 1))
    await end(storage, await claim_one(storage, "crowd"), GOOD)


async def scheduled(storage: Storage, clock: Clock) -> None:
    """Schedules: planned, fired, paused, refused, and one that waits for the end of its job."""
    await put_one(storage, "minutely", every_ms=60_000)
    await put_one(storage, "after", after_ms=1_000)
    await put_one(storage, "refused", every_ms=60_000)
    await fire_due(storage)
    clock.advance_ms(300_000)
    await fire_due(storage)
    clock.advance_ms(60_000)
    refused = fires(await the_schedule(storage, "refused"), skipped=1, refused=1, error="no such limit")
    assert not (await storage.fire([refused]))[0].stale
    await storage.pause_schedules(["minutely", "refused"])


async def going(storage: Storage, clock: Clock) -> None:
    """Jobs that are gone, and whose children are still to go."""
    parent = await begin(storage, "goes", keep_ms=1_000, flow="going")
    await spawn(storage, parent, "middle", queue="middle")
    middle = await claim_one(storage, "middle")
    await spawn(storage, middle, "young 1", "young 2", queue="young")
    for queue in ("young", "young"):
        await end(storage, await claim_one(storage, queue), GOOD)
    for run in (middle, parent):
        await end(storage, run, GOOD)
    clock.advance_ms(1_000)
    for _ in range(2):
        await storage.upkeep(1)
