"""Chapter 15: what may be said of the jobs of a schedule, and what is refused before it is stored."""

from dataclasses import fields, replace
from typing import Any

import pytest

from aiq import bounds
from aiq.errors import AiqError, Conflict, InvalidInput, NeverFits, NotFound, PriceUnknown, UnknownLimit
from aiq.model import Band, BudgetSpec, Estimate, JobSpec, QueueSettings, RouteSpec, State
from aiq.rules.slots import plan, without_jobs
from aiq.storage import Storage
from aiq.testing.actions import look, states
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.schedules import MINUTE, TEMPLATE, fire_due, planned, put_one, schedule, the_schedule
from aiq.testing.spending import put_limit

WORKS: dict[str, dict[str, Any]] = {
    "task": {"task": "other"},
    "queue": {"queue": "bulk"},
    "payload": {"payload": b"x" * bounds.MAX_PAYLOAD_BYTES},
    "digest": {"digest": "d"},
    "band": {"band": Band.BATCH},
    "delay_ms": {"delay_ms": 5_000},
    "lease_ms": {"lease_ms": 70_000},
    "timeout_ms": {"timeout_ms": 9_000},
    "max_attempts": {"max_attempts": 7},
    "max_stalls": {"max_stalls": 7},
    "flow": {"flow": "reports"},
    "on_upstream": {"on_upstream": "continue"},
    "tenant": {"tenant": "acme"},
    "key": {"key": "k"},
    "per_key": {"key": "k", "per_key": 2},
    "while_parked": {"key": "k", "per_key": 1, "while_parked": "free"},
    "unique": {"unique": "u"},
    "unique_for_ms": {"unique": "u", "unique_for_ms": 90_000},
    "on_unique": {"unique": "u", "on_unique": "replace"},
    "limits": {"limits": ("gpt",)},
    "routes": {"routes": (RouteSpec(name="a", model="gpt", limits=("gpt",), patience_ms=100), RouteSpec(name="b"))},
    "estimate": {"limits": ("gpt",), "estimate": Estimate(input=5, max_output=9)},
    "budgets": {"budgets": ("team",)},
    "creates": {"budgets": ("job:",), "creates": (BudgetSpec(id="job:", parent="team", caps={"tokens": 5}),)},
    "max_deferral_ms": {"max_deferral_ms": 5_000},
    "expires_ms": {"expires_ms": 30_000},
    "keep_ms": {"keep_ms": 5_000},
}
"""Of each option a job that has it, and fits every slot."""
FITS_ONE: dict[str, dict[str, Any]] = {
    "id": {"id": "mine"},
    "at_ms": {"at_ms": 5},
    "deadline_ms": {"deadline_ms": 2**42},
    "depends_on": {"depends_on": ("first",)},
    "child_of": {"child_of": "k"},
    "on_parent": {"on_parent": "leave"},
    "origin": {"origin": "first"},
}
"""Of each option that fits one job at most a job that has it."""
NEW = {"id", "digest", "deadline_ms", "expires_ms", "unique_for_ms", "on_unique", "budgets", "creates", "payload"}
"""What a stored job tells otherwise than its template, or at length."""


async def furnished(storage: Storage) -> None:
    """Store what the jobs of these tests draw from."""
    await put_limit(storage, tokens=10**6)
    await storage.put_budgets([BudgetSpec(id="team", caps={"tokens": 10**6})])


@clause("SCHED-26")
async def test_every_option_of_a_job_is_tried(storage: Storage) -> None:
    assert WORKS.keys() | FITS_ONE.keys() == {field.name for field in fields(JobSpec)}


@clause("SCHED-26")
@pytest.mark.parametrize("option", WORKS)
async def test_an_option_of_the_template_counts_for_each_of_its_jobs(
    storage: Storage, clock: Clock, option: str
) -> None:
    await furnished(storage)
    options = {"task": "work", **WORKS[option]}
    clock.set_ms(await planned(storage, template=JobSpec(id="", **options)))
    made = []
    for _ in range(2):
        (fired,) = await fire_due(storage)
        made += fired.job_ids
        await storage.upkeep()
        clock.advance_ms(MINUTE)

    assert len(made) == 2
    status = await the_schedule(storage)
    assert (status.fires, status.skipped, status.error) == (2, 0, "")
    for record in await storage.get(sorted(set(made))):
        assert record is not None
        told = {name: getattr(record, name) for name in options if name not in NEW}
        assert told == {name: value for name, value in options.items() if name not in NEW}
        assert record.budgets in ((), ("team",), (f"job:{record.id}",))
        assert record.deadline_ms == (record.created_at_ms + 30_000 if "expires_ms" in options else None)


