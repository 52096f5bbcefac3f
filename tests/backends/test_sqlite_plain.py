"""Plain steps in a few statements: they write and answer what the same steps do that are decided in Python."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from aiq.backends.relational.enqueue import enqueue
from aiq.backends.relational.plain.enqueue import may_be_plain
from aiq.backends.relational.plain.shortcuts import Shortcut, Shortcuts
from aiq.backends.sqlite.plain.enqueue import MOST_KINDS
from aiq.backends.sqlite.plain.enqueue import enqueue as plain_enqueue
from aiq.backends.sqlite.plain.shortcuts import SHORTCUTS
from aiq.backends.sqlite.storage import SQLiteStorage
from aiq.bounds import MAX_BATCH_BYTES, MAX_PAYLOAD_BYTES
from aiq.errors import LeaseLost
from aiq.model import (
    CallState,
    ClaimRequest,
    JobRecord,
    Lease,
    QueueSettings,
    Settled,
    Settlement,
    Succeeded,
    Suspended,
    Usage,
    Want,
)
from aiq.storage import append, claim
from aiq.testing.actions import chunks, claim_one, end, enqueue_one, job, start
from aiq.testing.clock import Clock
from aiq.testing.spending import open_call, tell, units, wait_of
from tests.backends.lives import Course, live, some_jobs
from tests.backends.sqlite_files import in_writer, opened

STEPS = 150
OWN = {"storage_id", "applied_at_ms"}
"""Columns in which two storages differ from the first."""


def tables(path: Path) -> dict[str, list[str]]:
    """All rows of a file, each as a text, in an order that is theirs."""
    connection = sqlite3.connect(path)
    connection.row_factory = lambda cursor, row: {
        column[0]: value for column, value in zip(cursor.description, row, strict=True) if column[0] not in OWN
    }
    named = [row["name"] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {name: sorted(repr(row) for row in connection.execute(f"SELECT * FROM {name}")) for name in sorted(named)}
    connection.close()
    return found


def noting(storage: SQLiteStorage) -> list[object]:
    """What the shorter ways of a storage answer from now on, nothing where they leave a step to Python."""
    answers: list[object] = []

    def noted(way: Shortcut) -> Shortcut:
        def make(*given: Any, **options: Any) -> Any:
            answers.append(way.make(*given, **options))
            return answers[-1]

        return Shortcut(make, way.may_be_plain)

    storage._shortcuts = Shortcuts({step: noted(way) for step, way in SHORTCUTS.items()})
    return answers


@asynccontextmanager
async def two(tmp_path: Path, clock: Clock) -> AsyncIterator[tuple[SQLiteStorage, SQLiteStorage]]:
    """One that takes shorter ways, and one that decides every step in Python."""
    async with opened(tmp_path / "ours.db", clock) as ours, opened(tmp_path / "theirs.db", clock) as theirs:
        theirs._shortcuts = Shortcuts({})
        yield ours, theirs


def same(tmp_path: Path) -> bool:
    return tables(tmp_path / "ours.db") == tables(tmp_path / "theirs.db")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("rare", "least"), [(0.1, 0), (0.01, STEPS // 5)])
async def test_a_random_life_leaves_the_same_rows_whoever_makes_the_steps(
    tmp_path: Path, clock: Clock, seed: int, rare: float, least: int
) -> None:
    async with two(tmp_path, clock) as (ours, theirs):
        answers = noting(ours)

        await live(Course(clock, Random(seed), rare=rare, deeds=rare), STEPS, ours, theirs)

        assert same(tmp_path)
        assert sum(answer is not None for answer in answers) >= least


async def runs(storage: SQLiteStorage, count: int) -> list[Settlement]:
    """Settlements of jobs that were stored and claimed."""
    await storage.enqueue([job(f"job {n}", payload=bytes(n)) for n in range(count)])
    claimed = await claim(storage, ClaimRequest("worker", 1, "lease", (Want("default", count),)))
    return [Settlement(run.lease, "1", Succeeded(run.payload)) for run in claimed]


async def test_a_batch_of_jobs_is_settled_and_claimed_as_the_step_does_it(tmp_path: Path, clock: Clock) -> None:
    async with two(tmp_path, clock) as (ours, theirs):
        answers, told = noting(ours), []
        for storage in (ours, theirs):
            settlements = await runs(storage, 100)
            await storage.enqueue([job(f"more {n}", queue="qr"[n % 2]) for n in range(40)])
            wants = (Want("q", 7), Want("r", 256))
            told.append(await storage.exchange(settlements, ClaimRequest("worker", 2, "next", wants)))

        assert told[0] == told[1]
        assert len(told[0].claimed) == 27
        assert None not in answers
        assert same(tmp_path)


async def started(storage: SQLiteStorage, queue: str) -> JobRecord:
    """A run whose lease has the same name in every storage."""
    await enqueue_one(storage, queue, queue=queue)
    (run,) = await claim(storage, ClaimRequest(queue, 1, "lease", (Want(queue, 1),)))
    return run


async def appended(storage: SQLiteStorage, run: JobRecord) -> None:
    await append(storage, run.lease, chunks("a"))


async def found_a_signal(storage: SQLiteStorage, run: JobRecord) -> None:
    await storage.send(run.id, "go", "1", b"")
    await storage.exchange([Settlement(run.lease, "end", Suspended("wait", "go"))])


async def waits_for_a_call(storage: SQLiteStorage, run: JobRecord) -> None:
    await storage.put_limits([units()])
    await open_call(storage, await started(storage, "other"), 1, None, "gpt")
    await wait_of(storage, run, 1, None, "gpt")


async def opened_a_call(storage: SQLiteStorage, run: JobRecord) -> None:
    await storage.put_limits([units()])
    await open_call(storage, run, 1, None, "gpt")


async def is_waited_for(storage: SQLiteStorage, run: JobRecord) -> None:
    await enqueue_one(storage, "next", queue="others", depends_on=(run.id,))


DEEDS = [appended, found_a_signal, waits_for_a_call, opened_a_call, is_waited_for]


@pytest.mark.parametrize("deed", DEEDS)
async def test_a_run_that_has_more_to_it_ends_as_in_python(
    tmp_path: Path, clock: Clock, deed: Callable[[SQLiteStorage, JobRecord], Awaitable[None]]
) -> None:
    async with two(tmp_path, clock) as (ours, theirs):
        told = []
        for storage in (ours, theirs):
            run = await started(storage, "default")
            await deed(storage, run)
            answers = noting(storage) if storage is ours else []
            told.append(await storage.exchange([Settlement(run.lease, "end", Succeeded(b"1"))]))
            assert not any(answers)

        assert told[0] == told[1]
        assert same(tmp_path)


async def test_an_id_that_is_gone_is_not_given_again(tmp_path: Path, clock: Clock) -> None:
    async with opened(tmp_path / "jobs.db", clock) as storage:
        await end(storage, await start(storage), Succeeded(b"1"))
        await storage.purge(["job"])
        answers = noting(storage)

        (told,) = await storage.enqueue([job()])

        assert told.existed
        assert answers == [None]


@pytest.mark.parametrize(
    "lease",
    [
        Lease("job 1", 2**70, "lease"),
        Lease("job 1", 1, "\ud800"),
        Lease("job 1", 1, "lease\0x"),
        Lease("job 1\0x", 1, "lease"),
        Lease("nobody", 1, "lease"),
        Lease("job 1", 1, "another"),
        Lease("job 1", 7, "lease"),
    ],
)
async def test_where_one_lease_is_lost_the_step_tells_why_and_settles_the_others(
    tmp_path: Path, clock: Clock, lease: Lease
) -> None:
    async with opened(tmp_path / "jobs.db", clock) as storage:
        good, *_ = await runs(storage, 2)
        answers = noting(storage)

        told = await storage.exchange([Settlement(lease, "1", Succeeded(b"")), good])

        assert [type(one) for one in told.settled] == [LeaseLost, Settled]
        assert not any(answers)


async def test_more_bytes_than_a_claim_may_give_are_left_to_the_step(tmp_path: Path, clock: Clock) -> None:
    async with opened(tmp_path / "jobs.db", clock) as storage:
        fit = MAX_BATCH_BYTES // MAX_PAYLOAD_BYTES
        for n in range(fit + 1):
            await storage.enqueue([job(f"job {n}", payload=bytes(MAX_PAYLOAD_BYTES))])
        answers = noting(storage)

        assert len(await claim(storage, ClaimRequest("worker", 1, "lease", (Want("default", fit + 1),)))) == fit
        assert len(await claim(storage, ClaimRequest("worker", 2, "next", (Want("default", fit),)))) == 1
        assert answers[0] is None
        assert answers[1] is not None


async def test_a_lease_that_has_ended_is_left_to_the_step(tmp_path: Path, clock: Clock) -> None:
    async with opened(tmp_path / "jobs.db", clock) as storage:
        await enqueue_one(storage, "late", lease_ms=1_000)
        run = await claim_one(storage)
        clock.advance_ms(1_000)
        answers = noting(storage)

        (settled,) = (await storage.exchange([Settlement(run.lease, "1", Succeeded(b""))])).settled

        assert isinstance(settled, Settled)
        assert settled.late
        assert answers == [None]


async def test_what_a_step_moves_meanwhile_is_gone_when_it_was_left_to_python(tmp_path: Path, clock: Clock) -> None:
    async with opened(tmp_path / "jobs.db", clock) as storage:
        settlements = await runs(storage, 2)
        await storage.exchange([*settlements, Settlement(Lease("nobody", 1, "lease"), "1", Succeeded(b""))])

        assert await in_writer(storage, lambda raw: raw.execute("SELECT count(*) FROM aiq_moved").fetchone()) == (0,)


async def test_a_run_with_an_open_call_of_which_it_told_unasked_is_left_to_the_step(
    tmp_path: Path, clock: Clock
) -> None:
    async with opened(tmp_path / "jobs.db", clock) as storage:
        await enqueue_one(storage)
        run = await claim_one(storage)
        await tell(storage, run, state=CallState.OPEN, used=Usage(input=5))
        answers = noting(storage)

        (settled,) = (await storage.exchange([Settlement(run.lease, "1", Succeeded(b""))])).settled

        assert isinstance(settled, Settled)
        assert answers == [None]
        assert await storage.audit() == []


async def test_a_queue_with_settings_is_left_to_the_step(tmp_path: Path, clock: Clock) -> None:
    async with opened(tmp_path / "jobs.db", clock) as storage:
        await storage.configure("default", QueueSettings(max_ready=5))
        await enqueue_one(storage)
        answers = noting(storage)

        assert (await claim_one(storage)).id == "job"
        assert answers == [None]


@pytest.mark.parametrize("seed", range(4))
async def test_jobs_of_many_kinds_are_stored_as_the_step_does_it(tmp_path: Path, clock: Clock, seed: int) -> None:
    random = Random(seed)
    async with two(tmp_path, clock) as (ours, theirs):
        for storage in (ours, theirs):
            await storage.configure("bounded", QueueSettings(max_ready=1_000))
            await storage.configure("lifo", QueueSettings(lifo=True))
        ours._shortcuts = Shortcuts({enqueue: Shortcut(plain_enqueue, may_be_plain)})
        for step in range(12):
            batch = [replace(spec, queue=random.choice("qr")) for spec in some_jobs(random, clock(), step * 10)]
            assert await ours.enqueue(batch) == await theirs.enqueue(batch)
            clock.advance_ms(random.choice((0, 1, 30_000)))

        assert same(tmp_path)


async def test_jobs_of_one_kind_keep_their_order_and_bytes(tmp_path: Path, clock: Clock) -> None:
    async with two(tmp_path, clock) as (ours, theirs):
        answers = noting(ours)
        batch = [
            job(f"job {n:03}", payload=bytes(n % 7), queue="qr"[n % 2], delay_ms=n % 2 * 50, digest="d")
            for n in range(256)
        ]

        assert await ours.enqueue(batch) == await theirs.enqueue(batch)
        assert None not in answers
        assert same(tmp_path)


@pytest.mark.parametrize("queue", ["bounded", "lifo"])
async def test_a_queue_with_a_bound_or_an_order_of_its_own_takes_jobs_by_the_step(
    tmp_path: Path, clock: Clock, queue: str
) -> None:
    async with opened(tmp_path / "jobs.db", clock) as storage:
        await storage.configure(queue, QueueSettings(max_ready=1) if queue == "bounded" else QueueSettings(lifo=True))
        answers = noting(storage)

        await enqueue_one(storage, "a", queue=queue)

        assert answers == [None]


async def test_jobs_of_which_one_is_known_are_left_to_the_step(tmp_path: Path, clock: Clock) -> None:
    async with opened(tmp_path / "jobs.db", clock) as storage:
        await storage.enqueue([job("a")])
        answers = noting(storage)

        told = await storage.enqueue([job("b"), job("a")])

        assert [one.existed for one in told] == [False, True]
        assert answers == [None]


async def test_a_batch_of_many_kinds_is_stored_by_the_step(tmp_path: Path, clock: Clock) -> None:
    async with opened(tmp_path / "jobs.db", clock) as storage:
        answers = noting(storage)

        await storage.enqueue([job(f"job {n}", delay_ms=n) for n in range(MOST_KINDS)])
        await storage.enqueue([job(f"more {n}", delay_ms=n) for n in range(MOST_KINDS + 1)])

        assert [answer is None for answer in answers] == [False, True]
