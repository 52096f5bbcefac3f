"""What can be wrong with a file, and which of our errors says so. Nothing is lost by any of it."""

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import aiq
from aiq.backends.sqlite import connection as connections
from aiq.backends.sqlite.storage import SQLiteStorage, open_sqlite
from aiq.errors import Corrupt, Misconfigured, ReadOnly, StorageFull, StorageMismatch, Unavailable
from aiq.model import Capability, State, Succeeded
from aiq.testing.actions import claim_one, claim_some, end, enqueue_one, job, wish
from tests.backends.sqlite_files import (
    content,
    in_transaction,
    in_writer,
    opened,
    overwrite,
    remove,
    set_pragma,
    url_of,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
async def storage(path: Path) -> AsyncIterator[SQLiteStorage]:
    async with opened(path) as made:
        yield made


async def test_a_file_is_made_and_found_again_with_its_jobs(path: Path) -> None:
    async with opened(path) as storage:
        await enqueue_one(storage, payload=b"\x00\xff")
    async with opened(path) as storage:
        (record,) = await storage.get(["job"])

    assert record is not None
    assert record.payload == b"\x00\xff"


async def test_it_declares_that_its_jobs_are_durable_and_that_it_has_to_look_for_changes(
    storage: SQLiteStorage,
) -> None:
    assert storage.capabilities == {Capability.DURABLE, Capability.TRANSACTIONAL_ENQUEUE}


@pytest.mark.parametrize(("setting", "level"), [("full", 2), ("normal", 1), ("extra", 3)])
async def test_the_address_says_how_much_a_commit_waits_for(path: Path, setting: str, level: int) -> None:
    storage = await open_sqlite(url_of(path, setting))
    try:
        assert await set_pragma(storage, "synchronous") == (level,)
        assert await set_pragma(storage, "journal_mode") == ("wal",)
        assert await set_pragma(storage, "fullfsync") == (1,)
        assert await set_pragma(storage, "checkpoint_fullfsync") == (1,)
    finally:
        await storage.close()


async def test_closing_twice_is_fine_and_a_closed_storage_says_so(path: Path) -> None:
    storage = await open_sqlite(url_of(path))
    await storage.close()
    await storage.close()

    with pytest.raises(Unavailable, match="closed"):
        await storage.count()


async def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="folder that exists"):
        await open_sqlite(f"sqlite:///{tmp_path}/missing/jobs.db")


async def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="must be a file"):
        await open_sqlite(f"sqlite:///{tmp_path}")


async def test_a_text_is_no_storage_and_stays_as_it_is(path: Path) -> None:
    overwrite(path, b"These are my notes, and no database.\n" * 100)

    with pytest.raises(Corrupt, match="another path"):
        await open_sqlite(url_of(path))
    assert content(path).startswith(b"These are my notes")


