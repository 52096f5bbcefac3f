"""A job that is gone has no row in any table, whatever it had before."""

import sqlite3
from pathlib import Path
from typing import Any

from aiq.backends.sqlite.storage import open_sqlite
from aiq.bounds import MAX_PURGED_BYTES
from aiq.model import BudgetSpec, Suspended, Usage, Waiting
from aiq.storage import append
from aiq.testing.actions import (
    BAD,
    GOOD,
    chunks,
    claim_one,
    end,
    end_one,
    enqueue_one,
    failed,
    keep_up,
    spawn,
    start,
    value,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import need, put_limit, tell
from tests.backends.sqlite_files import in_writer, opened

REMEMBERED = {"aiq_tombstones", "aiq_events"}


def rows_of_jobs(path: Path) -> dict[str, int]:
    """How many rows each table has that belong to a job."""
    with sqlite3.connect(path) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {name: {row[1] for row in connection.execute(f"PRAGMA table_info({name})")} for name in tables}
        owned = [name for name in tables if columns[name] & {"n", "job_id", "dependent", "budget"}]
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in owned}


@clause("GONE-1")
async def test_no_table_has_a_row_of_a_job_that_is_gone(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "jobs.db"
    storage = await open_sqlite(f"sqlite:///{path}", clock)
    await put_limit(storage, tokens=10**6)
    own = BudgetSpec(id="job:job", caps={"tokens": 10_000})
    terms: dict[str, Any] = {"limits": ("gpt",), "estimate": need(10), "budgets": ("job:job",), "keep_ms": 0}
    run = await start(storage, creates=(own,), key="k", tenant="acme", **terms)
    await tell(storage, run, 0, used=Usage("gpt", 5))
    await append(storage, run.lease, chunks("a", "b"))
    await storage.save_step(run.lease, value("plan"))
    await storage.send("job", "go", "1", b"yes")
    await end(storage, run, Suspended("until", "go", 60_000))
    await spawn(storage, run, "child", queue="children", keep_ms=0)
    await end(storage, run, Waiting("children", None))
    await end_one(storage, GOOD, "children")
    await end(storage, await claim_one(storage), failed(0))
    await end_one(storage, GOOD)
    await enqueue_one(storage, "dead", depends_on=("job",), keep_ms=0)
    await end_one(storage, BAD)
    before = rows_of_jobs(path)
    assert {name for name, rows in before.items() if rows} >= {"aiq_jobs", "aiq_chunks", "aiq_steps", "aiq_edges"}

    for _ in range(3):
        await keep_up(storage)
        clock.advance_ms(3_600_000)
    left = {name: rows for name, rows in rows_of_jobs(path).items() if rows and name not in REMEMBERED}
    assert left == {}
    assert await storage.audit() == []
    await storage.close()


async def test_what_is_long_goes_bit_by_bit(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "jobs.db"
    async with opened(path, clock) as storage:
        run = await start(storage, keep_ms=0)
        for key in ("one#1", "two#1", "three#1"):
            await storage.save_step(run.lease, value(key, b"x" * (MAX_PURGED_BYTES // 2)))
        await end(storage, run, GOOD)
        left = []
        for _ in range(3):
            await storage.upkeep()
            left.append(rows_of_jobs(path)["aiq_steps"])
        assert left == [1, 0, 0]


async def test_what_is_not_due_is_not_looked_for_while_the_file_is_locked(tmp_path: Path, clock: Clock) -> None:
    async with opened(tmp_path / "jobs.db", clock) as storage:
        await end(storage, await start(storage, keep_ms=0), GOOD)
        seen: list[str] = []
        await in_writer(storage, lambda raw: raw.set_trace_callback(seen.append))
        kept_up = await storage.upkeep()
        await in_writer(storage, lambda raw: raw.set_trace_callback(None))
        assert kept_up.purged == 1
        assert [sql for sql in seen if "state = 'running'" in sql or "state = 'scheduled'" in sql] == []
