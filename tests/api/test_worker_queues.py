"""Which queues a worker serves, where the children of its runs go, and what it says of both."""

import logging
from pathlib import Path

import pytest

import aiq


@aiq.task
async def leaf(number: int) -> int:
    return number


@aiq.task(queue="leaves")
async def placed_leaf(number: int) -> int:
    return number


@aiq.task(queue="research")
async def parent(ctx: aiq.Context) -> list[int]:
    return await ctx.gather("leaves", [leaf.job(1), placed_leaf.job(2), leaf.job(3).using(queue="chosen")])


@aiq.task(queue="research")
async def twice(ctx: aiq.Context) -> None:
    for _ in range(2):
        await ctx.gather("leaves", [leaf.job(1), placed_leaf.job(2)], on_failure="continue")


TASKS = [parent, twice, leaf, placed_leaf]
SLOTS = {"research": 1, "leaves": 2, "chosen": 1, "docs": 3}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


async def queues_of_children(queue: aiq.Queue, job: aiq.Job[list[int]]) -> list[str]:
    found = (await queue.list(aiq.JobFilter(parent_id=job.id))).jobs
    return sorted(record.queue for record in found)


async def test_a_child_goes_to_its_chosen_queue_or_its_tasks_own_or_the_line_its_worker_was_made_for(
    queue: aiq.Queue,
) -> None:
    job = await queue.enqueue(parent.job())

    await aiq.Worker(queue["docs"], tasks=TASKS, slots=SLOTS).run_until_idle()

    assert await job.result(timeout=0) == [1, 2, 3]
    assert await queues_of_children(queue, job) == ["chosen", "docs", "leaves"]


async def test_the_line_of_a_worker_that_was_made_for_a_url_is_default(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db?synchronous=normal"
    async with aiq.Queue(url) as queue:
        job = await queue.enqueue(parent.job())
        await aiq.Worker(url, tasks=TASKS, slots={**SLOTS, "default": 1}).run_until_idle()

        assert await job.result(timeout=0) == [1, 2, 3]
        assert await queues_of_children(queue, job) == ["chosen", "default", "leaves"]


async def test_a_parent_that_another_line_continues_finds_the_children_that_the_first_one_started(
    queue: aiq.Queue,
) -> None:
    job = await queue.enqueue(parent.job())
    await aiq.Worker(queue["docs"], tasks=TASKS, slots={"research": 1}).run_until_idle()
    assert await job.state() is aiq.State.WAITING

    await aiq.Worker(queue["other"], tasks=TASKS, slots=SLOTS).run_until_idle()

    assert await job.result(timeout=0) == [1, 2, 3]


async def test_a_worker_warns_once_of_each_queue_that_children_went_to_and_it_does_not_serve(
    queue: aiq.Queue, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        await queue.enqueue(twice.job())
    here = aiq.Worker(queue, tasks=TASKS, slots={"research": 1})
    elsewhere = aiq.Worker(queue, tasks=TASKS, slots={"default": 1, "leaves": 1})

    for _ in range(3):
        await here.run_until_idle()
        await elsewhere.run_until_idle()

    assert await queue["research"].count() == {aiq.State.SUCCEEDED: 2}
    told = warnings(caplog)
    assert len(told) == 2, told
    assert 'queue "default", which this worker does not serve' in told[0]
    assert 'queue "leaves", which this worker does not serve' in told[1]


async def test_a_worker_that_serves_its_children_warns_of_nothing(
    queue: aiq.Queue, caplog: pytest.LogCaptureFixture
) -> None:
    job = await queue.enqueue(twice.job())

    await aiq.Worker(queue, tasks=TASKS).run_until_idle()

    assert await job.state() is aiq.State.SUCCEEDED
    assert warnings(caplog) == []


async def test_a_worker_says_when_it_starts_what_it_serves(queue: aiq.Queue, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "aiq.worker"):
        await aiq.Worker(queue, tasks=[leaf, placed_leaf], slots={"default": 8, "leaves": 2}).run_until_idle()

    assert "Serving queues (slots): default (8), leaves (2). Tasks: leaf, placed_leaf." in caplog.messages
