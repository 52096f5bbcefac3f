"""A file of the first schema is opened, brought to the present one, and its jobs go on where they were."""

import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aiq.backends.sqlite import migrate
from aiq.backends.sqlite.storage import SQLiteStorage
from aiq.model import JobSpec, RouteSpec, State
from aiq.testing.actions import GOOD, claim_one, claim_some, end, get_one, job
from aiq.testing.clock import Clock
from aiq.testing.spending import offered, put_limit, units
from tests.backends.sqlite_files import in_writer, opened

COLUMNS: dict[str, object] = {
    "n": 0,
    "id": "",
    "state": "ready",
    "queue": "default",
    "band": 2,
    "pool": "",
    "tenant": "",
    "lane": 1,
    "position": 0,
    "due_ms": None,
    "fence": 0,
    "lease_id": None,
    "owner": None,
    "expires_at_ms": None,
    "task": "work",
    "lease_ms": 30_000,
    "max_attempts": 3,
    "max_stalls": 3,
    "delay_ms": 0,
    "on_upstream": "fail",
    "events": 0,
    "created_at_ms": 0,
    "started_at_ms": None,
}
"""What the release of the first schema wrote of a job, with what most have."""
TERMS: dict[str, object] = {"n": 0, "digest": "", "payload": b"old", "depends_on": "[]", "limits": "[]", "routes": "[]"}
STEPS: dict[str, list[tuple[str, str | None, str, int]]] = {
    "scheduled": [("T1", None, "scheduled", 0)],
    "ready": [("T1", None, "ready", 0)],
    "running": [("T1", None, "ready", 0), ("T3", "ready", "running", 1)],
}
"""The events of a job that is in a state."""


