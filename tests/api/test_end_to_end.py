"""From `enqueue` to `result` through a worker, as a user writes it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pydantic
import pytest

import aiq

APPROVAL = aiq.Signal("approval", bool)


class Brief(pydantic.BaseModel):
    topic: str
    depth: int = 1


@dataclass
class Report:
    topic: str
    notes: list[str]


@aiq.task
async def research(ctx: aiq.Context, brief: Brief) -> Report:
    await ctx.emit(f"looking into {brief.topic}")
    return Report(brief.topic, ["note"] * brief.depth)


@aiq.task(retry=aiq.Retry(attempts=1))
def fail(topic: str) -> Report:
    raise ValueError(topic)


@aiq.task
def compose(reports: list[Report | aiq.Failure]) -> list[str]:
    return [report.topic if isinstance(report, Report) else report.message for report in reports]


@aiq.task
async def approved(ctx: aiq.Context, briefs: list[Brief]) -> list[Report]:
    reports = await ctx.gather("reports", [research.job(brief) for brief in briefs])
    if not await ctx.wait_for(APPROVAL):
        raise aiq.Fatal("rejected")
    return reports


TASKS: list[aiq.Task[..., object]] = [research, fail, compose, approved]


@pytest.fixture
async def queue() -> AsyncIterator[aiq.Queue]:
    async with aiq.Queue("memory://") as queue:
        yield queue


async def run(queue: aiq.Queue) -> None:
    await aiq.Worker(queue, tasks=TASKS).run_until_idle()


async def test_models_and_dataclasses_arrive_as_what_they_are(queue: aiq.Queue) -> None:
    job = await queue.enqueue(research.job(Brief(topic="batteries", depth=2)))

    await run(queue)

    assert await job.result() == Report("batteries", ["note", "note"])
    assert [text async for text in job.text()] == ["looking into batteries"]


async def test_a_flow_hands_results_and_failures_on_by_type(queue: aiq.Queue) -> None:
    flow = aiq.Flow("digest")
    good, bad = flow.add(research.job(Brief(topic="batteries"))), flow.add(fail.job("no luck"))
    whole = flow.add(compose.job([good.output, bad.output]), on_upstream="continue")
    flow_run = await queue.run(flow)

    await run(queue)

    assert await flow_run[whole].result() == ["batteries", "no luck"]


async def test_children_and_a_person_are_waited_for_without_a_worker(queue: aiq.Queue) -> None:
    job = await queue.enqueue(approved.job([Brief(topic="a"), Brief(topic="b")]), tenant="acme", band="high")
    await run(queue)
    assert await job.state() is aiq.State.SUSPENDED

    await job.send(APPROVAL, True)
    await run(queue)

    assert [report.topic for report in await job.result()] == ["a", "b"]
    records = (await queue.list()).jobs
    assert {(record.tenant, record.band) for record in records} == {("acme", aiq.Band.HIGH)}


async def test_a_payload_that_this_version_of_the_task_cannot_read_kills_the_job_and_says_why(
    queue: aiq.Queue,
) -> None:
    @aiq.task(name="research")
    def older(brief: str) -> None: ...

    job = await queue.enqueue(older.job("batteries"))
    await run(queue)

    with pytest.raises(aiq.JobDead, match=r"\(payload\).*argument brief: Input should be an object"):
        await job.result()


async def test_a_result_that_cannot_be_stored_kills_the_job_and_says_why(queue: aiq.Queue) -> None:
    @aiq.task
    def loose() -> dict[str, object]:
        return {"found": object()}

    job = await queue.enqueue(loose.job())
    await aiq.Worker(queue, tasks=[loose]).run_until_idle()

    with pytest.raises(aiq.JobDead, match=r"\(result\).*got `object` - at `\$\.found`"):
        await job.result()
