"""What moves of a SQLite file, told by its own schema: a column that nobody moves makes these tests fail."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from aiq.testing.clock import Clock
from aiq.testing.moves import move, reference
from tests.backends.lived import live
from tests.backends.sqlite_files import opened

Rows: TypeAlias = list[dict[str, Any]]
Tables: TypeAlias = dict[str, Rows]

OWN: Final = "numbers and ids of a file's own"
ANEW: Final = "found anew by the next claim"
OLD: Final = "stands in aiq_terms; left from the first schema"
LEFT_OUT: Final[dict[str, str]] = {
    "aiq_inbox": "what was left there is stored before a storage moves",
    **dict.fromkeys(("aiq_migrations", "aiq_moving", "aiq_news"), OWN),
    "aiq_claims": "a worker that asks again claims anew",
    **dict.fromkeys(("aiq_waiting", "aiq_waiting_for"), "places in line for a call; who stands there asks again"),
    "aiq_workers": "workers tell of themselves where they work",
    "aiq_gates": ANEW,
    **dict.fromkeys(
        ("aiq_lines.wake_at_ms", "aiq_lines.parked_by", "aiq_jobs.aside_limit", "aiq_jobs.aside_key"), ANEW
    ),
    **dict.fromkeys(("aiq_pools.wake_at_ms", "aiq_pools.parked_by", "aiq_queues.credits"), ANEW),
    **dict.fromkeys((f"aiq_counters.{name}" for name in ("jobs", "changes", "trimmed", "storage_id")), OWN),
    **dict.fromkeys(("aiq_chunks.change", "aiq_events.change"), OWN),
    **dict.fromkeys(("aiq_signals.number", "aiq_outbox.number", "aiq_remains.number"), OWN),
    **dict.fromkeys((f"aiq_specs.{name}" for name in ("limits", "routes", "estimate", "budget")), OLD),
    **dict.fromkeys(
        (f"aiq_{name}.touched_at_ms" for name in ("budget_states", "limit_states", "lines", "pools")),
        "when it may be forgotten, which is so much later",
    ),
    "aiq_retention.results_n": "of the jobs that ended at the instant of the mark all are looked at again",
    "aiq_jobs.put_off_ms": "when a job that must stay is looked at again, which is so much sooner",
}
"""Columns, and whole tables, that do not move, and why."""
UNSAID: Final = (None, 0, "", b"", "[]", "{}")
ENDED: Final = ("succeeded", "dead", "cancelled")


@pytest.fixture(scope="module", params=["straight", "through the reference"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A file in which everything has happened, and one into which it was moved."""
    folder = tmp_path_factory.mktemp("moved")
    old, new = folder / "old.db", folder / "new.db"
    asyncio.run(moved(old, new, straight=request.param == "straight"))
    return old, new


async def moved(source: Path, target: Path, *, straight: bool) -> None:
    clock = Clock()
    async with opened(source, clock) as old, opened(target, clock) as new:
        await live(old, clock)
        between = await reference(clock)
        if straight:
            await move(old, new)
        else:
            await move(old, between)
            await move(between, new)
        assert [await one.audit() for one in (old, between, new)] == [[], [], []]
        await between.close()


def test_every_column_moves_that_is_not_left_out_on_purpose(files: tuple[Path, Path]) -> None:
    before, after = (tables(path) for path in files)

    lost = {name: differing(rows, after[name]) for name, rows in before.items() if differing(rows, after[name])}

    assert lost == {}, "Move it in dump and load of every store, or say in LEFT_OUT why not."


def test_every_column_that_moves_has_something_to_say(files: tuple[Path, Path]) -> None:
    found = tables(files[0])

    silent = [
        f"{name}.{column}"
        for name, column, default in columns(files[0])
        if {name, f"{name}.{column}"}.isdisjoint(LEFT_OUT)
        and all(row[column] in UNSAID or str(row[column]) == default for row in found[name])
    ]

    assert silent == [], "Let tests/backends/lived.py do what writes it, so that a move can lose it."


def test_what_is_left_out_is_there(files: tuple[Path, Path]) -> None:
    known = {text for name, column, _ in columns(files[0]) for text in (name, f"{name}.{column}")}

    assert LEFT_OUT.keys() <= known


def differing(before: Rows, after: Rows) -> list[str]:
    """The columns of a table that differ, or what else does."""
    if not before and not after:
        return []
    names = sorted({*(before or after)[0]})
    alike = [name for name in names if column_of(before, name) == column_of(after, name)]
    if len(alike) < len(names):
        return [name for name in names if name not in alike]
    rows = [sorted(repr(sorted(row.items())) for row in one) for one in (before, after)]
    return [] if rows[0] == rows[1] else ["what belongs together"]


def column_of(rows: Rows, name: str) -> list[str]:
    return sorted(repr(row.get(name)) for row in rows)


def columns(path: Path) -> list[tuple[str, str, str]]:
    """Every column of every table, with what it says where nobody has said anything."""
    asked = "SELECT t.name, c.name, trim(coalesce(c.dflt_value, ''), char(39)) FROM sqlite_master AS t, "
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"{asked} pragma_table_info(t.name) AS c WHERE t.type = 'table'").fetchall()


def tables(path: Path) -> Tables:
    """Every table of a file without what is left out, row by row; jobs by their ids, for their numbers are its own."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        names = sorted({name for name, *_ in columns(path)} - LEFT_OUT.keys())
        found = {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in names}
    ids = {row["n"]: row["id"] for name in ("aiq_jobs", "aiq_tombstones") for row in found[name]}
    for name, rows in found.items():
        for row in rows:
            for column in {"n", "upstream", "dependent"} & row.keys():
                row[column] = ids.get(row[column], row[column])
            MEANT.get(name, _as_it_is)(row)
            for column in [column for column in row if f"{name}.{column}" in LEFT_OUT]:
                row[column] = None
    return found


def _as_it_is(row: dict[str, Any]) -> None:
    """Most rows mean what they say."""


def _job(row: dict[str, Any]) -> None:
    """Columns that say something of a job in some states alone."""
    if row["state"] != "ready":
        row["pool"] = row["patience_end_ms"] = None
    if row["state"] in ENDED:
        row["run_seq"] = row["dependents"] = None
    row["aside"] = row["aside"] == 2


def _pool(row: dict[str, Any]) -> None:
    """Of what a pool says of itself the service moves; the jobs in it are counted anew."""
    pool, ready = json.loads(row["body"])
    row["body"] = [pool["served"], ready]


MEANT: Final = {"aiq_jobs": _job, "aiq_pools": _pool}
"""What the rows of some tables mean, whatever the file."""
