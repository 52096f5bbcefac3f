"""Moving a storage while work goes on: what was paid for is not paid again."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pytest

import aiq
from aiq.backends import open_storage
from aiq.errors import Conflict, InvalidInput, Moved, Unavailable
from aiq.moving import lines, load_lines, move
from aiq.storage import job_topic
from aiq.testing import Delay, Faulty, Refuse

APPROVAL = aiq.Signal("approval", bool)


class Work:
    """A flow of which every part counts how often it was done, and a gate behind which its children wait."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.gate = asyncio.Event()
        self.held = asyncio.Event()

    def plan(self) -> str:
        self.done["plan"] += 1
        return "plan"

    def tasks(self) -> list[aiq.Task[..., object]]:
        @aiq.task(name="part", lease=0.5)
        async def part(number: int) -> int:
            self.done[f"part {number}"] += 1
            if number:
                self.held.set()
                await self.gate.wait()
            return number

        @aiq.task(name="digest")
        async def digest(ctx: aiq.Context) -> list[int]:
            await ctx.step("plan", self.plan)
            await ctx.emit("begun")
            return await ctx.gather("parts", [part.job(number) for number in range(3)])

        @aiq.task(name="ask")
        async def ask(ctx: aiq.Context) -> bool:
            return await ctx.wait_for(APPROVAL)

        return [part, digest, ask]


async def reached(job: aiq.Job[object], state: aiq.State) -> None:
    """Wait until a job stands there."""
    mark: str | None = None
    while (await job.record()).state is not state:
        mark = await job._storage.wait([job_topic(job.id)], after=mark, timeout_ms=1_000)


async def test_a_flow_that_is_moved_in_its_middle_ends_and_repeats_nothing_that_it_remembers(tmp_path: Path) -> None:
    work = Work()
    tasks = work.tasks()
    old, new = f"sqlite:///{tmp_path}/old.db", f"sqlite:///{tmp_path}/new.db"
    async with aiq.Queue(old) as queue:
        await queue.enqueue(tasks[1].job(), id="digest")
        await queue.enqueue(tasks[2].job(), id="ask")
        # The worker ends by it, sooner or later than this block.
        with suppress(Moved):
            async with aiq.Worker(queue, tasks=tasks, grace=0):
                await work.held.wait()
                first, *_ = await queue.list(aiq.JobFilter(parent_id="digest"))
                await reached(queue.job(first.id), aiq.State.SUCCEEDED)
                await reached(queue.job("ask"), aiq.State.SUSPENDED)
                await queue.storage.retire(new)
                exported = [line async for line in lines(queue.storage)]
    work.gate.set()

    async with aiq.Queue(new) as queue:
        await load_lines(queue.storage, exported)
        await queue.job("ask").send(APPROVAL, True)
        async with aiq.Worker(queue, tasks=tasks):
            assert await queue.job("digest").result(timeout=10) == [0, 1, 2]
            assert await queue.job("ask").result(timeout=10) is True
        assert await queue.storage.audit() == []
    assert (work.done["plan"], work.done["part 0"]) == (1, 1)


async def test_an_export_that_was_cut_off_is_refused_and_can_be_loaded_again(tmp_path: Path) -> None:
    async with aiq.Queue("memory://") as queue:
        task = Work().tasks()[0]
        await queue.enqueue_many(task.job(number) for number in range(3))
        exported = [line async for line in lines(queue.storage)]

    async with aiq.Queue(f"sqlite:///{tmp_path}/new.db") as queue:
        with pytest.raises(InvalidInput, match="cut off"):
            await load_lines(queue.storage, exported[:-2])
        await load_lines(queue.storage, exported)

        assert await queue.count() == {aiq.State.READY: 3}


@pytest.mark.parametrize(
    "line", [b"nonsense", b'{"type":"end","records":0}', b'{"type":"aiq","form":2,"move":"m","source":"s"}']
)
async def test_what_is_no_export_is_refused(line: bytes) -> None:
    storage = await open_storage("memory://")
    with pytest.raises(InvalidInput):
        await load_lines(storage, [line])
    await storage.close()