@clause("SCHED-26")
@pytest.mark.parametrize("option", FITS_ONE)
async def test_an_option_that_fits_one_job_at_most_is_refused(storage: Storage, option: str) -> None:
    template = replace(TEMPLATE, **FITS_ONE[option])
    with pytest.raises(InvalidInput, match=r'The template of schedule "tick" has .* Leave that out: '):
        await storage.put_schedules([schedule("good"), schedule(template=template)])
    assert await storage.get_schedules() == []


IMPOSSIBLE: dict[str, tuple[type[AiqError], dict[str, Any]]] = {
    "a limit that is not stored": (UnknownLimit, {"limits": ("ghost",)}),
    "a route behind a limit that is not stored": (UnknownLimit, {"routes": (RouteSpec(name="a", limits=("ghost",)),)}),
    "more than its limit ever gives": (NeverFits, {"limits": ("gpt",), "estimate": Estimate(input=10**9)}),
    "a budget that is not stored": (NotFound, {"budgets": ("ghost",)}),
    "a budget below one that is not stored": (
        NotFound,
        {"budgets": ("job:",), "creates": (BudgetSpec(id="job:", parent="ghost", caps={"tokens": 5}),)},
    ),
    "a model without a price": (
        PriceUnknown,
        {
            "budgets": ("job:",),
            "creates": (BudgetSpec(id="job:", caps={"usd_micros": 5}),),
            "routes": (RouteSpec(name="a", model="nobody knows"),),
        },
    ),
    "an ordered key in a queue that gives the newest first": (
        Conflict,
        {"queue": "news", "key": "k", "per_key": 1},
    ),
}


@clause("SCHED-27")
@pytest.mark.parametrize("why", IMPOSSIBLE)
async def test_a_schedule_whose_job_could_never_be_stored_is_refused(storage: Storage, why: str) -> None:
    await furnished(storage)
    await storage.configure("news", QueueSettings(lifo=True))
    error, options = IMPOSSIBLE[why]
    before = await put_one(storage)

    for name in ("tick", "new"):
        with pytest.raises(error):
            await storage.put_schedules([schedule("good"), schedule(name, replace(TEMPLATE, **options))])
    assert await storage.get_schedules() == [before]
    assert [status.spec.id for status in await storage.get_budgets()] == ["team"]
    assert await storage.audit() == []


@clause("SCHED-27")
async def test_a_full_queue_is_no_reason_to_refuse_a_schedule(storage: Storage) -> None:
    await storage.configure("default", QueueSettings(max_ready=1))
    await storage.enqueue([JobSpec(id="first", task="work")])
    assert (await put_one(storage)).revision == 1


@clause("SCHED-27")
async def test_a_schedule_that_stands_as_it_is_put_is_never_refused(storage: Storage) -> None:
    ordered = replace(TEMPLATE, key="k", per_key=1)
    before = await put_one(storage, template=ordered)
    await storage.configure("default", QueueSettings(lifo=True))

    assert await put_one(storage, template=ordered) == before
    assert await storage.put_schedules([schedule(template=ordered, every_ms=5 * MINUTE)], absent_only=True) == [before]
    with pytest.raises(Conflict):
        await put_one(storage, template=replace(ordered, max_attempts=1))


@clause("SCHED-28", "SCHED-9")
async def test_slots_are_counted_whose_jobs_became_impossible(storage: Storage, clock: Clock) -> None:
    clock.set_ms(await planned(storage, template=replace(TEMPLATE, key="k", per_key=1)))
    await storage.configure("default", QueueSettings(lifo=True))
    for _ in range(2):
        (due,) = (await storage.due_schedules()).schedules
        told = plan(due, clock())
        before = await look(storage)
        with pytest.raises(Conflict) as refused:
            await storage.fire([told])
        assert await look(storage) == before
        await storage.fire([without_jobs(told, str(refused.value))])
        clock.advance_ms(MINUTE)
    status = await the_schedule(storage)
    assert (status.fires, status.skipped, status.refused) == (0, 2, 2)
    assert "gives the newest first" in status.error

    await storage.configure("default", QueueSettings())
    clock.advance_ms(3 * MINUTE)
    await fire_due(storage)
    status = await the_schedule(storage)
    assert (status.fires, status.skipped, status.refused, status.error) == (1, 5, 2, "")
    assert await storage.audit() == []
    assert await states(storage, status.last_job_id or "") == [State.READY]
