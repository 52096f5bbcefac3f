"""What the suite does not reach in the storage in memory: what its claims leave alone, and what its audit finds."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from msgspec import structs

from aiq.backends.memory.data import Tables
from aiq.backends.memory.lanes import Lanes
from aiq.backends.memory.storage import MemoryStorage, open_memory
from aiq.bounds import MAX_REFUSED, MAX_SWEEP
from aiq.model import BudgetSpec, HeldFor, State
from aiq.rules.books import Pool
from aiq.testing.actions import GOOD, claim_one, claim_some, end, job, states
from aiq.testing.clock import Clock
from aiq.testing.spending import need, units

DAY_MS = 24 * 3_600_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def storage(clock: Clock) -> AsyncIterator[MemoryStorage]:
    opened = await open_memory("memory://", clock)
    yield opened
    assert await opened.audit() == []
    await opened.close()


def tables_of(storage: MemoryStorage) -> Tables:
    return storage._home.tables


async def enqueue_many(storage: MemoryStorage, count: int, **options: object) -> list[str]:
    """So many jobs, in as many batches as it takes."""
    names = [f"job {n}" for n in range(count)]
    for first in range(0, count, 200):
        await storage.enqueue([job(name, **options) for name in names[first : first + 200]])
    return names


async def test_a_claim_looks_into_no_parked_pool(storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    await storage.put_limits([units(concurrency=1)])
    for tenant in ("a", "b", "c"):
        await storage.enqueue([job(f"{tenant} {n}", tenant=tenant, limits=("gpt",)) for n in range(3)])
    assert len(await claim_some(storage, 9)) == 1
    await storage.enqueue([job("plain")])
    looked: list[str] = []
    least = Lanes.least

    def spying(self: Lanes, pool: str, *rest: object) -> object:
        looked.append(pool)
        return least(self, pool, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Lanes, "least", spying)

    assert [run.id for run in await claim_some(storage, 9)] == ["plain"]
    assert set(looked) == {""}


async def test_thousands_of_jobs_with_one_key_do_not_hinder_those_behind(storage: MemoryStorage) -> None:
    await storage.put_limits([units("turn", by="key")])
    names = await enqueue_many(storage, 20 * MAX_REFUSED, key="k", limits=("turn",))
    await storage.enqueue([job("behind", key="other", limits=("turn",))])
    first = await claim_one(storage)
    given = [run.id for _ in range(21) for run in await claim_some(storage, 5)]
    assert (first.id, given) == (names[0], ["behind"])

    await end(storage, first, GOOD)
    await storage.enqueue([job("late", key="third", limits=("turn",))])

    assert [run.id for run in await claim_some(storage, 5)] == [names[1], "late"]


async def test_the_next_job_with_a_key_follows_one_that_is_cancelled_before_it_runs(storage: MemoryStorage) -> None:
    await storage.put_limits([units("turn", by="key")])
    await enqueue_many(storage, 4, key="k", limits=("turn",))
    first = await claim_one(storage)
    assert await claim_some(storage, 5) == []
    await end(storage, first, GOOD)

    await storage.cancel(["job 1"])

    assert [run.id for run in await claim_some(storage, 5)] == ["job 2"]


async def held_on_a_budget(storage: MemoryStorage, count: int) -> None:
    """So many jobs that each need 10 tokens of a budget which has none."""
    await storage.put_budgets([BudgetSpec(id="b", caps={"tokens": 0}, window="day")])
    await enqueue_many(storage, count, budgets=("b",), estimate=need(10))
    for _ in range(-(-count // MAX_REFUSED)):
        assert await claim_some(storage, 1) == []
    assert (await storage.count())["default"] == {State.HELD: count}


async def test_a_step_lets_a_sweep_of_held_jobs_go_and_upkeep_the_rest_as_long_as_they_fit(
    storage: MemoryStorage, clock: Clock
) -> None:
    await held_on_a_budget(storage, MAX_SWEEP + 10)

    await storage.grant("b", "1", {"tokens": 10 * (MAX_SWEEP + 4)})

    assert (await storage.count())["default"] == {State.HELD: 10, State.READY: MAX_SWEEP}
    assert (await storage.exchange(())).next_due_ms == 0
    done = await storage.upkeep()
    assert (done.unheld, done.next_due_ms) == (4, DAY_MS - clock() % DAY_MS)
    assert await states(storage, f"job {MAX_SWEEP + 3}", f"job {MAX_SWEEP + 4}") == [State.READY, State.HELD]


def lanes_of(tables: Tables) -> Lanes:
    return tables.lanes["default"]


def lose_a_unit(tables: Tables) -> None:
    state = tables.accounts.states["gpt", ""]
    tables.accounts.states["gpt", ""] = structs.replace(state, running=0)


def hold_tokens_for_nobody(tables: Tables) -> None:
    state = tables.accounts.states["gpt", ""]
    tables.accounts.states["gpt", ""] = structs.replace(state, held=state.held + 1_000)


def leave_a_call_open(tables: Tables) -> None:
    tables.put(replace(tables.jobs["runs"], fence=2))


def lose_what_a_budget_holds(tables: Tables) -> None:
    tables.accounts.balances["b", 0] = structs.replace(tables.accounts.balances["b", 0], held={})


def let_go_half(tables: Tables) -> None:
    tables.accounts.holds.drop("held")


def hold_for_something_else(tables: Tables) -> None:
    tables.put(replace(tables.jobs["held"], held=HeldFor.QUOTA))


def take_out_of_its_lane(tables: Tables) -> None:
    lanes_of(tables).leave(tables.jobs["ready"], "")


def let_a_held_job_stand_in_a_lane(tables: Tables) -> None:
    lanes_of(tables).join(tables.jobs["held"], "")


def credit_an_empty_band(tables: Tables) -> None:
    lanes_of(tables).pools[""] = Pool(queue="default", name="", credits=(0, 0, 0, 100))


@pytest.mark.parametrize(
    ("spoil", "clauses"),
    [
        (lose_a_unit, {"CALL-15"}),
        (hold_tokens_for_nobody, {"CALL-15"}),
        (leave_a_call_open, {"CALL-15", "CLAIM-8"}),
        (lose_what_a_budget_holds, {"BUDGET-5"}),
        (let_go_half, {"STATE-3"}),
        (hold_for_something_else, {"STATE-3"}),
        (take_out_of_its_lane, {"STATE-3"}),
        (let_a_held_job_stand_in_a_lane, {"STATE-3"}),
        (credit_an_empty_band, {"BAND-2"}),
    ],
)
async def test_an_audit_finds_what_does_not_agree(spoil: Callable[[Tables], None], clauses: set[str]) -> None:
    spoilt = await open_memory("memory://")
    await spoilt.put_limits([units(tokens=60_000)])
    await spoilt.put_budgets([BudgetSpec(id="b", caps={"tokens": 1_000})])
    await spoilt.enqueue([job("runs", limits=("gpt",), budgets=("b",), estimate=need(10, 10))])
    await claim_one(spoilt)
    await spoilt.enqueue([job("ready"), job("held")])
    await spoilt.hold(["held"])
    assert await spoilt.audit() == []

    spoil(tables_of(spoilt))

    assert {violation.clause for violation in await spoilt.audit()} == clauses