async def test_a_file_that_can_only_be_read_is_found_out_when_it_is_opened(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as storage:
        await enqueue_one(storage)
    # As on a medium that cannot be written; permissions would not stop an administrator.
    only_read = f"file:{path}?mode=ro"
    monkeypatch.setattr(
        connections, "_connect", lambda _: sqlite3.connect(only_read, uri=True, isolation_level=None, timeout=0)
    )

    with pytest.raises(ReadOnly, match="permissions"):
        await open_sqlite(url_of(path))


async def test_a_write_that_is_refused_later_leaves_nothing_behind(storage: SQLiteStorage) -> None:
    await enqueue_one(storage, "before")
    await set_pragma(storage, "query_only = ON")

    with pytest.raises(ReadOnly):
        await enqueue_one(storage, "refused")
    with pytest.raises(ReadOnly):
        await claim_one(storage)
    assert not await in_transaction(storage)
    await set_pragma(storage, "query_only = OFF")

    assert (await claim_one(storage)).id == "before"
    assert await storage.get(["refused"]) == [None]


async def test_a_full_disk_stores_nothing_and_what_runs_can_still_end(storage: SQLiteStorage) -> None:
    await enqueue_one(storage, "before")
    run = await claim_one(storage)
    (pages,) = await set_pragma(storage, "page_count")
    await set_pragma(storage, f"max_page_count = {pages}")

    with pytest.raises(StorageFull, match="Free some space"):
        await storage.enqueue([job(f"job {n}", payload=bytes(10_000)) for n in range(10)])
    assert not await in_transaction(storage)
    await set_pragma(storage, "max_page_count = 1000000")

    assert (await end(storage, run, Succeeded(b"done"))).state is State.SUCCEEDED
    assert await storage.count() == {"default": {State.SUCCEEDED: 1}}
    assert await storage.audit() == []


async def test_a_damaged_file_is_told_and_kept(path: Path) -> None:
    async with opened(path) as storage:
        await storage.enqueue([job(f"job {n}", payload=bytes(2_000)) for n in range(200)])
    whole = content(path)
    # All but the first pages, so that it still looks like a database.
    overwrite(path, whole[:8192] + b"\xa5" * (len(whole) - 8192))

    with pytest.raises(Corrupt, match="backup"):
        await read_everything(path)
    assert len(content(path)) == len(whole)


async def read_everything(path: Path) -> None:
    async with opened(path) as storage:
        await claim_some(storage, 200)
        await storage.get([f"job {n}" for n in range(200)])


async def test_a_file_that_was_cut_short_is_told(path: Path) -> None:
    async with opened(path) as storage:
        await storage.enqueue([job(f"job {n}", payload=bytes(2_000)) for n in range(200)])
    overwrite(path, content(path)[: len(content(path)) // 2])

    with pytest.raises(Corrupt):
        await read_everything(path)


async def test_a_schema_of_a_later_version_is_left_alone(path: Path) -> None:
    async with opened(path):
        pass
    with sqlite3.connect(path) as later:
        later.execute("INSERT INTO aiq_migrations (number, applied_at_ms) VALUES (9999, 0)")
    later.close()
    before = content(path)

    with pytest.raises(StorageMismatch, match=r"schema 9999.*--upgrade"):
        await open_sqlite(url_of(path))
    assert content(path) == before


async def test_a_file_that_is_deleted_while_it_is_open_takes_no_more_jobs(path: Path, storage: SQLiteStorage) -> None:
    await enqueue_one(storage, "before")
    remove(path)

    with pytest.raises(Misconfigured, match="deleted"):
        await enqueue_one(storage, "lost")
    with pytest.raises(Misconfigured, match="deleted"):
        await storage.count()


async def test_a_file_that_is_replaced_while_it_is_open_takes_no_more_jobs(path: Path, storage: SQLiteStorage) -> None:
    shutil.copy(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").replace(path)

    with pytest.raises(Misconfigured, match="replaced"):
        await enqueue_one(storage, "lost")


async def test_a_worker_ends_by_it_when_its_file_is_deleted(path: Path) -> None:
    @aiq.task
    async def deletes() -> None:
        remove(path)

    async with aiq.Queue(url_of(path)) as queue:
        await queue.enqueue(deletes.job())
        async with asyncio.timeout(10):
            with pytest.raises(Misconfigured, match="deleted"):
                await aiq.Worker(queue, tasks=[deletes]).run()


async def test_a_file_that_another_keeps_locked_is_unavailable_after_our_own_patience(
    path: Path, storage: SQLiteStorage
) -> None:
    storage._home.patience_ms = 30
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(Unavailable, match="locked by other processes for 30 ms") as told:
        await enqueue_one(storage)
    assert not told.value.outcome_unknown
    assert await storage.count() == {}, "a reader waits for no writer"
    other.execute("ROLLBACK")
    other.close()

    assert await enqueue_one(storage) == "job"


async def test_a_lock_that_another_lets_go_in_time_is_waited_for(path: Path, storage: SQLiteStorage) -> None:
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    asking = asyncio.create_task(enqueue_one(storage))
    # The writer's thread is at it by now; whether it is or not, it gets the lock only after this.
    release = threading.Timer(0.05, other.execute, ("ROLLBACK",))
    release.start()

    assert await asking == "job"
    release.join()
    other.close()


async def test_an_idle_worker_takes_no_lock_and_changes_nothing(path: Path, storage: SQLiteStorage) -> None:
    await storage.enqueue([job("later", delay_ms=60_000), job("elsewhere", queue="other")])
    other = sqlite3.connect(path, isolation_level=None)
    before = other.execute("PRAGMA data_version").fetchone()
    other.execute("BEGIN IMMEDIATE")
    storage._home.patience_ms = 0

    answer = await storage.exchange((), wish(10))
    kept_up = await storage.upkeep()

    assert answer.claimed == ()
    assert answer.next_due_ms is not None
    assert kept_up.total == 0
    other.execute("ROLLBACK")
    assert other.execute("PRAGMA data_version").fetchone() == before
    other.close()


async def test_a_sibling_has_its_own_connections_to_the_same_jobs(storage: SQLiteStorage) -> None:
    sibling = await storage.sibling()
    await enqueue_one(storage)
    await storage.close()

    assert (await claim_one(sibling)).id == "job"
    await sibling.close()


async def test_the_audit_finds_what_somebody_did_to_the_file(path: Path, storage: SQLiteStorage) -> None:
    await storage.enqueue([job("a"), job("b"), job("c", depends_on=("a",))])
    await in_writer(storage, lambda raw: raw.execute("UPDATE aiq_jobs SET state = 'running' WHERE id = 'a'"))
    await in_writer(storage, lambda raw: raw.execute("UPDATE aiq_jobs SET events = 7 WHERE id = 'b'"))
    await in_writer(storage, lambda raw: raw.execute("UPDATE aiq_waits SET succeeded = 1"))

    found = {(violation.clause, violation.job_id) for violation in await storage.audit()}

    assert found == {
        ("STATE-3", "a"),
        ("STATE-4", "a"),
        ("STATE-4", "b"),
        ("FAN-1", "c"),
        ("FAN-6", "c"),
    }
    assert len(await storage.audit(limit=1)) == 1
