"""Flows of more jobs than one step holds, as their producers and workers see them."""

import asyncio

import pytest

import aiq
from aiq.bounds import MAX_BATCH, MAX_FLOW, STAGE_KEPT_MS
from aiq.model import JobFilter, State
from aiq.rules.staging import OPENER
from aiq.testing import Clock, Delay, Faulty, Refuse
from aiq.testing.actions import claim_one, keep_up

JOBS = MAX_BATCH + 10


@aiq.task
async def part(number: int) -> int:
    return number


@aiq.task
async def whole(parts: list[int | aiq.Failure]) -> int:
    return sum(one for one in parts if isinstance(one, int))


def sum_of(count: int) -> tuple[aiq.Flow, aiq.Node[int]]:
    flow = aiq.Flow("sum")
    parts = [flow.add(part.job(number)) for number in range(count)]
    return flow, flow.add(whole.job([one.output for one in parts]), on_upstream="continue")


async def break_off(queue: aiq.Queue, storage: Faulty) -> None:
    """Store a flow but for its last step."""
    gate = asyncio.Event()
    gate.set()
    storage.plan(Delay("enqueue", gate), Delay("enqueue", gate), Refuse("enqueue"))
    with pytest.raises(aiq.PartlyEnqueued) as broken:
        await queue.run(sum_of(JOBS)[0], id="f")
    assert "run(flow, id='f')" in broken.value.__notes__[0]


async def run_all(queue: aiq.Queue) -> None:
    await aiq.Worker(queue, tasks=[part, whole]).run_until_idle()


async def test_a_large_flow_runs_to_its_end(queue: aiq.Queue) -> None:
    flow, last = sum_of(JOBS)

    run = await queue.run(flow)
    await run_all(queue)

    assert await run[last].result() == sum(range(JOBS))


async def test_a_flow_whose_jobs_are_too_large_together_is_stored_in_steps(queue: aiq.Queue) -> None:
    @aiq.task
    async def length(text: str) -> int:
        return len(text)

    flow = aiq.Flow("texts")
    for _ in range(17):
        flow.add(length.job("x" * 255_000))

    run = await queue.run(flow)
    await aiq.Worker(queue, tasks=[length]).run_until_idle()

    assert [await run[node].result() for node in flow.nodes] == [255_000] * 17


async def test_a_flow_of_too_many_jobs_is_refused(
    queue: aiq.Queue, storage: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiq.flow.MAX_FLOW", 3)

    with pytest.raises(aiq.FlowInvalid, match=r"has 4 jobs, and 3 are the most.*ctx\.gather"):
        await queue.run(sum_of(3)[0])
    assert await storage.count() == {}
    assert MAX_FLOW == 100_000


async def test_a_job_that_uses_more_outputs_than_fit_is_told_to_be_a_tree(queue: aiq.Queue, storage: Faulty) -> None:
    with pytest.raises(aiq.FlowInvalid, match=r"uses what 6,000 others return.*in jobs between them"):
        await queue.run(sum_of(6_000)[0])
    assert await storage.count() == {}


async def test_a_flow_that_broke_off_is_run_again_and_ends(queue: aiq.Queue, storage: Faulty) -> None:
    await break_off(queue, storage)
    flow, last = sum_of(JOBS)

    run = await queue.run(flow, id="f")
    await run_all(queue)

    assert await run[last].result() == sum(range(JOBS))


async def test_a_flow_that_is_abandoned_runs_nothing_and_is_told(
    queue: aiq.Queue, storage: Faulty, clock: Clock
) -> None:
    await break_off(queue, storage)

    clock.advance_ms(STAGE_KEPT_MS)
    await run_all(queue)
    await keep_up(storage)

    (group,) = await queue.admin.dead()
    assert (group.task, group.type) == (OPENER, "FlowAbandoned")
    counts = await queue.count()
    assert set(counts) == {State.DEAD, State.CANCELLED}
    assert counts[State.DEAD] == 1
    with pytest.raises(aiq.Conflict) as conflict:
        await queue.run(sum_of(JOBS)[0], id="f")
    assert conflict.value.reason == "abandoned"


async def test_a_flow_that_is_stored_whole_when_its_hour_is_over_is_cancelled_whole(
    queue: aiq.Queue, storage: Faulty, clock: Clock
) -> None:
    await break_off(queue, storage)
    clock.advance_ms(STAGE_KEPT_MS)
    opener = await claim_one(storage)

    with pytest.raises(aiq.Conflict) as conflict:
        await queue.run(sum_of(JOBS)[0], id="f")

    assert (opener.task, conflict.value.reason) == (OPENER, "abandoned")
    assert await queue.count() == {State.RUNNING: 1, State.CANCELLED: JOBS + 1}


async def test_a_large_flow_may_be_encrypted(storage: Faulty) -> None:
    async with aiq.Queue(storage, codecs=[aiq.AESGCM(keys={"k": b"k" * 32}, current="k")]) as queue:
        flow, last = sum_of(JOBS)

        run = await queue.run(flow)
        await run_all(queue)

        assert await run[last].result() == sum(range(JOBS))


def test_no_task_is_called_as_that_which_opens_flows() -> None:
    with pytest.raises(aiq.InvalidName, match="open large flows"):
        aiq.task(name=OPENER)(part.function)


async def test_a_large_flow_is_cancelled_whole(queue: aiq.Queue) -> None:
    run = await queue.run(sum_of(JOBS)[0])

    assert len(await run.cancel()) == JOBS + 1


async def test_a_large_flow_is_replayed_without_its_opener(queue: aiq.Queue) -> None:
    flow, _ = sum_of(JOBS)
    run = await queue.run(flow)
    await run_all(queue)

    outcomes = await queue.admin.replay(run)
    await run_all(queue)

    assert (outcomes.done_count, outcomes.refused) == (JOBS + 1, ())
    assert await queue.job(outcomes.done[-1], whole).result() == sum(range(JOBS))
    assert len((await queue.list(JobFilter(task=OPENER))).jobs) == 1
