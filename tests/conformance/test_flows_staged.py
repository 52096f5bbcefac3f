"""FLOW-17, FLOW-18: flows that one enqueue cannot hold."""

import asyncio

import pytest

import aiq
from aiq.bounds import MAX_BATCH, STAGE_KEPT_MS
from aiq.errors import PartlyEnqueued
from aiq.storage import Storage
from aiq.testing import Clock, Delay, Faulty, Refuse
from aiq.testing.actions import GOOD, claim_one, claim_some, end, keep_up
from aiq.testing.marks import clause

JOBS = MAX_BATCH + 10


@aiq.task
def part(number: int) -> int:
    return number


@aiq.task
def whole(parts: list[int]) -> int:
    return sum(parts)


def sum_of(count: int) -> aiq.Flow:
    flow = aiq.Flow("sum")
    parts = [flow.add(part.job(number)) for number in range(count)]
    flow.add(whole.job([one.output for one in parts]))
    return flow


async def break_off(storage: Storage) -> None:
    """Store a flow but for its last step."""
    faulty, gate = Faulty(storage), asyncio.Event()
    gate.set()
    faulty.plan(Delay("enqueue", gate), Delay("enqueue", gate), Refuse("enqueue"))
    with pytest.raises(PartlyEnqueued):
        await aiq.Queue(faulty).run(sum_of(JOBS), id="f")


@clause("FLOW-17")
async def test_nothing_of_a_flow_is_given_before_all_of_it_is_stored(storage: Storage) -> None:
    await break_off(storage)

    assert await claim_some(storage, 5) == []


@clause("FLOW-17")
async def test_a_flow_that_one_step_holds_has_no_opener(storage: Storage) -> None:
    await aiq.Queue(storage).run(sum_of(MAX_BATCH - 1), id="f")

    assert len(await claim_some(storage, MAX_BATCH)) == MAX_BATCH - 1


@clause("FLOW-18")
async def test_a_flow_that_is_stored_whole_begins_with_its_opener(storage: Storage) -> None:
    run = await aiq.Queue(storage).run(sum_of(JOBS), id="f")

    opener = await claim_one(storage)
    assert (opener.task, opener.flow, b"true" in opener.payload) == ("aiq.open", "f", True)
    await end(storage, opener, GOOD)
    await keep_up(storage)
    given = [record.id for _ in range(2) for record in await claim_some(storage, MAX_BATCH)]
    assert sorted(given) == sorted(run.job_ids[:-1])


@clause("FLOW-18")
async def test_a_flow_that_is_run_again_goes_on_where_it_broke_off(storage: Storage) -> None:
    await break_off(storage)

    first = await aiq.Queue(storage).run(sum_of(JOBS), id="f")
    second = await aiq.Queue(storage).run(sum_of(JOBS), id="f")

    assert (first.existed, second.existed) == (False, True)
    assert b"true" in (await claim_one(storage)).payload
    assert (await aiq.Queue(storage).run(sum_of(JOBS), id="f")).existed


@clause("FLOW-18")
async def test_an_opener_that_was_never_told_comes_when_its_hour_is_over(storage: Storage, clock: Clock) -> None:
    await break_off(storage)

    clock.advance_ms(STAGE_KEPT_MS)

    assert b"false" in (await claim_one(storage)).payload
