"""What benchmarks ask alike."""

import pytest

import aiq
from benchmarks.asking import until_done


@aiq.task
async def work() -> None:
    """What ends well."""


async def test_a_job_that_died_makes_the_figures_void() -> None:
    @aiq.task(retry=aiq.Retry(attempts=1))
    async def fail() -> None:
        raise ValueError

    async with aiq.Queue("memory://") as queue:
        await queue.enqueue(fail.job())
        await aiq.Worker(queue, tasks=[fail]).run_until_idle()

        with pytest.raises(SystemExit, match="mean nothing"):
            await until_done(queue, 10)


async def test_jobs_that_are_done_are_counted() -> None:
    async with aiq.Queue("memory://") as queue:
        await queue.enqueue_many([work.job(), work.job()])
        await aiq.Worker(queue, tasks=[work]).run_until_idle()

        assert await until_done(queue, 10) == 2


async def test_whoever_waits_for_jobs_looks_at_something_else_too() -> None:
    def ended() -> None:
        raise SystemExit("a process has ended")

    async with aiq.Queue("memory://") as queue:
        await queue.enqueue(work.job())

        with pytest.raises(SystemExit, match="has ended"):
            await until_done(queue, 10, ended)
