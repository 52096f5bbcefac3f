"""`queue.ask`: one outcome by the deadline, whatever happens meanwhile."""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import aiq
from aiq.model import CancelAnswer, Succeeded
from aiq.testing import Delay, Faulty, Refuse
from aiq.testing.actions import claim_some, end_one
from tests.engine.world import START_MS, World, virtually


@aiq.task(lease=10)
async def echo(text: str, after: float = 0) -> str:
    await asyncio.sleep(after)
    return text


@aiq.task(retry=aiq.Retry(attempts=1))
async def fails() -> str:
    raise ValueError("no")


def delay(world: World, operation: str, seconds: float) -> None:
    """Let the storage take its time with the next call of an operation."""
    gate = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, gate.set)
    world.faults.plan(Delay(operation, gate))


def passed_s(world: World) -> float:
    return (world.clock() - START_MS) / 1000


@virtually
async def test_the_answer_is_what_the_job_returned(world: World) -> None:
    worker = await world.start(echo)

    assert await aiq.Queue(world.faults).ask(echo.job("x", 3), timeout=5) == "x"

    await worker.stop()


@virtually
async def test_a_job_that_dies_or_is_cancelled_is_told_as_that(world: World) -> None:
    queue = aiq.Queue(world.faults)
    worker = await world.start(fails, echo)
    with pytest.raises(aiq.JobDead, match="ValueError: no"):
        await queue.ask(fails.job(), timeout=5)

    asked = asyncio.create_task(queue.ask(echo.job("x", 100).using(id="mine"), timeout=60))
    await asyncio.sleep(1)
    await queue.cancel(["mine"])
    with pytest.raises(aiq.JobCancelled):
        await asked
    await worker.stop()


@virtually
async def test_without_an_answer_the_question_ends_at_its_deadline_and_the_job_goes_on(world: World) -> None:
    queue = aiq.Queue(world.faults)
    worker = await world.start(echo)
    with pytest.raises(aiq.ResultTimeout, match=r"is still running\. It goes on") as caught:
        await queue.ask(echo.job("x", 10), timeout=5)

    assert passed_s(world) == 5
    assert await queue.job(caught.value.job_id, echo).result() == "x"
    await worker.stop()


@virtually
async def test_a_job_that_comes_too_late_is_told_to_stop_if_that_was_asked_for(world: World) -> None:
    queue = aiq.Queue(world.faults)
    with pytest.raises(aiq.ResultTimeout, match="was told to stop: it is cancelled") as caught:
        await queue.ask(echo.job("x"), timeout=5, on_timeout="cancel")

    assert passed_s(world) == 5
    assert await world.state(caught.value.job_id) is aiq.State.CANCELLED


@virtually
async def test_a_running_job_that_comes_too_late_is_asked_to_stop(world: World) -> None:
    worker = await world.start(echo)
    with pytest.raises(aiq.ResultTimeout, match="was told to stop: it is running") as caught:
        await aiq.Queue(world.faults).ask(echo.job("x", 1_000), timeout=5, on_timeout="cancel")

    await world.until(caught.value.job_id, aiq.State.CANCELLED)
    await worker.stop()
    assert passed_s(world) < 30


@virtually
async def test_what_a_job_has_come_to_before_its_cancel_is_the_answer_after_all(world: World) -> None:
    class JustInTime(Faulty):
        async def cancel(self, job_ids: Sequence[str], *, force: bool = False) -> list[CancelAnswer]:
            await end_one(world.storage, Succeeded(b'"x"'))
            return await super().cancel(job_ids, force=force)

    queue = aiq.Queue(JustInTime(world.storage))

    assert await queue.ask(echo.job("x"), timeout=5, on_timeout="cancel") == "x"


@virtually
async def test_a_job_that_was_there_before_is_not_told_to_stop(world: World) -> None:
    queue = aiq.Queue(world.faults)
    await queue.enqueue(echo.job("x"), id="mine")
    with pytest.raises(aiq.ResultTimeout, match="is still ready"):
        await queue.ask(echo.job("x").using(id="mine"), timeout=5, on_timeout="cancel")

    assert await world.state("mine") is aiq.State.READY


@virtually
async def test_the_time_counts_from_the_call_and_not_from_the_enqueue(world: World) -> None:
    delay(world, "enqueue", 4)
    with pytest.raises(aiq.ResultTimeout):
        await aiq.Queue(world.faults).ask(echo.job("x"), timeout=5)

    assert passed_s(world) == 5


@virtually
async def test_a_storage_that_does_not_take_the_job_in_time_is_not_waited_for(world: World) -> None:
    delay(world, "enqueue", 60)
    with pytest.raises(aiq.ResultTimeout, match="has not said in time whether job mine is stored") as caught:
        await aiq.Queue(world.faults).ask(echo.job("x").using(id="mine"), timeout=5)

    assert (passed_s(world), caught.value.job_id, caught.value.state) == (5, "mine", "unknown")


@virtually
async def test_a_job_of_which_nobody_knows_whether_it_is_stored_is_told_to_stop_as_well(world: World) -> None:
    class Silent(Faulty):
        async def enqueue(self, *args: Any) -> Any:
            await super().enqueue(*args)
            await asyncio.sleep(60)

    with pytest.raises(aiq.ResultTimeout) as caught:
        await aiq.Queue(Silent(world.storage)).ask(echo.job("x"), timeout=5, on_timeout="cancel")

    assert await world.state(caught.value.job_id) is aiq.State.CANCELLED