async def test_a_storage_moves_into_another_one_and_names_it_from_then_on() -> None:
    source, target = await open_storage("memory://"), await open_storage("memory://there")
    async with aiq.Queue(source) as queue, aiq.Queue(target) as there:
        task = Work().tasks()[0]
        await queue.enqueue(task.job(0), id="moves")

        await move(source, target)

        with pytest.raises(Moved, match="memory://there"):
            await queue.enqueue(task.job(0))
        assert (await there.job("moves").record()).state is aiq.State.READY
    await source.close()
    await target.close()


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A storage that is opened by each who names it, as another process would."""
    return "memory://readers" if request.param == "memory" else f"sqlite:///{tmp_path}/readers.db"


async def test_a_target_with_jobs_of_its_own_is_refused_and_the_source_stays_open(url: str) -> None:
    source, occupied, third = [await open_storage(address) for address in (url, "memory://", "memory://third")]
    async with aiq.Queue(source) as queue, aiq.Queue(occupied) as there:
        task = Work().tasks()[0]
        await queue.enqueue(task.job(0))
        await there.enqueue(task.job(0))

        with pytest.raises(Conflict, match="holds jobs"):
            await move(source, occupied)

        await queue.enqueue(task.job(1))
        await move(source, third)
        assert await aiq.Queue(third).count() == {aiq.State.READY: 2}
        assert await there.count() == {aiq.State.READY: 1}
    for storage in (source, occupied, third):
        await storage.close()


class Arrival(asyncio.Event):
    """A gate at which whoever comes finds a new job in a queue."""

    def __init__(self, queue: aiq.Queue) -> None:
        super().__init__()
        self.queue = queue

    async def wait(self) -> Literal[True]:
        await self.queue.enqueue(Work().tasks()[0].job(0))
        return True


async def test_a_source_is_retired_by_no_move_whose_target_has_itself_moved(url: str) -> None:
    source, gone = await open_storage(url), await open_storage("memory://gone")
    await gone.retire("memory://elsewhere")
    async with aiq.Queue(source) as queue:
        with pytest.raises(Moved, match="memory://elsewhere"):
            await move(source, gone)

        await queue.enqueue(Work().tasks()[0].job(0))
    await source.close()
    await gone.close()


async def test_a_source_is_open_again_when_a_job_came_to_the_target_meanwhile(url: str) -> None:
    source, target = await open_storage(url), await open_storage("memory://")
    async with aiq.Queue(source) as queue, aiq.Queue(target) as there:
        with pytest.raises(Conflict, match="holds jobs"):
            await move(Faulty(source, Delay("retire", Arrival(there))), target)
        await queue.enqueue(Work().tasks()[0].job(1))
    await source.close()
    await target.close()


async def test_a_source_that_was_retired_before_is_opened_by_no_move_that_fails() -> None:
    source, target = await open_storage("memory://"), await open_storage("memory://there")
    async with aiq.Queue(source) as queue, aiq.Queue(target) as there:
        await source.retire(target.url, "exported")
        await there.enqueue(Work().tasks()[0].job(0))

        with pytest.raises(Conflict, match="holds jobs"):
            await move(source, target)
        with pytest.raises(Moved):
            await queue.enqueue(Work().tasks()[0].job(1))
    await source.close()
    await target.close()


async def text_of(job: aiq.Job[object]) -> list[str]:
    return [text async for text in job.text()]


async def followed(queue: aiq.Queue) -> list[aiq.Event]:
    return [event async for event in queue.events()]


WAITING: dict[str, Callable[[aiq.Queue, aiq.Job[object]], Coroutine[object, object, object]]] = {
    "result": lambda _, job: job.result(),
    "result in time": lambda _, job: job.result(timeout=60),
    "stream": lambda _, job: text_of(job),
    "events": lambda queue, _: followed(queue),
    "answer": lambda queue, _: queue.ask(Work().tasks()[0].job(2), timeout=60),
}


@pytest.mark.parametrize("kind", WAITING)
async def test_who_waits_on_a_storage_is_told_when_it_moves(url: str, kind: str) -> None:
    async with aiq.Queue(url) as queue, aiq.Queue(url) as elsewhere:
        await queue.enqueue(Work().tasks()[0].job(1), id="job")
        waiting = asyncio.create_task(WAITING[kind](elsewhere, elsewhere.job("job")))
        await asyncio.sleep(0.01)

        await queue.storage.retire("redis://elsewhere")

        async with asyncio.timeout(10):
            with pytest.raises(Moved, match="redis://elsewhere"):
                await waiting


@pytest.mark.parametrize("kind", ["result", "result in time", "stream", "events"])
async def test_who_comes_when_a_storage_has_moved_is_told_too(url: str, kind: str) -> None:
    async with aiq.Queue(url) as queue:
        await queue.enqueue(Work().tasks()[0].job(1), id="job")
        await queue.storage.retire("redis://elsewhere")

        async with asyncio.timeout(10):
            with pytest.raises(Moved, match="redis://elsewhere"):
                await WAITING[kind](queue, queue.job("job"))
        with pytest.raises(Moved):
            await queue.job("job").result(timeout=0)


async def test_a_job_that_had_ended_still_answers_where_a_storage_has_moved_from(url: str) -> None:
    digest = Work().tasks()[1]

    @aiq.task(name="digest")
    async def short(ctx: aiq.Context) -> list[int]:
        await ctx.emit("begun")
        return [1]

    async with aiq.Queue(url) as queue:
        job = await queue.enqueue(digest.job(), id="ended")
        await aiq.Worker(queue, tasks=[short]).run_until_idle()
        await queue.storage.retire("redis://elsewhere")

        assert await job.result() == [1]
        assert await text_of(job) == ["begun"]


async def test_a_worker_ends_when_its_storage_has_moved() -> None:
    storage = await open_storage("memory://")
    async with aiq.Queue(storage) as queue:
        running = asyncio.create_task(aiq.Worker(queue, tasks=Work().tasks()).run())
        await asyncio.sleep(0)
        await storage.retire("redis://elsewhere")

        async with asyncio.timeout(10):
            with pytest.raises(Moved):
                await running
    await storage.close()


async def test_a_move_that_broke_off_goes_on_when_it_is_repeated(tmp_path: Path) -> None:
    source, target = await open_storage("memory://"), await open_storage(f"sqlite:///{tmp_path}/new.db")
    async with aiq.Queue(source) as queue:
        task = Work().tasks()[0]
        await queue.enqueue_many(task.job(number) for number in range(3))
    with pytest.raises(Unavailable):
        await move(Faulty(source, Refuse("dump")), target)

    await move(source, target)

    async with aiq.Queue(target) as there:
        assert await there.count() == {aiq.State.READY: 3}
    await source.close()
    await target.close()
