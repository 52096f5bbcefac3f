"""Wake-ups across processes. Two storages that are opened apart share nothing but the file, as two processes do."""

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aiq.backends.relational.news import News
from aiq.backends.sqlite import watch
from aiq.backends.sqlite.ear import Ear
from aiq.backends.sqlite.storage import SQLiteStorage
from aiq.storage import append
from aiq.testing.actions import GOOD, chunks, claim_one, end, enqueue_one, job
from tests.backends.sqlite_files import opened, url_of

LONG_MS = 60_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
async def here(path: Path) -> AsyncIterator[SQLiteStorage]:
    async with opened(path) as storage:
        yield storage


@pytest.fixture
async def there(path: Path, here: SQLiteStorage) -> AsyncIterator[SQLiteStorage]:
    async with opened(path) as storage:
        yield storage


async def mark_of(storage: SQLiteStorage, *topics: str) -> str:
    return await storage.wait(topics, after=None, timeout_ms=0)


async def test_a_job_that_is_enqueued_elsewhere_ends_a_wait_for_its_queue(
    here: SQLiteStorage, there: SQLiteStorage
) -> None:
    mark = await mark_of(here, "queue:default")
    waiting = asyncio.create_task(here.wait(["queue:default"], after=mark, timeout_ms=LONG_MS))
    await asyncio.sleep(0)
    await enqueue_one(there)

    async with asyncio.timeout(10):
        assert await waiting != mark


async def test_what_changed_elsewhere_after_the_mark_and_before_the_wait_is_not_missed(
    here: SQLiteStorage, there: SQLiteStorage
) -> None:
    mark = await mark_of(here, "queue:default")
    await enqueue_one(there)

    async with asyncio.timeout(10):
        await here.wait(["queue:default"], after=mark, timeout_ms=LONG_MS)


async def test_the_end_and_the_stream_of_a_job_are_told_to_those_who_watch_it(
    here: SQLiteStorage, there: SQLiteStorage
) -> None:
    await enqueue_one(here)
    run = await claim_one(there)
    mark = await mark_of(here, "job:job", "stream:job")
    async with asyncio.timeout(10):
        await append(there, run.lease, chunks("one"))
        mark = await here.wait(["job:job", "stream:job"], after=mark, timeout_ms=LONG_MS)
        await end(there, run, GOOD)
        await here.wait(["job:job", "stream:job"], after=mark, timeout_ms=LONG_MS)


async def test_a_queue_that_is_resumed_elsewhere_is_told(here: SQLiteStorage, there: SQLiteStorage) -> None:
    await here.pause("default")
    mark = await mark_of(here, "queue:default")
    await there.resume("default")

    async with asyncio.timeout(10):
        await here.wait(["queue:default"], after=mark, timeout_ms=LONG_MS)


async def test_nobody_is_woken_for_a_job_of_somebody_else(here: SQLiteStorage, there: SQLiteStorage) -> None:
    await here.enqueue([job("mine"), job("other")])
    mark = await mark_of(here, "job:mine")
    mine = asyncio.create_task(here.wait(["job:mine"], after=mark, timeout_ms=LONG_MS))
    other = asyncio.create_task(here.wait(["job:other"], after=mark, timeout_ms=LONG_MS))
    await asyncio.sleep(0)
    await there.cancel(["other"])

    async with asyncio.timeout(10):
        await other
    assert not mine.done()
    mine.cancel()


