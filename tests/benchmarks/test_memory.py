"""What the benchmark of memory computes; how much anything takes is not asserted."""

import asyncio
import os
from pathlib import Path

import pytest

import aiq
from benchmarks.memory import (
    Growth,
    Sample,
    caught_up,
    growth,
    resident,
    soak,
    summary,
    work,
)


async def test_a_soak_looks_at_the_worker_and_the_store(tmp_path: Path) -> None:
    samples = await soak(f"sqlite:///{tmp_path}/a.db", seconds=0.5, rate=100)

    assert samples
    assert all(one.worker_bytes > 1_000_000 and one.store_bytes > 0 for one in samples)


def test_growth_is_that_of_the_second_half() -> None:
    jobs, sizes = [0, 1_000, 2_000, 3_000, 4_000, 5_000], [0, 500, 900, 1_000, 1_010, 1_020]

    assert growth(jobs, sizes) == Growth(1_000, 1_020, 100)


def test_the_worker_and_the_store_are_told_apart() -> None:
    found = summary([Sample(jobs, 7, jobs) for jobs in range(0, 80_000, 10_000)])

    assert found["worker"].per_10_000_jobs == 0
    assert found["store"].per_10_000_jobs == pytest.approx(10_000)


def test_what_a_process_has_in_memory_is_known() -> None:
    before = resident(os.getpid())
    held = bytearray(os.urandom(32 * 1024 * 1024))

    assert resident(os.getpid()) - before > len(held) // 2


async def test_a_worker_that_does_not_keep_up_makes_the_figures_void() -> None:
    async with aiq.Queue("memory://") as queue:
        await queue.enqueue_many([work.job(number) for number in range(11)])

        with pytest.raises(SystemExit, match="11 jobs behind"):
            await caught_up(queue, 10, patience_s=0)


async def test_no_more_jobs_come_until_a_worker_has_caught_up() -> None:
    async with aiq.Queue("memory://") as queue:
        await queue.enqueue_many([work.job(number) for number in range(11)])
        waiting = asyncio.ensure_future(caught_up(queue, 10))
        await asyncio.sleep(0)
        assert not waiting.done()

        await aiq.Worker(queue, tasks=[work]).run_until_idle()

        assert await waiting > 0
