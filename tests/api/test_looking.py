"""Readers of one stream in one process look at it together."""

import asyncio
import gc
from collections.abc import Collection, Sequence
from weakref import ref

import pytest

import aiq
from aiq import looking
from aiq.backends import open_storage
from aiq.bounds import MAX_PAGE
from aiq.codecs import Value
from aiq.coded import behind
from aiq.errors import NotFound, Unavailable
from aiq.looking import Look, first_look, next_look
from aiq.model import Died, JobError, JobRecord, Read, StreamPage, Succeeded
from aiq.storage import ReadRefused, Storage, append
from aiq.testing import Faulty, Refuse
from aiq.testing.actions import chunks, claim_one, end

READERS = 20


class Tapped(Faulty):
    """It counts the looks at streams, the marks and the looks at records. An answer about a stream stands still while
    it is told to."""

    looks = marks = records = 0

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage)
        self.stands = asyncio.Event()
        self.stands.set()

    async def read(self, reads: Sequence[Read], *, limit: int = MAX_PAGE) -> list[StreamPage | ReadRefused]:
        self.looks += 1
        pages = await super().read(reads, limit=limit)
        await self._travel()
        return pages

    async def wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        self.marks += after is None
        await asyncio.sleep(0)
        return await super().wait(topics, after=after, timeout_ms=timeout_ms)

    async def get(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        self.records += 1
        await asyncio.sleep(0)
        return await super().get(job_ids)

    async def _travel(self) -> None:
        """No server answers in the turn of the loop in which it is asked."""
        await asyncio.sleep(0)
        await self.stands.wait()


class Slow:
    """It changes nothing, and decodes the items of one job as late as it is told to."""

    name = "slow"
    hides = required = False
    decoded = 0

    def __init__(self) -> None:
        self.job, self.open = "", asyncio.Event()

    async def encode(self, data: bytes, value: Value) -> tuple[str, bytes]:
        return "", data

    async def decode(self, data: bytes, note: str, value: Value) -> bytes:
        self.decoded += 1
        if value.owner == self.job:
            await self.open.wait()
        return data


@pytest.fixture
def tapped(storage: Faulty) -> Tapped:
    return Tapped(storage)


@aiq.task
async def work(x: int) -> int:
    return x


async def running(storage: Tapped) -> JobRecord:
    await aiq.Queue(storage).enqueue(work.job(1))
    return await claim_one(storage)


async def waiting(storage: Tapped, job_id: str, readers: int = READERS) -> list[asyncio.Task[Look]]:
    """Readers who have seen all that is there, and wait for more."""
    seen = await first_look(storage, job_id, 0)
    after = seen.page.chunks[-1].number if seen.page.chunks else 0
    tasks = [asyncio.create_task(next_look(storage, job_id, after, seen.mark)) for _ in range(readers)]
    await all_wait()
    return tasks


async def all_wait() -> None:
    for _ in range(READERS):
        await asyncio.sleep(0)


async def test_readers_who_have_come_to_the_same_item_share_one_look(tapped: Tapped) -> None:
    run = await running(tapped)
    readers = await waiting(tapped, run.id)
    before = tapped.looks
    await append(tapped, run.lease, chunks("a"))
    found = await asyncio.gather(*readers)

    assert tapped.looks == before + 1
    assert [[chunk.text for chunk in look.page.chunks] for look in found] == [["a"]] * READERS


async def test_every_reader_has_every_item(tapped: Tapped, storage: Faulty) -> None:
    run = await running(tapped)
    job = aiq.Queue(tapped).job(run.id, work)

    async def texts() -> list[str]:
        return [text async for text in job.text()]

    readers = [asyncio.create_task(texts()) for _ in range(READERS)]
    for number, text in enumerate("abc", 1):
        await all_wait()
        await append(storage, run.lease, chunks(text, first=number))
    await end(storage, run, Succeeded(b"1"))

    assert await asyncio.gather(*readers) == [["a", "b", "c"]] * READERS


async def test_a_reader_who_is_behind_does_not_wait_for_those_who_are_not(tapped: Tapped) -> None:
    run = await running(tapped)
    late = await first_look(tapped, run.id, 0)
    await append(tapped, run.lease, chunks("a"))
    await waiting(tapped, run.id)
    async with asyncio.timeout(5):
        found = await next_look(tapped, run.id, 0, late.mark)

    assert [chunk.text for chunk in found.page.chunks] == ["a"]
    await end(tapped, run, Succeeded(b"1"))


async def test_when_the_one_who_looks_for_all_leaves_another_goes_on(tapped: Tapped) -> None:
    run = await running(tapped)
    first, *others = await waiting(tapped, run.id)
    first.cancel()
    await all_wait()
    before = tapped.looks
    await append(tapped, run.lease, chunks("a"))
    found = await asyncio.gather(*others)

    assert tapped.looks == before + 1
    assert {look.page.chunks[0].text for look in found} == {"a"}


async def test_a_failure_that_one_of_them_hears_is_no_others(tapped: Tapped) -> None:
    run = await running(tapped)
    first, *others = await waiting(tapped, run.id)
    before = tapped.looks
    tapped.plan(Refuse("read"))
    await append(tapped, run.lease, chunks("a"))
    found = await asyncio.gather(*others)

    with pytest.raises(Unavailable):
        await first
    assert {look.page.chunks[0].text for look in found} == {"a"}
    assert tapped.looks == before + 2


async def test_a_storage_that_stays_away_is_told_to_all_after_two_looks(tapped: Tapped) -> None:
    run = await running(tapped)
    readers = await waiting(tapped, run.id)
    before = tapped.looks
    tapped.plan(Refuse("read"), Refuse("read"))
    await append(tapped, run.lease, chunks("a"))
    errors = await asyncio.gather(*readers, return_exceptions=True)

    assert {type(error) for error in errors} == {Unavailable}
    assert tapped.looks == before + 2


def test_a_loop_that_is_closed_with_readers_in_it_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    tapped = Tapped(loop.run_until_complete(open_storage("memory://")))
    run = loop.run_until_complete(running(tapped))
    loop.run_until_complete(waiting(tapped, run.id))
    loop.close()
    left = ref(tapped)
    del tapped, loop
    gc.collect()

    assert left() is None
    assert not looking._turns


async def test_readers_in_another_loop_make_looks_of_their_own(tapped: Tapped) -> None:
    run = await running(tapped)
    readers = await waiting(tapped, run.id)
    seen = await first_look(tapped, run.id, 0)
    await append(tapped, run.lease, chunks("a"))
    found = await asyncio.to_thread(asyncio.run, next_look(tapped, run.id, 0, seen.mark))

    assert [chunk.text for chunk in found.page.chunks] == ["a"]
    await asyncio.gather(*readers)


async def test_an_end_that_another_has_read_is_looked_at_again_by_all_together(tapped: Tapped) -> None:
    # It may be that of a generation that was redriven since.
    run = await running(tapped)
    readers = await waiting(tapped, run.id)
    before = tapped.looks
    await end(tapped, run, Succeeded(b"1"))
    await asyncio.gather(*readers)

    assert tapped.looks == before + 2


async def test_a_crowd_that_begins_at_once_costs_one_look_and_one_mark(tapped: Tapped) -> None:
    run = await running(tapped)
    await append(tapped, run.lease, chunks("a"))
    found = await asyncio.gather(*[first_look(tapped, run.id, 0) for _ in range(READERS)])

    assert (tapped.looks, tapped.marks) == (1, 1)
    assert [[chunk.text for chunk in look.page.chunks] for look in found] == [["a"]] * READERS


async def test_who_begins_while_another_does_misses_nothing_that_he_knows_of(tapped: Tapped) -> None:
    run = await running(tapped)
    tapped.stands.clear()
    first = asyncio.create_task(first_look(tapped, run.id, 0))
    await all_wait()
    await append(tapped, run.lease, chunks("a"))
    second = asyncio.create_task(first_look(tapped, run.id, 0))
    await all_wait()
    tapped.stands.set()

    assert [chunk.text for chunk in (await second).page.chunks] == ["a"]
    assert (await first).page.chunks == ()


async def test_a_crowd_reads_a_long_history_page_by_page_together(tapped: Tapped) -> None:
    run = await running(tapped)
    for first in range(1, 2 * MAX_PAGE, MAX_PAGE):
        await append(tapped, run.lease, chunks(*"x" * MAX_PAGE, first=first))
    await end(tapped, run, Succeeded(b"1"))
    job = aiq.Queue(tapped).job(run.id, work)

    async def length() -> int:
        return len([chunk async for chunk in job.stream()])

    assert await asyncio.gather(*[length() for _ in range(READERS)]) == [2 * MAX_PAGE] * READERS
    assert tapped.looks == 3


async def test_what_readers_of_several_jobs_ask_together_is_one_read(tapped: Tapped) -> None:
    runs = [await running(tapped) for _ in range(3)]
    for run in runs:
        await append(tapped, run.lease, chunks(run.id))
    found = await asyncio.gather(*[first_look(tapped, run.id, 0) for run in runs for _ in range(READERS)])

    assert (tapped.looks, tapped.marks) == (1, 1)
    assert [look.page.chunks[0].text for look in found] == [run.id for run in runs for _ in range(READERS)]


async def test_readers_of_more_jobs_than_one_mark_is_for_need_two_of_them(tapped: Tapped) -> None:
    async with aiq.Queue(tapped) as queue:
        jobs = await queue.enqueue_many([work.job(number) for number in range(200)])

    await asyncio.gather(*[first_look(tapped, job.id, 0) for job in jobs])

    assert tapped.marks <= 3


async def test_a_job_that_is_not_stored_is_told_to_its_readers_alone(tapped: Tapped) -> None:
    run = await running(tapped)
    found = await asyncio.gather(*[first_look(tapped, name, 0) for name in ("ghost", run.id)], return_exceptions=True)

    assert [type(one) for one in found] == [NotFound, Look]
    assert tapped.looks == 1


async def test_an_item_that_is_long_to_decode_does_not_hold_up_the_readers_of_another_job(tapped: Tapped) -> None:
    slow = Slow()
    storage = behind(tapped, [slow])
    one, other = await running(tapped), await running(tapped)
    for run in (one, other):
        await append(storage, run.lease, chunks("a"))
    slow.job = one.id
    held = asyncio.create_task(first_look(storage, one.id, 0))
    found = await first_look(storage, other.id, 0)
    again = await first_look(storage, other.id, 0)
    slow.open.set()

    assert [look.page.chunks[0].text for look in (found, again, await held)] == ["a"] * 3


async def test_a_crowd_decodes_an_item_once(tapped: Tapped) -> None:
    slow = Slow()
    storage = behind(tapped, [slow])
    run = await running(tapped)
    await append(storage, run.lease, chunks("a"))
    await asyncio.gather(*[first_look(storage, run.id, 0) for _ in range(READERS)])

    assert slow.decoded == 1


async def test_those_who_read_to_the_end_ask_together_how_the_job_has_ended(tapped: Tapped) -> None:
    run = await running(tapped)
    await append(tapped, run.lease, chunks("a"))
    await end(tapped, run, Died(JobError(type="ValueError", message="no")))
    job = aiq.Queue(tapped).job(run.id, work)

    async def ending() -> str:
        with pytest.raises(aiq.JobDead) as dead:
            [_ async for _ in job.stream()]
        return dead.value.cause

    assert len(set(await asyncio.gather(*[ending() for _ in range(READERS)]))) == 1
    assert tapped.records == 1