class OldFile:
    """A file as the release of the first schema left it."""

    def __init__(self, path: Path, now_ms: int) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.now_ms = now_ms
        self.jobs = 0

    def insert(self, table: str, row: dict[str, object]) -> None:
        marks = ",".join("?" * len(row))
        self.connection.execute(f"INSERT INTO {table} ({','.join(row)}) VALUES ({marks})", list(row.values()))

    def job(self, job_id: str, limits: str = "[]", routes: str = "[]", **columns: object) -> None:
        """Write a job with its events. Its pool was the sorted names of its limits."""
        self.jobs += 1
        row = {**COLUMNS, "n": self.jobs, "id": job_id, "position": self.jobs, **columns}
        steps = STEPS[str(row["state"])]
        row["pool"] = ",".join(sorted(json.loads(limits)))
        if row["state"] == "running":
            lease = {"fence": 1, "lease_id": f"old/{job_id}", "owner": "old", "started_at_ms": self.now_ms}
            row |= lease | {"expires_at_ms": self.now_ms + 30_000}
        self.insert("aiq_jobs", {**row, "events": len(steps)})
        self.insert("aiq_specs", {**TERMS, "n": self.jobs, "limits": limits, "routes": routes})
        for number, (transition, source, target, fence) in enumerate(steps, start=1):
            event: dict[str, object] = {
                "n": self.jobs,
                "number": number,
                "at_ms": self.now_ms,
                "transition": transition,
            }
            self.insert("aiq_events", {**event, "source": source, "target": target, "fence": fence})

    def close(self) -> None:
        last = "coalesce((SELECT max(change) FROM aiq_events), 0)"
        self.connection.execute(f"UPDATE aiq_counters SET jobs = ?1, positions = ?1, changes = {last}", (self.jobs,))
        self.connection.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def old(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> OldFile:
    made = OldFile(tmp_path / "jobs.db", clock())
    with monkeypatch.context() as context:
        context.setattr(migrate, "migrations", lambda: {1: migrate.FOLDER / "0001_jobs.sql"})
        assert migrate.migrate(made.connection, "old", clock()) == [1]
    return made


@pytest.fixture
async def upgraded(tmp_path: Path, clock: Clock, old: OldFile) -> AsyncIterator[SQLiteStorage]:
    """The storage on a file with what the release of the first schema could leave behind."""
    old.job("plain")
    old.job("soon", state="scheduled", due_ms=clock() + 1_000)
    old.job("running", state="running")
    old.job("of a", tenant="a")
    old.job("limited", limits='["gpt"]')
    old.job("of two", limits='["gpt","all","gpt"]')
    old.job("running limited", limits='["gpt"]', state="running", tenant="b")
    old.job("of b limited", limits='["gpt"]', tenant="b", band=0)
    old.job("routed", limits='["gpt"]', routes='["fast","slow"]', queue="other")
    old.close()
    async with opened(tmp_path / "jobs.db", clock) as storage:
        yield storage
        assert await storage.audit() == []


async def test_nothing_of_an_old_file_is_lost(upgraded: SQLiteStorage) -> None:
    assert await upgraded.count() == {
        "default": {State.READY: 5, State.SCHEDULED: 1, State.RUNNING: 2},
        "other": {State.READY: 1},
    }
    routed = await get_one(upgraded, "routed")
    assert routed.routes == tuple(RouteSpec(name=name, limits=("gpt",)) for name in ("fast", "slow"))
    assert (routed.payload, routed.taken_limits) == (b"old", ("gpt",))
    assert (await get_one(upgraded, "of b limited")).limits == ("gpt",)


async def test_jobs_of_an_old_file_are_given_whether_their_limits_are_known_or_not(
    upgraded: SQLiteStorage, clock: Clock
) -> None:
    clock.advance_ms(1_000)
    given = {run.id: run for run in await claim_some(upgraded, 10)}

    assert given.keys() == {"plain", "soon", "of a", "limited", "of two", "of b limited"}
    for run in given.values():
        await end(upgraded, run, GOOD)
    await end(upgraded, await claim_one(upgraded, "other"), GOOD)
    assert (await upgraded.count())["other"] == {State.SUCCEEDED: 1}


async def test_a_limit_that_is_named_by_jobs_of_an_old_file_binds_them_once_it_is_known(
    upgraded: SQLiteStorage,
) -> None:
    await upgraded.put_limits([units("gpt", 1)])
    given, due_ms = await offered(upgraded)

    assert set(given) == {"plain", "of a", "of b limited"}
    assert due_ms is None or due_ms > 0


async def test_a_run_that_an_old_worker_began_is_settled_by_it_after_the_upgrade(upgraded: SQLiteStorage) -> None:
    records = [await get_one(upgraded, job_id) for job_id in ("running", "running limited")]

    for record in records:
        await end(upgraded, record, GOOD)

    assert [(await get_one(upgraded, record.id)).state for record in records] == [State.SUCCEEDED] * 2


async def test_the_tenants_of_an_old_file_take_turns(tmp_path: Path, clock: Clock, old: OldFile) -> None:
    for name in ("a 1", "a 2", "a 3", "b 1", "b 2"):
        old.job(name, tenant=name[0])
    old.close()
    async with opened(tmp_path / "jobs.db", clock) as storage:
        await storage.enqueue([JobSpec(id="c 1", task="work", tenant="c")])
        given = [run.id for run in await claim_some(storage, 3)]

        assert {name[0] for name in given} == {"a", "b", "c"}
        assert len(await claim_some(storage, 10)) == 3
        assert await storage.audit() == []


async def test_a_paused_queue_of_an_old_file_stays_paused(tmp_path: Path, clock: Clock, old: OldFile) -> None:
    old.insert("aiq_queues", {"name": "default", "paused": 1})
    old.job("job", tenant="a")
    old.close()
    async with opened(tmp_path / "jobs.db", clock) as storage:
        assert await claim_some(storage, 1) == []
        await storage.resume("default")
        assert (await claim_one(storage)).id == "job"


async def test_plain_jobs_that_an_old_process_writes_into_a_new_file_are_given(tmp_path: Path, clock: Clock) -> None:
    async with opened(tmp_path / "jobs.db", clock) as storage:
        await put_limit(storage)
        await storage.enqueue([job("new", limits=("gpt",))])
        row = {**COLUMNS, "n": 2, "id": "old", "position": 2, "created_at_ms": clock()}
        event: dict[str, object] = {
            "change": 99,
            "n": 2,
            "number": 1,
            "at_ms": clock(),
            "transition": "T1",
            "target": "ready",
            "fence": 0,
        }

        def write(connection: sqlite3.Connection) -> None:
            for table, content in (("jobs", {**row, "events": 1}), ("specs", {**TERMS, "n": 2}), ("events", event)):
                marks = ",".join("?" * len(content))
                names = ",".join(content)
                connection.execute(f"INSERT INTO aiq_{table} ({names}) VALUES ({marks})", list(content.values()))
            connection.execute("UPDATE aiq_counters SET jobs = 2, positions = 2, changes = 99")

        await in_writer(storage, write)

        assert {run.id for run in await claim_some(storage, 10)} == {"new", "old"}
        assert await storage.audit() == []
