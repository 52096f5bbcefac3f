"""A payload that is put in the place of another, made again from another, or carried elsewhere, is still read.

With all codecs, on every store: what is encrypted is tied to its place, so each way on which a payload comes to a job
has to say which place that is.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import pytest

import aiq
from aiq.backends.memory.storage import open_memory
from aiq.coded import Chain, CodedStorage
from aiq.model import JobSpec, State
from aiq.moving import move
from aiq.rules.coding import Unreadable
from aiq.schedule import ScheduleAdmin
from aiq.storage import Storage
from aiq.testing.clock import Clock
from tests import stores

LONG = " and so on" * 50
HELD: dict[str, bytes] = {}


async def put(key: str, data: bytes) -> None:
    HELD[key] = data


async def get(key: str) -> bytes:
    return HELD[key]


CODECS = (
    aiq.Zlib(min_bytes=0),
    aiq.AESGCM(keys={"k1": b"1" * 32}, current="k1", plain="refuse"),
    aiq.Offload(put, get, over=100),
)
WORLD = {"broken": False}


@aiq.task(retry=aiq.Retry(attempts=1))
async def echo(text: str) -> str:
    if WORLD["broken"]:
        raise ValueError("it is broken")
    return text


@aiq.task
async def joined(first: str, second: str) -> str:
    return first + second


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=[stores.memory, stores.sqlite], ids=["memory", "sqlite"])
async def storage(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Storage]:
    opened: Callable[[Clock], AbstractAsyncContextManager[Storage]] = request.param
    async with opened(clock) as found:
        yield found
        assert await found.audit() == []


@pytest.fixture
def queue(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> aiq.Queue:
    monkeypatch.setitem(WORLD, "broken", False)
    return aiq.Queue(storage, codecs=CODECS)


async def work(queue: aiq.Queue) -> None:
    await aiq.Worker(queue, tasks=[echo, joined]).run_until_idle()


async def with_and_without_a_key(queue: aiq.Queue, text: str) -> list[aiq.Job[str]]:
    return [await queue.enqueue(job) for job in (echo.job(text), echo.job(text).using(unique="acme"))]


async def test_a_job_that_was_replaced_runs_with_what_replaced_it(queue: aiq.Queue) -> None:
    standing = await queue.enqueue(echo.job("old" + LONG), unique="acme")
    newer = await queue.enqueue(echo.job("new" + LONG), unique="acme", replace=True)
    await work(queue)

    assert newer.id == standing.id
    assert await standing.result(0) == "new" + LONG


async def test_the_last_of_a_debounce_runs(queue: aiq.Queue, clock: Clock) -> None:
    for text in ("a", "ab", "abc"):
        job = await queue.enqueue(echo.job(text), unique="acme", debounce=timedelta(seconds=5))
    clock.advance_ms(5_000)
    await work(queue)

    assert await job.result(0) == "abc"


async def test_within_one_batch_a_job_is_replaced(queue: aiq.Queue) -> None:
    first, second = await queue.enqueue_many([echo.job("a"), echo.job("b")], unique="acme", replace=True)
    await work(queue)

    assert (first.id, await first.result(0)) == (second.id, "b")


async def test_a_job_with_a_key_is_redriven_and_its_arguments_replaced(queue: aiq.Queue) -> None:
    jobs = await with_and_without_a_key(queue, "old")
    WORLD["broken"] = True
    await work(queue)
    WORLD["broken"] = False

    for job in jobs:
        await job.redrive(instead=echo.job("new" + LONG))
    await work(queue)

    assert [await job.result(0) for job in jobs] == ["new" + LONG] * 2


async def test_a_job_with_a_key_is_redriven_as_it_is(queue: aiq.Queue) -> None:
    await queue.enqueue(echo.job("a"), unique="acme")
    job = await queue.enqueue(echo.job("b"), unique="acme", replace=True)
    WORLD["broken"] = True
    await work(queue)
    WORLD["broken"] = False
    await queue.admin.redrive(job)
    await work(queue)

    assert await job.result(0) == "b"


async def test_arguments_are_edited_of_jobs_with_and_without_a_key(queue: aiq.Queue) -> None:
    jobs = await with_and_without_a_key(queue, "old")
    for job in jobs:
        edited = await queue.update(job.id, echo.job("new" + LONG))
        assert b"new" in edited.payload
    await work(queue)

    assert [await job.result(0) for job in jobs] == ["new" + LONG] * 2


async def test_an_edit_that_says_nothing_new_changes_nothing(queue: aiq.Queue) -> None:
    job = await queue.enqueue(echo.job("same"), unique="acme")
    before = await job.record()

    assert await queue.update(job.id, echo.job("same")) == before


async def test_a_replay_is_a_job_that_can_be_read(queue: aiq.Queue) -> None:
    done = await with_and_without_a_key(queue, "done" + LONG)
    await work(queue)
    again = await queue.admin.replay(done)
    await work(queue)

    assert [await queue.job(new, echo).result(0) for new in again.done] == ["done" + LONG] * 2


async def test_all_jobs_that_a_schedule_makes_can_be_read(queue: aiq.Queue, clock: Clock) -> None:
    admin = ScheduleAdmin(queue.storage)
    await admin.put_schedule(aiq.Schedule("plain", echo.job("plain" + LONG), every=1))
    await admin.put_schedule(aiq.Schedule("keyed", echo.job("keyed" + LONG).using(unique="acme"), every=1))
    for _ in range(3):
        clock.advance_ms(1_000)
        await work(queue)
    by_hand = await admin.run_now("plain")
    await work(queue)

    records = (await queue.list()).jobs
    assert len(records) >= 7
    assert {record.state for record in records} == {State.SUCCEEDED}
    assert await by_hand.result(0) == "plain" + LONG


async def test_a_flow_hands_results_on(queue: aiq.Queue) -> None:
    flow = aiq.Flow("f")
    parts = [flow.add(echo.job("a" + LONG)), flow.add(echo.job("b"))]
    whole = flow.add(joined.job(parts[0].output, parts[1].output))
    run = await queue.run(flow)
    await work(queue)

    assert await run[whole].result(0) == "a" + LONG + "b"


async def test_what_was_moved_is_read_where_it_is_now(storage: Storage, queue: aiq.Queue) -> None:
    target = await open_memory("memory://")
    job = await queue.enqueue(echo.job("old"), unique="acme")
    await queue.enqueue(echo.job("new" + LONG), unique="acme", replace=True)
    done = await queue.enqueue(echo.job("done"))
    await move(storage, target)
    there = aiq.Queue(target, codecs=CODECS)
    await work(there)

    assert [await there.job(one.id, echo).result(0) for one in (job, done)] == ["new" + LONG, "done"]
    assert await target.audit() == []


@pytest.mark.parametrize("place", [{"job_id": "other"}, {"job_id": "other", "unique": "b"}, {"job_id": "a"}])
async def test_a_payload_of_another_key_or_job_is_none(storage: Storage, place: dict[str, str]) -> None:
    coder = CodedStorage(storage, Chain(CODECS))
    await coder.enqueue([JobSpec(id="first", task="echo", unique="a", payload=b"mine")])
    [stolen] = await storage.get(["first"])
    assert stolen is not None
    await storage.enqueue(
        [JobSpec(id=place["job_id"], task="echo", unique=place.get("unique"), payload=stolen.payload)]
    )

    [read] = await coder.get([place["job_id"]])

    assert read is not None
    assert isinstance(read.payload, Unreadable)
    assert "written in another place" in read.payload.why
