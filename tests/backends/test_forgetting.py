"""What is left in the tables of tenants that went away: nothing but their jobs, what they used, and their budgets."""

import sqlite3
from collections import defaultdict
from pathlib import Path

import pytest

from aiq.backends.memory.storage import open_memory
from aiq.backends.sqlite import migrate
from aiq.backends.sqlite.sql import TEXTS
from aiq.bounds import MAX_SWEEP, RESERVATION_KEPT_MS
from aiq.model import BudgetSpec, CallState, LimitSpec, Throttle, Usage
from aiq.storage import Storage
from aiq.testing.actions import GOOD, claim_some, end, job
from aiq.testing.clock import Clock
from aiq.testing.spending import ask, need, tell, units
from tests.backends.sqlite_files import opened

TENANTS = MAX_SWEEP + 44
LIMITS = (
    LimitSpec(name="gpt", tokens=10**9),
    LimitSpec(name="tenant", tokens=60_000, requests=60, by="tenant"),
    units("key", by="key"),
)
KEPT = (
    "aiq_limit_states",
    "aiq_lines",
    "aiq_pools",
    "aiq_gates",
    "aiq_reservations",
    "aiq_budget_states",
    "aiq_grants",
)


async def use(storage: Storage) -> None:
    """Let each tenant run two jobs, the second of which is refused at first, with a budget and a grant for the day."""
    await storage.put_limits(LIMITS)
    for tenant in (f"tenant {n}" for n in range(TENANTS)):
        await storage.put_budgets([BudgetSpec(id=f"tenant:{tenant}", caps={"tokens": 10**6}, window="day")])
        await storage.grant(f"tenant:{tenant}", "more", {"tokens": 1})
        queue, limits = f"q{tenant[-1]}", ("gpt", "tenant", "key")
        whose = {"queue": queue, "tenant": tenant, "key": tenant, "limits": limits}
        await storage.enqueue([job(f"{tenant} {n}", estimate=need(100), **whose) for n in range(2)])
        for _ in range(2):
            (run,) = await claim_some(storage, 2, queue)
            await ask(storage, run, 1, need(20_000))
            await ask(storage, run, 2, need(20_000))
            await tell(storage, run, 1, used=Usage(input=5_000))
            await tell(storage, run, 2, CallState.UNSENT)
            await end(storage, run, GOOD)
    await storage.throttled([Throttle(limit="tenant", key="tenant 0", retry_after_ms=1_000)])


async def forget(storage: Storage, clock: Clock) -> None:
    """Let days pass, and upkeep go on as long as it says that more is due."""
    for _ in range(3):
        clock.advance_ms(RESERVATION_KEPT_MS)
        while (await storage.upkeep()).next_due_ms == 0:
            pass


async def test_memory_keeps_nothing_of_tenants_that_went_away() -> None:
    clock = Clock()
    storage = await open_memory("memory://", clock)
    await use(storage)
    await forget(storage, clock)

    accounts, lanes = storage._home.tables.accounts, storage._home.tables.lanes
    assert [key for key in accounts.states if key[1]] == []
    assert not any((accounts.balances, accounts.reservations, accounts.open, accounts.waiting, accounts.waiting_for))
    assert not any(accounts.grants.values())
    for one in lanes.values():
        assert not any((one.lines, one.pools, one.jobs, one.gates, one.aside))
        assert not any((one._busy, one._open, one.shut._behind, one.parked_lines._behind, one.parked_pools._behind))
    assert await storage.audit() == []
    await storage.close()


async def test_sqlite_keeps_nothing_of_tenants_that_went_away(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path / "jobs.db", clock) as storage:
        await use(storage)
        before = counts(tmp_path / "jobs.db")
        await forget(storage, clock)
        assert await storage.audit() == []

    assert all(before[table] for table in KEPT if table != "aiq_gates"), before
    # What is left of the limit that is one for all.
    assert counts(tmp_path / "jobs.db") == {table: int(table == "aiq_limit_states") for table in KEPT}


def counts(path: Path) -> dict[str, int]:
    connection = sqlite3.connect(path)
    found = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in KEPT}
    connection.close()
    return found


@pytest.mark.parametrize(
    ("name", "indexes"),
    [
        ("parts", {"aiq_limit_states_idle"}),
        ("windows", {"aiq_budget_states_idle"}),
        ("forget_grants", {"aiq_grants_window"}),
        ("forget_windows", {"aiq_grants_window"}),
        ("lines", {"aiq_lines_idle", "aiq_lines_busy"}),
        ("pools", {"aiq_pools_idle"}),
        ("reservations", {"aiq_reservations_closed"}),
        (
            "anything",
            {
                "aiq_reservations_closed",
                *(f"aiq_{kind}_idle" for kind in ("limit_states", "budget_states", "lines", "pools")),
            },
        ),
    ],
)
def test_what_is_to_be_forgotten_is_found_by_an_index_in_its_order(name: str, indexes: set[str]) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate.migrate(connection, "memory", 0)
    plan = connection.execute(f"EXPLAIN QUERY PLAN {TEXTS[f'forgetting.{name}']}", defaultdict(lambda: None)).fetchall()
    connection.close()

    told = "\n".join(row[3] for row in plan)
    assert {index for index in indexes if index in told} == indexes, told
    assert "ORDER BY" not in told or name == "forget_grants", told