async def test_more_changes_than_can_be_named_wake_everybody(
    here: SQLiteStorage, there: SQLiteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MANY", 3)
    mark = await mark_of(here, "job:mine")
    await there.enqueue([job(f"job {n}") for n in range(4)])

    async with asyncio.timeout(10):
        await here.wait(["job:mine"], after=mark, timeout_ms=LONG_MS)


async def test_a_change_of_our_own_is_not_told_twice(here: SQLiteStorage) -> None:
    await mark_of(here, "queue:default")
    await enqueue_one(here)
    mark = await mark_of(here, "queue:default")

    assert here._home.news.seen == 1
    assert await mark_of(here, "queue:default") == mark


async def test_nobody_looks_while_nobody_waits(here: SQLiteStorage) -> None:
    await mark_of(here, "queue:default")
    assert here._watch._timer is not None
    here._watch._tick()

    assert here._watch._timer is None


async def test_a_closed_storage_has_stopped_looking(path: Path) -> None:
    async with opened(path) as storage:
        await mark_of(storage, "queue:default")

    assert storage._watch._timer is None
    assert storage._watch._connection is None


class Told:
    """An ear that hears what a test tells it."""

    def __init__(self, *heard: bool) -> None:
        self.told = list(heard)
        self.listening = self.closed = False

    def listen(self) -> None:
        self.listening = True

    def rest(self) -> None:
        self.listening = False

    def forget(self) -> bool:
        return self.told.pop(0) if self.told else False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
async def waiting(here: SQLiteStorage) -> AsyncIterator[watch.Watch]:
    """The watch of `here` while somebody waits; only a test makes it look."""
    mark = await mark_of(here, "queue:default")
    task = asyncio.create_task(here.wait(["queue:default"], after=mark, timeout_ms=LONG_MS))
    await asyncio.sleep(0)
    assert here._watch._timer is not None
    here._watch._timer.cancel()
    yield here._watch
    task.cancel()


def lend(watching: watch.Watch, ear: Told | None) -> None:
    """Put an ear in the place of the watch's own."""
    if watching._ear is not None:
        watching._ear.close()
    watching._ear = ear  # type: ignore[assignment]


def pauses(watching: watch.Watch, looks: int) -> list[float]:
    """The pauses after so many looks."""
    found = []
    for _ in range(looks):
        watching._tick()
        assert watching._timer is not None
        watching._timer.cancel()
        found.append(watching._pause_s)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="Nobody tells of writes here.")
async def test_a_watch_that_does_not_look_hears_that_somebody_has_written(
    waiting: watch.Watch, there: SQLiteStorage
) -> None:
    mark = await waiting.wait(["queue:other"], after=None, timeout_ms=0)
    woken = asyncio.create_task(waiting.wait(["queue:other"], after=mark, timeout_ms=LONG_MS))
    await there.enqueue([job("job", queue="other")])

    async with asyncio.timeout(10):
        await woken


async def test_after_a_write_was_heard_and_found_it_looks_soon_and_then_less_and_less_often(
    waiting: watch.Watch, there: SQLiteStorage
) -> None:
    lend(waiting, Told(True, False))
    await enqueue_one(there)
    waiting._pause_s = watch.HEARD_LOOK_S

    busy, *later = pauses(waiting, 10)

    assert busy == watch.BUSY_LOOK_S
    assert later[:2] == [2 * busy, 4 * busy]
    assert later[-1] == watch.HEARING_LOOK_S


async def test_it_looks_often_until_it_has_found_what_was_heard(
    waiting: watch.Watch, there: SQLiteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "HEARD_S", 60.0)
    lend(waiting, Told(True, False))

    assert pauses(waiting, 10)[-1] == watch.LOOK_S
    await enqueue_one(there)
    assert pauses(waiting, 10)[-1] == watch.HEARING_LOOK_S


