"""Four processes on one file, thousands of jobs, and somebody who kills them.

AIQ_CHAOS_SEED=7 has another storm, AIQ_CHAOS_JOBS=50000 a longer one. The same seed gives the same orders and the
same plan, not the same moments: the processes are real.
"""

import os
import sys
from itertools import islice
from random import Random

import pytest

import aiq
from aiq import ChunkKind, State
from tests.chaos.fleet import Fleet
from tests.chaos.nemesis import Nemesis
from tests.chaos.storm import GO, LEASE_S, WORDS, Order, orders
from tests.chaos.verdict import Verdict, judge

SEED = int(os.environ.get("AIQ_CHAOS_SEED", "1"))
JOBS = int(os.environ.get("AIQ_CHAOS_JOBS", "4000"))
WORKERS = 4
SLOTS = 8
WORK_S = 0.12
"""Of a job, on average: so that the storm lasts long enough for many kills."""
BATCH = 40
RECOVERED_S = LEASE_S + 2.0
"""The rest of its lease, one sweep, and a busy machine."""


@pytest.mark.faults
async def test_every_job_ends_once_and_well_on_a_file_whose_processes_are_killed(
    fleet: Fleet, queue: aiq.Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    ordered = list(orders(JOBS, Random(SEED), WORK_S))
    nemesis = Nemesis(fleet, SEED, gap_s=0.3, lease_s=LEASE_S, slots=SLOTS, grace=0.1, threads=4)
    async with nemesis.raging(WORKERS):
        jobs = await produce(queue, ordered)
        await fleet.until(lambda: all_ended(queue), "all have ended", within_s=180)
    assert await nemesis.leave() == [0] * WORKERS

    verdict = judge(fleet.path, fleet.notes(), nemesis.acts, lease_ms=round(LEASE_S * 1000))
    with capsys.disabled():
        sys.stdout.write(report(verdict, nemesis))
    assert verdict.faults == []
    assert verdict.jobs == JOBS
    assert await queue.count() == {State.SUCCEEDED: JOBS}
    assert [await job.result() for job in jobs] == [order.result for order in ordered]
    assert max(verdict.recovery_ms, default=0) <= RECOVERED_S * 1000
    await check_streams(jobs, ordered)
    check_what_users_saw(fleet)


async def produce(queue: aiq.Queue, ordered: list[Order]) -> list[aiq.Job[int]]:
    """Enqueue, some one by one and some many at once, and send what some of them wait for."""
    jobs: list[aiq.Job[int]] = []
    rest = iter(ordered)
    while batch := list(islice(rest, BATCH)):
        jobs.append(await queue.enqueue(batch[0].job))
        jobs += await queue.enqueue_many([order.job for order in batch[1:]])
        for order, job in zip(batch, jobs[-len(batch) :], strict=True):
            if order.task == "await_go":
                await job.send(GO, 2 * order.number)
    return jobs


async def all_ended(queue: aiq.Queue) -> bool:
    return (await queue.count()).get(State.SUCCEEDED, 0) == JOBS


async def check_streams(jobs: list[aiq.Job[int]], ordered: list[Order]) -> None:
    """What remains of a stream when all that was declared void is cut is what one run has emitted."""
    for order, job in zip(ordered, jobs, strict=True):
        if order.task == "talk":
            texts: dict[int, str] = {}
            async for chunk in job.stream():
                if chunk.kind is ChunkKind.DATA:
                    texts[chunk.number] = chunk.text
                else:
                    for first, last in chunk.void:
                        texts = {number: text for number, text in texts.items() if not first <= number <= last}
            assert tuple(texts.values()) == WORDS, job


def check_what_users_saw(fleet: Fleet) -> None:
    """No handler and no log has met an error of the storage."""
    raised = {note.detail.partition(":")[0] for note in fleet.notes("raised")}
    assert raised <= {"Planned", "LeaseLost"}
    for member in fleet.members:
        for word in ("Traceback", "locked", "Unavailable"):
            assert word not in member.log(), member.log()


def report(verdict: Verdict, nemesis: Nemesis) -> str:
    kinds = [act.kind for act in nemesis.acts]
    kills = kinds.count("kill") + kinds.count("freeze")
    slowest = max(verdict.recovery_ms, default=0)
    return (
        f"\nseed {SEED}: {verdict.jobs} jobs, {verdict.runs} runs; {kinds.count('kill')} killed, "
        f"{kinds.count('freeze')} frozen, {kinds.count('stop')} stopped; {verdict.expired} leases expired, "
        f"{verdict.released} runs given back; {verdict.duplicate_effects} effects and {verdict.paid_again} steps "
        f"done again, {(verdict.duplicate_effects + verdict.paid_again) / max(kills, 1):.2f} per kill or freeze; "
        f"slowest recovery {slowest} ms\n"
    )