@virtually
async def test_an_outage_while_it_waits_is_outlived(world: World) -> None:
    queue = aiq.Queue(world.faults)
    asked = asyncio.create_task(queue.ask(echo.job("x"), timeout=30))
    await asyncio.sleep(1)
    world.faults.plan(*[Refuse("get")] * 8)
    await asyncio.sleep(5)
    await end_one(world.storage, Succeeded(b'"x"'))

    assert await asked == "x"
    assert not world.faults.planned


@virtually
async def test_an_outage_that_outlasts_the_question_is_told_as_no_answer(world: World) -> None:
    world.faults.plan(*[Refuse("get")] * 1_000)
    with pytest.raises(aiq.ResultTimeout, match="not said in time what became of job") as caught:
        await aiq.Queue(world.faults).ask(echo.job("x"), timeout=5)

    assert isinstance(caught.value.__cause__, aiq.Unavailable)
    assert 4 < passed_s(world) <= 5


@virtually
async def test_a_storage_that_hangs_does_not_hold_the_question_beyond_its_deadline(world: World) -> None:
    delay(world, "get", 600)
    with pytest.raises(aiq.ResultTimeout, match="not said in time what became of job"):
        await aiq.Queue(world.faults).ask(echo.job("x"), timeout=5)

    assert 5 <= passed_s(world) < 6


@virtually
async def test_a_cancel_that_the_storage_does_not_take_ends_the_question_all_the_same(world: World) -> None:
    delay(world, "cancel", 60)
    with pytest.raises(aiq.ResultTimeout, match="is still ready"):
        await aiq.Queue(world.faults).ask(echo.job("x"), timeout=5, on_timeout="cancel")

    assert passed_s(world) < 6


@virtually
async def test_a_wake_up_that_is_lost_costs_no_answer(world: World) -> None:
    class Deaf(Faulty):
        async def wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
            await asyncio.sleep(timeout_ms / 1_000)
            return "1"

    asked = asyncio.create_task(aiq.Queue(Deaf(world.storage)).ask(echo.job("x"), timeout=0.5))
    await asyncio.sleep(0.3)
    await end_one(world.storage, Succeeded(b'"x"'))

    assert await asked == "x"


@virtually
async def test_when_a_worker_dies_the_answer_is_that_of_the_next_run(world: World) -> None:
    asked = asyncio.create_task(aiq.Queue(world.faults).ask(echo.job("x"), timeout=60))
    await asyncio.sleep(1)
    [claimed] = await claim_some(world.storage, 1)
    await asyncio.sleep(claimed.lease_ms / 1_000 + 1)
    worker = await world.start(echo)

    assert await asked == "x"
    await worker.stop()


@virtually
async def test_a_word_that_is_none_is_refused(world: World) -> None:
    with pytest.raises(aiq.InvalidInput, match="on_timeout is 'stop'; it can be 'leave' or 'cancel'"):
        await aiq.Queue(world.faults).ask(echo.job("x"), on_timeout="stop")  # type: ignore[arg-type]


class Counted(Faulty):
    """Counts the waits that are under way at once, by topic, and what else is asked of the storage."""

    def __init__(self, storage: aiq.Storage) -> None:
        super().__init__(storage)
        self.waiting: Counter[str] = Counter()
        self.most = 0

    async def wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        self.waiting.update(topics)
        self.most = max(self.most, *self.waiting.values())
        try:
            return await super().wait(topics, after=after, timeout_ms=timeout_ms)
        finally:
            self.waiting.subtract(topics)


ASKS = 200
WORKER = """
import aiq

@aiq.task
async def echo(text: str) -> str:
    return text

worker = aiq.Worker("{url}", tasks=[echo], slots=64)
"""


@contextmanager
def worker_of(url: str, folder: Path) -> Iterator[None]:
    (folder / "asked.py").write_text(WORKER.format(url=url), encoding="utf-8")
    command = [sys.executable, "-m", "aiq", "worker", "asked.py"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


@aiq.task(name="echo")
async def elsewhere(text: str) -> str:
    raise AssertionError("it runs in the other process")


async def ask_all(queue: aiq.Queue) -> list[str]:
    """Ask many at once. Each is one task of ours, and none is started for it."""
    before = len(asyncio.all_tasks())
    asked = [asyncio.create_task(queue.ask(elsewhere.job(str(n)), timeout=60)) for n in range(ASKS)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) <= before + ASKS + 8
    return await asyncio.gather(*asked)


async def test_many_ask_at_once_and_a_worker_in_another_process_answers_each(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'asked.db'}?synchronous=normal"
    async with aiq.Queue(url) as opened:
        counted = Counted(opened.storage)
        with worker_of(url, tmp_path):
            answers = await ask_all(aiq.Queue(counted))

        assert answers == [str(n) for n in range(ASKS)]
        assert counted.most == 1


async def test_many_ask_at_once_in_memory(tmp_path: Path) -> None:
    @aiq.task(name="echo")
    async def here(text: str) -> str:
        return text

    async with aiq.Queue("memory://") as opened, aiq.Worker(opened, tasks=[here], slots=4):
        counted = Counted(opened.storage)
        answers = await ask_all(aiq.Queue(counted))

        assert answers == [str(n) for n in range(ASKS)]
        assert counted.most == 1