async def test_what_was_heard_and_never_comes_is_not_looked_for_for_ever(
    waiting: watch.Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    lend(waiting, Told(True, False))
    monkeypatch.setattr(watch, "HEARD_S", 0.0)

    assert pauses(waiting, 10)[-1] == watch.HEARING_LOOK_S


async def test_it_listens_only_while_it_is_not_looking_all_the_time(waiting: watch.Watch) -> None:
    ear = Told(True, False)
    lend(waiting, ear)

    pauses(waiting, 1)
    assert not ear.listening
    pauses(waiting, 1)
    assert ear.listening


async def misses(watching: watch.Watch, storage: SQLiteStorage, *names: str) -> None:
    """Changes that are not heard, and wake nobody."""
    for name in names:
        pauses(watching, 10)
        await storage.enqueue([job(name, queue="other")])
        pauses(watching, 1)


async def test_three_changes_in_a_row_that_were_not_heard_end_the_listening(
    waiting: watch.Watch, there: SQLiteStorage
) -> None:
    ear = Told()
    lend(waiting, ear)
    closed = []
    for name in ("a", "b", "c"):
        await misses(waiting, there, name)
        closed.append(ear.closed)

    assert closed == [False, False, True]
    assert pauses(waiting, 10)[-1] == watch.LOOK_S


async def test_a_change_that_was_heard_ends_the_row_of_those_that_were_not(
    waiting: watch.Watch, there: SQLiteStorage
) -> None:
    ear = Told()
    lend(waiting, ear)
    await misses(waiting, there, "a", "b")
    ear.told.append(True)
    await misses(waiting, there, "c", "d", "e")

    assert not ear.closed


async def test_a_commit_that_takes_long_after_it_was_heard_counts_as_heard(
    waiting: watch.Watch, there: SQLiteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "HEARD_S", 0.0)
    lend(waiting, Told(True))
    await misses(waiting, there, "slow")

    assert not waiting._misses


async def test_where_the_loop_cannot_listen_it_looks_often(
    waiting: watch.Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listen() -> None:
        raise NotImplementedError

    ear = Told()
    lend(waiting, ear)
    monkeypatch.setattr(ear, "listen", listen)

    assert pauses(waiting, 10)[-1] == watch.LOOK_S
    assert ear.closed


async def test_where_the_library_cannot_listen_it_looks_often(
    here: SQLiteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_ear(*_: object) -> None:
        raise AttributeError("inotify_init1")

    monkeypatch.setattr(Ear, "open", open_ear)
    await mark_of(here, "queue:default")

    assert here._watch._ear is None
    assert here._watch._timer is not None


@pytest.mark.skipif(sys.platform != "linux", reason="Nobody tells of writes here.")
async def test_a_file_behind_a_link_is_listened_to(path: Path, here: SQLiteStorage, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(path)
    async with opened(link) as storage:
        await mark_of(storage, "queue:default")

        assert storage._watch._ear is not None


def test_a_later_loop_looks_anew(path: Path) -> None:
    async def changed(watching: watch.Watch) -> None:
        mark = await watching.wait(["queue:default"], after=None, timeout_ms=0)
        async with opened(path) as other:
            await enqueue_one(other)
        async with asyncio.timeout(10):
            await watching.wait(["queue:default"], after=mark, timeout_ms=LONG_MS)

    async def began() -> watch.Watch:
        async with opened(path):
            watching = watch.Watch(str(path), News())
            await watching.wait(["queue:default"], after=None, timeout_ms=0)
            assert watching._timer is not None
            watching._timer.cancel()
            # So that the loop ends before the next look.
            watching._turn(60)
        return watching

    watching = asyncio.run(began())
    first = watching._timer
    asyncio.run(changed(watching))
    watching.close()

    assert first is not None
    assert first.cancelled()


async def test_where_nobody_tells_of_writes_it_looks_soon_after_a_change(
    waiting: watch.Watch, there: SQLiteStorage
) -> None:
    lend(waiting, None)
    waiting._deaf = True
    pauses(waiting, 10)
    await enqueue_one(there)

    soon, *later = pauses(waiting, 10)
    assert soon == watch.BUSY_LOOK_S
    assert later[-1] == watch.LOOK_S


ENQUEUE = """
import asyncio, sys
from aiq.backends import open_storage
from aiq.model import JobSpec

async def main():
    storage = await open_storage(sys.argv[1])
    await storage.enqueue([JobSpec(id="job", task="work")])
    await storage.close()

asyncio.run(main())
"""


async def test_another_process_wakes_this_one(path: Path, here: SQLiteStorage) -> None:
    mark = await mark_of(here, "queue:default")
    waiting = asyncio.create_task(here.wait(["queue:default"], after=mark, timeout_ms=LONG_MS))
    producer = await asyncio.create_subprocess_exec(sys.executable, "-c", ENQUEUE, url_of(path), stderr=subprocess.PIPE)
    _, complaint = await producer.communicate()
    assert producer.returncode == 0, complaint
    ended = time.monotonic()

    async with asyncio.timeout(10):
        await waiting
    assert time.monotonic() - ended < 5
    assert (await claim_one(here)).id == "job"


async def test_a_look_that_fails_half_way_leaves_its_changes_to_the_next(path: Path, here: SQLiteStorage) -> None:
    class Once(sqlite3.Connection):
        failed = False

        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            if sql == watch.TEXTS["watch.jobs"] and not self.failed:
                self.failed = True
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(sql, *rest)

    await enqueue_one(here)
    news = News()
    mark = await news.wakeups.wait(["queue:default"], after=None, timeout_ms=0)
    with closing(sqlite3.connect(path, factory=Once)) as connection:
        with pytest.raises(sqlite3.OperationalError):
            news.look(partial(watch.changes, connection))
        news.look(partial(watch.changes, connection))

    assert await news.wakeups.wait(["queue:default"], after=mark, timeout_ms=0) != mark
