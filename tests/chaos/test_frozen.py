"""A worker that stands still for longer than its leases, and then goes on as if nothing had happened."""

import asyncio
import re
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest

import aiq
from tests.chaos import tasks
from tests.chaos.fleet import Fleet, terminal
from tests.chaos.notes import now_ms
from tests.chaos.tasks import block, hold, plain, zombie

LEASE_S = 0.5


async def taken_from_a_frozen_worker(fleet: Fleet, job: aiq.Job[object]) -> int:
    """Freeze the worker that runs a job, for three leases, until another one has ended it; the pid of the first."""
    first = await fleet.noted("start", job.id)
    await fleet.freeze(fleet.member(first.pid))
    frozen_ms = now_ms()
    await fleet.noted("start", job.id, fence=2)
    await fleet.until(lambda: now_ms() >= frozen_ms + 3 * LEASE_S * 1000, "three leases")
    return first.pid


@pytest.mark.faults
async def test_a_frozen_worker_that_wakes_cancels_the_handler_whose_job_was_taken(
    fleet: Fleet, queue: aiq.Queue
) -> None:
    await asyncio.gather(fleet.up(), fleet.up())
    job = await queue.enqueue(hold.job("gate"))
    pid = await taken_from_a_frozen_worker(fleet, job)

    # The second run is still under way, so the first one has nothing but its lease to be ended by.
    fleet.member(pid).send(signal.SIGCONT)
    assert (await fleet.noted("cancelled", job.id)).fence == 1
    fleet.open("gate")

    assert await job.result(timeout=10) == 2
    assert [note.fence for note in fleet.notes("returned", job.id)] == [2]


@pytest.mark.faults
@pytest.mark.parametrize("where", ["step", "return", "anywhere"])
async def test_nothing_that_a_frozen_worker_does_after_it_wakes_has_effect(
    fleet: Fleet, queue: aiq.Queue, where: Literal["step", "return", "anywhere"]
) -> None:
    await asyncio.gather(fleet.up(), fleet.up())
    job = await queue.enqueue(zombie.job("gate", where))
    pid = await taken_from_a_frozen_worker(fleet, job)
    assert await job.result(timeout=10) == "second"
    before = content(fleet.path, job.id)

    # It finds its gate open before it can hear that it has lost the job.
    fleet.open("gate")
    fleet.member(pid).send(signal.SIGCONT)
    await fleet.noted("ended", job.id)

    # What it does for another job, it does after all of that: it works on as if nothing had happened.
    other = next(member for member in fleet.members if member.pid != pid)
    other.send(signal.SIGTERM)
    await other.ended()
    assert await (await queue.enqueue(plain.job(7))).result(timeout=10) == 7
    assert content(fleet.path, job.id) == before
    assert await job.result() == "second"
    assert [chunk.text async for chunk in job.stream()] == ["of the second run"]
    assert terminal(fleet.history(job.id)) == ["succeeded"]
    assert [record.task for record in (await queue.list()).jobs] == ["zombie", "plain"]
    # Items are taken at once and stored soon; whatever waits for the storage hears that the job is lost.
    assert {note.detail for note in fleet.notes("accepted")} <= {"chunk", "progress"}


async def test_a_handler_that_blocks_its_loop_for_three_leases_runs_once_and_is_named(
    fleet: Fleet, queue: aiq.Queue
) -> None:
    await asyncio.gather(fleet.up(), fleet.up())

    job = await queue.enqueue(block.job(3 * LEASE_S))

    assert await job.result(timeout=10) == 1
    assert len(fleet.notes("start", job.id)) == 1
    assert (await job.record()).stalls == 0
    log = "".join(member.log() for member in fleet.members)
    named = re.search(r"has not turned for .*it is in block at (.+):(\d+): ", log)
    assert named, log
    assert named[1] == tasks.__file__
    assert int(named[2]) in lines_of_the_loop()


def lines_of_the_loop() -> range:
    """The numbers of the lines in `tasks.block` that keep the loop from turning."""
    lines = Path(tasks.__file__).read_text().splitlines()
    last = next(number for number, line in enumerate(lines, 1) if "this is the loop that blocks" in line)
    return range(last - 1, last + 1)


def content(path: Path, job_id: str) -> dict[str, list[tuple[object, ...]]]:
    """All that is stored of a job, table by table."""
    tables = ("jobs", "steps", "chunks", "ranges", "waits", "results", "errors", "events")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        (n,) = connection.execute("SELECT n FROM aiq_jobs WHERE id = ?", (job_id,)).fetchone()
        return {
            table: connection.execute(f"SELECT * FROM aiq_{table} WHERE n = ? ORDER BY 1, 2", (n,)).fetchall()
            for table in tables
        }
